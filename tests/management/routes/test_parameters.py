import pytest

from tests.management.api import Api

POLICY = {"pattern": "a", "definition": {"max-length": 1}, "priority": 0}


@pytest.fixture
def api():
    return Api()


async def reason(answer):
    answer = await answer
    return answer.status_code, answer.json()["reason"]


async def test_parameter_is_created_changed_listed_and_deleted(api):
    path = "parameters/vhost-limits/%2F/limits"
    assert (await api.put(path, {"value": {"max-queues": 1}})).status_code == 201
    assert (await api.put(path, {"value": {"max-queues": 2}})).status_code == 204
    shown = {"value": {"max-queues": 2}, "vhost": "/", "component": "vhost-limits", "name": "limits"}
    assert (await api.get(path)).json() == shown
    for listed in ("parameters", "parameters/vhost-limits", "parameters/vhost-limits/%2F"):
        assert (await api.get(listed)).json() == [shown]
    assert (await api.get("parameters/nope")).json() == (await api.get("parameters/policy/%2F")).json() == []
    assert (await api.delete(path)).status_code == 204
    assert await reason(api.delete(path)) == await reason(api.get(path)) == (404, "Not Found")


@pytest.mark.parametrize(
    ("path", "body", "refused"),
    [
        ("nope/%2F/x", {"value": 1}, (400, "Validation failed\n\ncomponent nope not found\n")),
        ("policy/%2F/x", {"value": POLICY}, (400, "policies may not be set using this method")),
        ("vhost-limits/%2F/limits", {}, (400, "[{key_missing,value}]")),
        (
            "vhost-limits/%2F/limits",
            {"value": {"max-queues": "x"}},
            (400, 'Validation failed\n\nmax-queues should be a number, actually was &lt;&lt;"x"&gt;&gt;\n'),
        ),
        ("vhost-limits/nope/limits", {"value": {}}, (404, "vhost_not_found")),
    ],
)
async def test_invalid_request_is_refused_with_a_reason(api, path, body, refused):
    assert await reason(api.put(f"parameters/{path}", body)) == refused
    assert (await api.get("parameters")).json() == []


async def test_operator_policy_can_be_created_as_a_parameter(api):
    assert (await api.put("parameters/operator_policy/%2F/p", {"value": POLICY})).status_code == 201
    assert (await api.get("operator-policies/%2F/p")).json()["definition"] == {"max-length": 1}


async def test_policymaker_sees_parameters_of_accessible_vhosts_only(api):
    await api.put("vhosts/new")
    for vhost in ("%2F", "new"):
        await api.put(f"parameters/vhost-limits/{vhost}/limits", {"value": {"max-queues": 1}})
    maker = api.user("maker", tags=("policymaker",), vhosts=["new"])
    assert [row["vhost"] for row in (await api.get("parameters", auth=maker)).json()] == ["new"]


async def test_global_parameters(api):
    value = {"a": [1, None, "b"]}
    assert (await api.put("global-parameters/x", {"value": value})).status_code == 201
    assert (await api.put("global-parameters/x", {"value": value})).status_code == 204
    assert (await api.get("global-parameters/x")).json() == {"name": "x", "value": value}
    assert {"name": "x", "value": value} in (await api.get("global-parameters")).json()
    assert await reason(api.put("global-parameters/x", {})) == (400, "[{key_missing,value}]")
    assert (await api.delete("global-parameters/x")).status_code == 204
    assert await reason(api.delete("global-parameters/x")) == (404, "Not Found")
