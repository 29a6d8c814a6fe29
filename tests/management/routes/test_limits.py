import pytest

from tests.management.api import Api


@pytest.fixture
def api():
    api = Api()
    api.user("ann", vhosts=["/"])
    return api


async def reason(answer):
    answer = await answer
    return answer.status_code, answer.json()["reason"]


async def test_vhost_limits_are_set_listed_and_deleted(api):
    assert (await api.get("vhost-limits/%2F")).json() == []
    for name, value in (("max-connections", 5), ("max-queues", 6)):
        assert (await api.put(f"vhost-limits/%2F/{name}", {"value": value})).status_code == 204
    expected = [{"value": {"max-connections": 5, "max-queues": 6}, "vhost": "/"}]
    assert (await api.get("vhost-limits/%2F")).json() == (await api.get("vhost-limits")).json() == expected
    assert (await api.get("vhost-limits", auth=api.user("stranger"))).json() == []
    for name in ("max-queues", "max-queues", "nope", "max-connections"):
        assert (await api.delete(f"vhost-limits/%2F/{name}")).status_code == 204
    assert (await api.get("vhost-limits")).json() == []
    assert (await api.get("vhost-limits/%2F/max-queues")).status_code == 405


@pytest.mark.parametrize(
    ("path", "body", "refused"),
    [
        ("vhost-limits/%2F/max-queues", {}, (400, "[{key_missing,value}]")),
        (
            "vhost-limits/%2F/max-queues",
            {"value": "x"},
            (400, 'Validation failed\n\nmax-queues should be a number, actually was <<"x">>\n'),
        ),
        (
            "vhost-limits/%2F/nope",
            {"value": 5},
            (400, 'Validation failed\n\nUnrecognised terms [{<<"nope">>,5}] in limits\n'),
        ),
        ("vhost-limits/nope/max-queues", {"value": 5}, (404, "vhost_not_found")),
        ("user-limits/ann/max-channels", {}, (400, "[{key_missing,value}]")),
        (
            "user-limits/ann/max-channels",
            {"value": "x"},
            (400, 'max-channels should be a number, actually was <<"x">>'),
        ),
        ("user-limits/ann/nope", {"value": 5}, (400, 'Unrecognised terms [{<<"nope">>,5}] in user-limits')),
        ("user-limits/nope/max-channels", {"value": 5}, (400, ["no_such_user", "nope"])),
    ],
)
async def test_invalid_request_is_refused_with_a_reason(api, path, body, refused):
    assert await reason(api.put(path, body)) == refused
    assert (await api.get("vhost-limits")).json() == (await api.get("user-limits")).json() == []


async def test_user_limits_are_set_listed_and_deleted(api):
    assert (await api.get("user-limits/ann")).json() == []
    for name, value in (("max-connections", 5), ("max-channels", 6)):
        assert (await api.put(f"user-limits/ann/{name}", {"value": value})).status_code == 204
    expected = [{"user": "ann", "value": {"max-connections": 5, "max-channels": 6}}]
    assert (await api.get("user-limits/ann")).json() == (await api.get("user-limits")).json() == expected
    for name in ("max-channels", "max-channels", "nope", "max-connections"):
        assert (await api.delete(f"user-limits/ann/{name}")).status_code == 204
    assert (await api.get("user-limits")).json() == []
    assert (await api.get("user-limits/nope")).status_code == 404
    assert (await api.delete("user-limits/nope/max-channels")).status_code == 404


@pytest.mark.parametrize("path", ["vhost-limits/%2F/max-queues", "user-limits/ann/max-channels"])
async def test_limits_accept_integers_up_to_64_bits(api, path):
    listed = path.rpartition("/")[0]
    assert (await api.put(path, {"value": 2**64 - 1})).status_code == 204
    (row,) = (await api.get(listed)).json()
    assert list(row["value"].values()) == [2**64 - 1]
    assert (await api.put(path, {"value": 10**30})).status_code == 400
    assert (await api.get(listed)).json() == [row]
