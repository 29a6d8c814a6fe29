import pytest

from tests.management.api import Api

PATH = "super-streams/%2F/s"


@pytest.fixture
def api():
    return Api()


def streams(*keys):
    return [{"stream": f"s-{key}", "binding_key": key} for key in keys]


@pytest.mark.parametrize(
    ("body", "keys"),
    [
        ({}, ["0", "1", "2"]),
        ({"partitions": 2}, ["0", "1"]),
        ({"binding_keys": ["emea", "apac"], "arguments": {"x-max-age": "7D"}}, ["emea", "apac"]),
    ],
)
async def test_super_stream_is_created_shown_and_deleted(api, body, keys):
    assert (await api.put(PATH, body)).status_code == 201
    shown = {"name": "s", "vhost": "/", "partitions": streams(*keys)}
    assert (await api.get(PATH)).json() == shown
    assert (await api.get("super-streams/%2F")).json() == [shown]
    assert (await api.delete(PATH)).status_code == 204
    assert (await api.get(PATH)).status_code == 404
    assert (await api.delete(PATH)).status_code == 404
    assert list(api.broker.vhosts["/"].queues) == []


async def test_arguments_are_those_of_the_streams(api):
    await api.put(PATH, {"partitions": 1, "arguments": {"x-max-length-bytes": 5_000}})
    found = (await api.get("queues/%2F/s-0")).json()
    assert found["arguments"] == {
        "x-max-length-bytes": 5_000,
        "x-queue-leader-locator": "balanced",
        "x-queue-type": "stream",
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"partitions": 0}, "partitions = 0: this must be a whole number from 1 to 1000"),
        ({"partitions": True}, "partitions = true: this must be a whole number from 1 to 1000"),
        ({"partitions": "3"}, 'partitions = "3": this must be a whole number from 1 to 1000'),
        ({"binding_keys": "a,b"}, 'binding_keys = "a,b": this must be a list of texts'),
        ({"binding_keys": [""]}, 'binding_keys = [""]: this must be a list of texts'),
        ({"binding_keys": ["a"], "partitions": 1}, "exclude each other"),
        ({"binding_keys": ["a", "a"]}, "cannot have two partitions 's-a'"),
        ({"max-age": "1D"}, "max-age is not known here; the keys are partitions, binding_keys, arguments"),
        ({"arguments": {"x-max-age": "soon"}}, "invalid arg 'x-max-age' for queue 's-0'"),
        ({"arguments": {"x-queue-type": "classic"}}, "cannot have partitions of the type 'classic'"),
    ],
)
async def test_wrong_body_is_refused(api, body, reason):
    answer = await api.put(PATH, body)
    assert answer.status_code == 400
    assert reason in answer.json()["reason"]
    assert list(api.broker.vhosts["/"].queues) == []


async def test_existing_super_stream_is_refused(api):
    await api.put(PATH, {})
    answer = await api.put(PATH, {})
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")
    assert "exchange 's' exists" in answer.json()["reason"]
    assert len((await api.get(PATH)).json()["partitions"]) == 3


async def test_permissions_are_those_for_each_object(api):
    login = api.user("u")
    api.broker.users.set_permissions("u", "/", "^s(-0)?$", ".*", ".*")
    assert (await api.put(PATH, {"partitions": 2}, auth=login)).status_code == 401
    assert (await api.put(PATH, {"partitions": 1}, auth=login)).status_code == 201
    api.broker.users.set_permissions("u", "/", "^s$", ".*", ".*")
    assert (await api.delete(PATH, auth=login)).status_code == 401
    assert (await api.get(PATH)).status_code == 200
