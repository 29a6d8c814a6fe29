import pytest

from tests.management.api import Api

ALL = {"configure": ".*", "write": ".*", "read": ".*"}


@pytest.fixture
def api():
    api = Api()
    api.user("ann")
    return api


async def outcome(answer):
    answer = await answer
    return answer.status_code if answer.status_code < 300 else (answer.status_code, answer.json()["reason"])


async def test_permissions_are_created_changed_and_deleted(api):
    assert await outcome(api.put("permissions/%2F/ann", ALL)) == 201
    assert await outcome(api.put("permissions/%2F/ann", {**ALL, "read": "^a"})) == 204
    shown = {"user": "ann", "vhost": "/", "configure": ".*", "write": ".*", "read": "^a"}
    assert (await api.get("permissions/%2F/ann")).json() == shown
    assert shown in (await api.get("permissions")).json()
    assert await outcome(api.delete("permissions/%2F/ann")) == 204
    assert await outcome(api.delete("permissions/%2F/ann")) == (404, "Not Found")
    assert await outcome(api.get("permissions/%2F/ann")) == (404, "Not Found")


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("permissions/nope/ann", ALL, "vhost_or_user_not_found"),
        ("permissions/%2F/nope", ALL, "vhost_or_user_not_found"),
        ("permissions/%2F/ann", {"configure": "", "write": ""}, "[{key_missing,read}]"),
        ("permissions/%2F/ann", {**ALL, "read": 5}, "read is to be a string"),
        ("topic-permissions/%2F/nope", {"exchange": "x", "write": "", "read": ""}, "vhost_or_user_not_found"),
        ("topic-permissions/%2F/ann", {"write": "", "read": ""}, "[{key_missing,exchange}]"),
    ],
)
async def test_invalid_request_is_refused_with_a_reason(api, path, body, reason):
    assert await outcome(api.put(path, body)) == (400, reason)
    assert [row["user"] for row in (await api.get("permissions")).json()] == ["guest"]


async def test_permission_with_an_invalid_regex_is_refused(api):
    status, reason = await outcome(api.put("permissions/%2F/ann", {**ALL, "write": "("}))
    assert status == 400
    assert "'('" in reason
    assert await outcome(api.get("permissions/%2F/ann")) == (404, "Not Found")


@pytest.mark.parametrize("path", ["permissions/nope/ann", "permissions/%2F/nope", "topic-permissions/nope/ann"])
async def test_unknown_name_is_an_error(api, path):
    assert await outcome(api.get(path)) == (404, "Not Found")
    assert await outcome(api.delete(path)) == (404, "Not Found")


async def test_topic_permissions(api):
    def of(exchange):
        return {"user": "ann", "vhost": "/", "exchange": exchange, "write": "w", "read": "r"}

    for exchange, status in (("x", 201), ("x", 204), ("amq.topic", 204)):
        body = {"exchange": exchange, "write": "w", "read": "r"}
        assert await outcome(api.put("topic-permissions/%2F/ann", body)) == status
    assert (await api.get("topic-permissions")).json() == [of("amq.topic"), of("x")]
    assert (await api.get("topic-permissions/%2F/ann")).json() == [of("x"), of("amq.topic")]
    assert await outcome(api.delete("topic-permissions/%2F/ann/x")) == 204
    assert (await api.get("topic-permissions/%2F/ann")).json() == [of("amq.topic")]
    assert await outcome(api.delete("topic-permissions/%2F/ann")) == 204
    assert await outcome(api.get("topic-permissions/%2F/ann")) == (404, "Not Found")
