from dataclasses import replace

import pytest

from amqpbroker.config import Config
from tests.broker.queueing import get, message
from tests.management.api import Api

PATH = "queues/%2F/dlq/redrive"
DEAD = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dlq"}


async def with_letters(config=None, count=3):
    """Return an API whose queue "dlq" has messages that died in "work"."""
    api = Api(config)
    await api.put("queues/%2F/dlq", {"durable": True})
    await api.put("queues/%2F/work", {"durable": True, "arguments": DEAD})
    work = api.broker.vhosts["/"].queues["work"]
    for number in range(count):
        assert work.publish(message(b"%d" % number, "work"))
        work.reject([get(work)])
    return api


@pytest.fixture
async def api():
    return await with_letters()


def counts(api):
    queues = api.broker.vhosts["/"].queues
    return queues["work"].ready_count, queues["dlq"].ready_count


async def user(api, name, **permissions):
    await api.put(f"users/{name}", {"password": name, "tags": "management"})
    await api.put(f"permissions/%2F/{name}", {"configure": "", "write": ".*", "read": ".*", **permissions})
    return name, name


async def test_redrive_returns_a_handle_and_its_progress_is_listed(api):
    answer = await api.post(PATH, {"max_messages_per_second": 1, "filter": {"reason": "rejected"}})
    assert answer.status_code == 201
    handle = answer.json()["task_handle"]
    api.clock.advance(1_000)
    [task] = (await api.get(PATH)).json()
    assert task == {
        "task_handle": handle,
        "queue": "dlq",
        "vhost": "/",
        "state": "RUNNING",
        "moved": 2,
        "left": 1,
        "failed": 0,
        "skipped": 0,
        "destination": None,
        "via": "queue",
        "max_messages_per_second": 1,
        "limit": None,
        "filter": {"reason": "rejected"},
        "keep_history": False,
        "restore_expiration": False,
        "started_at": 1_000_000,
        "ended_at": None,
    }
    api.clock.advance(1_000)
    [task] = (await api.get(PATH)).json()
    assert (task["state"], task["moved"], task["ended_at"]) == ("COMPLETED", 3, 1_002_000)
    assert counts(api) == (3, 0)


async def test_without_a_body_everything_is_redriven(api):
    assert (await api.request("POST", PATH)).status_code == 201
    api.clock.advance(0)
    assert counts(api) == (3, 0)


async def test_second_redrive_of_a_queue_is_refused(api):
    await api.post(PATH, {"max_messages_per_second": 1})
    answer = await api.post(PATH, {})
    assert (answer.status_code, answer.json()["error"]) == (409, "conflict")
    assert answer.json()["reason"].startswith("a redrive of queue 'dlq' in vhost '/' is running already")


async def test_redrive_is_cancelled(api):
    await api.post(PATH, {"max_messages_per_second": 1})
    api.clock.advance(0)
    assert (await api.delete(PATH)).status_code == 204
    api.clock.advance(10_000)
    [task] = (await api.get(PATH)).json()
    assert (task["state"], task["moved"], task["left"]) == ("CANCELLED", 1, 2)
    answer = await api.delete(PATH)
    assert (answer.status_code, answer.json()["reason"]) == (404, "no redrive of queue 'dlq' is running")


async def test_messages_that_stay_are_counted_with_the_reason(api):
    await api.delete("queues/%2F/work")
    await api.post(PATH, {})
    api.clock.advance(0)
    [task] = (await api.get(PATH)).json()
    assert (task["failed"], task["last_failure"]) == (3, "queue 'work' does not exist")


async def test_permissions_to_read_the_queue_and_to_write_the_destination_are_required(api):
    blind = await user(api, "blind", read="^work$")
    mute = await user(api, "mute", write="^dlq$")
    assert (await api.post(PATH, {}, auth=blind)).status_code == 401
    assert (await api.delete(PATH, auth=blind)).status_code == 401
    assert (await api.get(PATH, auth=blind)).status_code == 401
    assert (await api.get(PATH, auth=mute)).status_code == 200
    assert (await api.post(PATH, {"destination": "work"}, auth=mute)).status_code == 401
    assert (await api.post(PATH, {}, auth=mute)).status_code == 201
    api.clock.advance(0)
    [task] = (await api.get(PATH)).json()
    assert (task["moved"], task["failed"]) == (0, 3)
    assert "write access to queue 'work'" in task["last_failure"]


@pytest.mark.parametrize("how", ["permissions/%2F/worker", "users/worker"])
async def test_redrive_of_a_user_who_loses_access_fails(api, how):
    worker = await user(api, "worker")
    assert (await api.post(PATH, {"max_messages_per_second": 1}, auth=worker)).status_code == 201
    api.clock.advance(0)
    await api.delete(how)
    api.clock.advance(5_000)
    [task] = (await api.get(PATH)).json()
    assert (task["state"], task["moved"]) == ("FAILED", 1)
    assert task["reason"] == "the user who started it has no permissions in vhost '/' any more"


async def test_unknown_queue_is_not_found(api):
    for method in ("GET", "POST", "DELETE"):
        assert (await api.request(method, "queues/%2F/none/redrive", json={})).status_code == 404
    assert (await api.post(PATH, {"destination": "none"})).status_code == 404


async def test_redrive_is_not_found_without_extensions():
    config = Config()
    api = await with_letters(replace(config, compat=config.compat._replace(extensions=False)))
    for method in ("GET", "POST", "DELETE"):
        assert (await api.request(method, PATH, json={})).status_code == 404


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"destinaton": "work"}, "destinaton is not known here; the keys are destination, via,"),
        ({"destination": "dlq"}, 'destination = "dlq": this is the queue itself'),
        ({"destination": 1}, "destination = 1: this must be a name"),
        ({"destination": ""}, 'destination = "": this must be a name of 1 to 255 bytes'),
        ({"destination": "é" * 128}, "destination = "),
        ({"limit": -1}, "limit = -1: this must be a whole number from 1 to 1000000000"),
        ({"limit": 2.0}, "limit = 2.0: this must be a whole number from 1 to 1000000000"),
        (
            {"filter": {"reason": "bogus"}},
            'filter.reason = "bogus": this must be one of rejected, expired, maxlen, delivery_limit, group, '
            "superseded, replaced",
        ),
        ({"filter": {"reason": ["rejected"]}}, 'filter.reason = ["rejected"]: this must be one of rejected, expired'),
        ({"filter": {"queue": "q" * 256}}, "filter.queue = "),
        ({"filter": {"header": {"a": 1, "x": {}}}}, "filter.header.x = {}: this must be a string, a number or a"),
        ({"filter": {"header": {"x" * 256: 1}}}, "filter.header.x"),
        (
            {"max_messages_per_second": 0},
            "max_messages_per_second = 0: this must be a whole number from 1 to 1000000000",
        ),
        ({"max_messages_per_second": 1.5}, "max_messages_per_second = 1.5: this must be a whole number"),
        ({"limit": True}, "limit = true: this must be a whole number from 1"),
        ({"limit": "5"}, 'limit = "5": this must be a whole number from 1'),
        ({"via": "shovel"}, 'via = "shovel": this must be "queue" or "exchange"'),
        ({"via": []}, 'via = []: this must be "queue" or "exchange"'),
        ({"via": "exchange", "destination": "work"}, 'destination and via = "exchange" exclude each other'),
        (
            {"filter": "rejected"},
            'filter = "rejected": this must be an object with any of reason, queue, group',
        ),
        (
            {"filter": {"groups": "a"}},
            "filter.groups is not known here; the keys are reason, queue, group, group_key_type",
        ),
        ({"filter": {"messages": []}}, "filter.messages = []: this must be a list of 1 to 1000 messages"),
        ({"filter": {"messages": [{"position": 1}]}}, "filter.messages = {"),
        ({"filter": {"group": 1}}, "filter.group = 1: this must be a string"),
        (
            {"filter": {"group": "1", "group_key_type": "I"}},
            'filter.group_key_type = "I": this must be one of string, integer, other',
        ),
        (
            {"filter": {"group_key_type": "integer"}},
            "filter.group_key_type is the type of a group's key: set filter.group",
        ),
        ({"filter": {"header": "x"}}, 'filter.header = "x": this must be an object of names and values of headers'),
        ({"filter": {"header": {"x": [1]}}}, "filter.header.x = [1]: this must be a string, a number or a boolean"),
        ({"filter": {"queue": 1}}, "filter.queue = 1: this must be a name"),
        ({"keep_history": "yes"}, 'keep_history = "yes": this must be true or false'),
        ({"restore_expiration": 1}, "restore_expiration = 1: this must be true or false"),
        ({"reset_count": False}, "reset_count = false: a dead letter has no delivery count"),
    ],
)
async def test_wrong_options_are_refused_with_what_to_write(api, body, reason):
    answer = await api.post(PATH, body)
    assert (answer.status_code, answer.json()["error"]) == (400, "bad_request")
    assert answer.json()["reason"].startswith(reason)
    assert (await api.get(PATH)).json() == []


async def test_messages_that_a_peek_shows_are_redriven(api):
    shown = (await api.post("queues/%2F/dlq/peek", {})).json()["messages"]
    chosen = [{"position": each["position"], "checksum": each["checksum"]} for each in (shown[2], shown[0])]
    await api.post(PATH, {"filter": {"messages": chosen}})
    api.clock.advance(0)
    [task] = (await api.get(PATH)).json()
    assert (task["state"], task["moved"], task["filter"]) == ("COMPLETED", 2, {"messages": 2})
    assert [each["payload"] for each in (await api.post("queues/%2F/dlq/peek", {})).json()["messages"]] == ["1"]


async def test_null_stands_for_an_absent_option(api):
    body = {"destination": None, "limit": None, "filter": None, "max_messages_per_second": None, "reset_count": None}
    assert (await api.post(PATH, body)).status_code == 201
