import pytest

from amqpbroker.config import Config, Management
from tests.management.api import Api

LENGTH = {"pattern": "^a", "definition": {"max-length": 1}}


@pytest.fixture
def api():
    return Api()


@pytest.fixture(params=["policies", "operator-policies"])
def family(request):
    return request.param


async def test_policy_is_created_changed_listed_and_deleted(api, family):
    assert (await api.put(f"{family}/%2F/p", LENGTH)).status_code == 201
    assert (
        await api.put(f"{family}/%2F/p", {**LENGTH, "priority": 3, "apply-to": "queues", "x": 5})
    ).status_code == 204
    shown = {"vhost": "/", "name": "p", **LENGTH, "apply-to": "queues", "priority": 3}
    assert (await api.get(f"{family}/%2F/p")).json() == shown
    assert (await api.get(family)).json() == (await api.get(f"{family}/%2F")).json() == [shown]
    assert (await api.delete(f"{family}/%2F/p")).status_code == 204
    assert (await api.delete(f"{family}/%2F/p")).json() == {"error": "Object Not Found", "reason": "Not Found"}


async def test_policy_takes_effect_immediately(api, family):
    queue = api.broker.vhosts["/"].declare_queue("a", False, False, False, {})
    await api.put(f"{family}/%2F/p", LENGTH)
    assert queue.effective_policy == {"max-length": 1}
    await api.delete(f"{family}/%2F/p")
    assert queue.effective_policy == {}


async def test_policy_is_not_found_as_an_operator_policy(api):
    await api.put("policies/%2F/p", LENGTH)
    assert (await api.get("operator-policies/%2F/p")).status_code == 404


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "[{key_missing,pattern},{key_missing,definition}]"),
        ({"pattern": "a"}, "[{key_missing,definition}]"),
        ({**LENGTH, "definition": {}}, "Validation failed\n\nno policy provided\n"),
        (
            {**LENGTH, "definition": {"max-lengthx": 1}},
            'Validation failed\n\n[{&lt;&lt;"max-lengthx"&gt;&gt;,1}] are not recognised policy settings\n',
        ),
        (
            {**LENGTH, "priority": "x"},
            'Validation failed\n\npriority should be a number, actually was &lt;&lt;"x"&gt;&gt;\n',
        ),
    ],
)
async def test_invalid_request_is_refused_with_a_reason(api, body, reason):
    answer = await api.put("policies/%2F/p", body)
    assert (answer.status_code, answer.json()) == (400, {"error": "bad_request", "reason": reason})
    assert (await api.get("policies")).json() == []


async def test_refusal_of_an_operator_policy_is_not_html_escaped(api):
    answer = await api.put("operator-policies/%2F/p", {**LENGTH, "priority": "x"})
    assert '<<"x">>' in answer.json()["reason"]


async def test_policies_are_listed_only_for_accessible_vhosts(api, family):
    await api.put(f"{family}/%2F/p", LENGTH)
    assert len((await api.get(family, auth=api.user("ann", vhosts=["/"]))).json()) == 1
    assert (await api.get(family, auth=api.user("watcher", tags=("monitoring",)))).json() == []
    assert (await api.get(f"{family}/nope")).status_code == 404


async def test_operator_policy_changes_can_be_disabled():
    api = Api(Config(management=Management(operator_policy_changes_disabled=True)))
    for answer in (await api.put("operator-policies/%2F/p", LENGTH), await api.delete("operator-policies/%2F/p")):
        assert answer.status_code == 405
        assert answer.json() == {
            "error": "method_not_allowed",
            "reason": "Broker settings disallow editing of operator policies.",
        }
    assert (await api.put("policies/%2F/p", LENGTH)).status_code == 201
    assert (await api.get("overview")).json()["is_op_policy_updating_enabled"] is False
