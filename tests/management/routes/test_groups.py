"""Message groups over the API: list, redrive, discard."""

import asyncio

import pytest

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.management.routes import groups as routes
from amqpbroker.wire.values import Field, longstr
from tests.harness import Wire
from tests.management.api import Api

GROUPS = "queues/%2F/g/groups"


@pytest.fixture
async def api():
    return Api()


@pytest.fixture
def client(api):
    client = Wire(api.broker).log_in()
    client.declare("grave")
    return client


def declare(client, on_dead, name="g"):
    arguments = {
        "x-group-header": "key",
        "x-group-on-dead": on_dead,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "grave",
    }
    client.declare(name, arguments={key: longstr(value) for key, value in arguments.items()})


def publish(client, *texts):
    for text in texts:
        client.publish("g", text.encode(), headers={"key": longstr(text[:-1])})


def reject(client, count=1, queue="g"):
    for _ in range(count):
        got = client.get(queue, no_ack=False)
        client.send(1, "basic.reject", delivery_tag=got.arguments["delivery_tag"], requeue=False)
    client.receive()


async def test_groups_in_a_state_are_found_in_slices(api, client, monkeypatch):
    monkeypatch.setattr("amqpbroker.management.listing.FILTER_SLICE_S", 0)
    declare(client, "park")
    publish(client, *[f"{number}x1" for number in range(200)])
    client.get("g", no_ack=False)
    turns = []

    async def other():
        while True:
            turns.append(1)
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    found = (await api.get(f"{GROUPS}?state=busy")).json()
    others.cancel()
    assert [row["key"] for row in found] == ["0x"]
    assert len(turns) >= 200


async def test_groups_are_listed_with_their_states(api, client):
    declare(client, "park")
    publish(client, "a1", "b1", "a2", "c/c1")
    reject(client)
    client.get("g", no_ack=False)
    found = (await api.get(GROUPS)).json()
    assert [(row["key"], row["state"], row["messages"], row["messages_unacknowledged"]) for row in found] == [
        ("a", "parked", 2, 0),
        ("b", "busy", 0, 1),
        ("c/c", "free", 1, 0),
    ]
    assert found[0]["since"] == api.broker.clock.wall_ms()
    parked = (await api.get(f"{GROUPS}?state=parked&page=1&page_size=10")).json()
    assert [row["key"] for row in parked["items"]] == ["a"]
    assert (await api.get(f"{GROUPS}?state=stuck")).status_code == 400
    row = (await api.get("queues/%2F/g")).json()
    assert [row[name] for name in ("groups", "groups_parked", "groups_closed", "messages_parked")] == [3, 1, 0, 2]
    assert "groups" not in (await api.get("queues/%2F/grave")).json()


async def test_groups_of_a_queue_that_is_exclusive_to_a_connection_are_locked(api, client):
    arguments = {"x-group-header": longstr("key"), "x-group-on-dead": longstr("park")}
    client.declare("mine", exclusive=True, arguments=arguments)
    client.publish("mine", b"a1", headers={"key": longstr("a")})
    reject(client, queue="mine")
    mine = "queues/%2F/mine/groups"
    for answer in (
        await api.get(mine),
        await api.post(f"{mine}/redrive", {"key": "a"}),
        await api.post(f"{mine}/discard", {"key": "a"}),
    ):
        assert answer.status_code == 400
        assert answer.json()["reason"].startswith("405 RESOURCE_LOCKED - cannot obtain exclusive access")
    assert client.get("mine").name == "basic.get-empty"


async def test_parked_group_is_redriven_and_its_first_message_discarded(api, client):
    declare(client, "park")
    publish(client, "c/c1", "c/c2")
    reject(client)
    assert (await api.post(f"{GROUPS}/redrive", {"key": "c/c"})).json() == {"messages": 2}
    reject(client)
    assert (await api.post(f"{GROUPS}/discard", {"key": "c/c"})).json() == {"messages": 1}
    assert client.get("g").body == b"c/c2"
    assert (await api.post(f"{GROUPS}/redrive", {"key": "c/c"})).status_code == 404


async def test_first_messages_of_a_parked_group_are_discarded_together(api, client):
    declare(client, "park")
    publish(client, "a1", "a2", "a3")
    reject(client)
    client.send(1, "basic.consume", queue="g", consumer_tag="worker")
    found = (await api.post("queues/%2F/g/peek", {"count": 2})).json()["messages"]
    chosen = [{key: message[key] for key in ("position", "checksum")} for message in found]
    assert (await api.post("queues/%2F/g/discard", {"messages": chosen})).json() == {"discarded": 2}
    assert [got.body for got in client.receive() if got.name == "basic.deliver"] == [b"a3"]
    assert (await api.get(f"{GROUPS}?state=parked")).json() == []


async def test_closed_group_comes_back_from_its_dead_letter_queue(api, client):
    declare(client, "follow")
    publish(client, "a1", "b1")
    reject(client)
    publish(client, "a2")
    client.receive()
    assert [row["key"] for row in (await api.get(f"{GROUPS}?state=closed")).json()] == ["a"]
    assert (await api.post(f"{GROUPS}/redrive", {"key": "a"})).json() == {"messages": 2}
    assert [client.get("g").body for _ in range(3)] == [b"a1", b"a2", b"b1"]


async def test_closed_group_waits_until_a_held_letter_is_returned(api, client):
    declare(client, "follow")
    publish(client, "a1", "a2", "a3")
    reject(client)
    held = client.get("grave", no_ack=False)
    answer = await api.post(f"{GROUPS}/redrive", {"key": "a"})
    assert (answer.status_code, answer.json()["reason"]) == (
        409,
        "a consumer of queue 'grave' holds a message of this group: let it return the message first",
    )
    client.send(1, "basic.reject", delivery_tag=held.arguments["delivery_tag"], requeue=True)
    client.receive()
    assert (await api.post(f"{GROUPS}/redrive", {"key": "a"})).json() == {"messages": 3}
    assert [client.get("g").body for _ in range(3)] == [b"a1", b"a2", b"a3"]


async def test_closed_group_comes_back_through_bindings_of_the_dead_letter_exchange(api, client):
    client.call(1, "exchange.declare", exchange="dead", exchange_type="fanout")
    client.call(1, "queue.bind", queue="grave", exchange="dead", routing_key="")
    client.declare(
        "g",
        arguments={
            name: longstr(value)
            for name, value in (
                ("x-group-header", "key"),
                ("x-group-on-dead", "follow"),
                ("x-dead-letter-exchange", "dead"),
            )
        },
    )
    publish(client, "a1", "a2")
    reject(client)
    assert (await api.post(f"{GROUPS}/redrive", {"key": "a"})).json() == {"messages": 2}


async def test_long_redrive_goes_on_after_its_answer(api, client):
    declare(client, "follow")
    count = 2 * BOUNDS.slice_count + 50
    publish(client, *[f"a{number % 10}" for number in range(count)])
    reject(client)
    for _ in range(5):
        api.broker.clock.advance(0)
    (row,) = (await api.get(f"{GROUPS}?state=closed")).json()
    assert row["redrive"] is None
    answer = await api.post(f"{GROUPS}/redrive", {"key": "a"})
    assert (answer.status_code, answer.json()) == (
        202,
        {"messages": BOUNDS.slice_count, "left": BOUNDS.slice_count + 50},
    )
    for action in "redrive", "discard":
        answer = await api.post(f"{GROUPS}/{action}", {"key": "a"})
        assert (answer.status_code, answer.json()["reason"]) == (
            409,
            f"a redrive of this group is running: {BOUNDS.slice_count} messages are back; wait until it ends",
        )
    (row,) = (await api.get(f"{GROUPS}?state=closed")).json()
    assert row["redrive"] == {
        "state": "RUNNING",
        "moved": BOUNDS.slice_count,
        "left": BOUNDS.slice_count + 50,
        "missing": 0,
        "reason": None,
    }
    for _ in range(5):
        api.broker.clock.advance(0)
    (row,) = (await api.get(GROUPS)).json()
    assert (row["state"], row["messages"], row["redrive"]) == ("free", count, None)


async def test_reason_why_a_long_redrive_failed_is_shown(api, client):
    declare(client, "follow")
    publish(client, *["a1"] * (2 * BOUNDS.slice_count + 50))
    reject(client)
    for _ in range(5):
        api.broker.clock.advance(0)
    await api.post(f"{GROUPS}/redrive", {"key": "a"})
    client.get("grave", no_ack=False)
    for _ in range(5):
        api.broker.clock.advance(0)
    (row,) = (await api.get(f"{GROUPS}?state=closed")).json()
    assert (row["redrive"]["state"], row["messages"]) == ("FAILED", 0)
    assert row["redrive"]["reason"].startswith("a client took a message of the group from queue 'grave'")
    assert (await api.post(f"{GROUPS}/redrive", {"key": "a"})).status_code == 409


async def test_progress_in_an_answer_is_that_of_one_moment(api, client, monkeypatch):
    declare(client, "follow")
    count = 2 * BOUNDS.slice_count + 50
    publish(client, *["a1"] * count)
    reject(client)
    for _ in range(5):
        api.broker.clock.advance(0)

    async def synced(broker):
        # While the answer waits for the disk, the redrive goes on.
        broker.clock.advance(0)

    monkeypatch.setattr(routes, "all_synced", synced)
    answer = await api.post(f"{GROUPS}/redrive", {"key": "a"})
    assert (answer.status_code, answer.json()) == (
        202,
        {"messages": BOUNDS.slice_count, "left": count - BOUNDS.slice_count},
    )


@pytest.mark.parametrize("action", ["redrive", "discard"])
async def test_group_with_missing_letters_is_opened_by_force(api, client, action):
    declare(client, "follow")
    publish(client, "a1", "a2", "a3")
    reject(client)
    client.get("grave")
    answer = await api.post(f"{GROUPS}/{action}", {"key": "a"})
    assert (answer.status_code, answer.json()["reason"]) == (
        409,
        "1 of 3 dead letters of the group are missing; queues that were searched: 'grave'. They were acknowledged, "
        "moved, purged or dropped, or have expired. Set force to open the group without them",
    )
    answer = await api.post(f"{GROUPS}/{action}", {"key": "a", "force": 1})
    assert (answer.status_code, answer.json()["reason"]) == (400, "force = 1: this must be true or false")
    answer = await api.post(f"{GROUPS}/{action}", {"key": "a", "force": True})
    assert answer.json() == {"messages": 2 - (action == "discard")}


async def test_closed_group_waits_until_a_delayed_letter_is_due(api, client):
    await api.put(
        "policies/%2F/d", {"pattern": "^grave$", "definition": {"delayed-retry-type": "all", "delayed-retry-min": 1000}}
    )
    declare(client, "follow")
    publish(client, "a1", "a2")
    reject(client)
    held = client.get("grave", no_ack=False)
    client.send(1, "basic.reject", delivery_tag=held.arguments["delivery_tag"], requeue=True)
    client.receive()
    answer = await api.post(f"{GROUPS}/redrive", {"key": "a"})
    assert (answer.status_code, answer.json()["reason"]) == (
        409,
        "a message of this group is delayed in queue 'grave': wait for it",
    )
    api.broker.clock.advance(1000)
    assert (await api.post(f"{GROUPS}/redrive", {"key": "a"})).json() == {"messages": 2}


async def test_groups_need_permissions(api, client):
    declare(client, "park")
    publish(client, "a1")
    reject(client)
    await api.put("users/reader", {"password": "x", "tags": "management"})
    await api.put("permissions/%2F/reader", {"configure": "", "write": "", "read": ".*"})
    reader = ("reader", "x")
    assert (await api.get(GROUPS, auth=reader)).status_code == 200
    assert (await api.post(f"{GROUPS}/redrive", {"key": "a"}, auth=reader)).status_code in (401, 403)
    await api.put("permissions/%2F/reader", {"configure": "", "write": ".*", "read": ""})
    for key in ("a", "no such group"):
        assert (await api.post(f"{GROUPS}/redrive", {"key": key}, auth=reader)).status_code == 401
    assert (await api.get(GROUPS, auth=reader)).status_code in (401, 403)
    assert (await api.post(f"{GROUPS}/discard", {"key": "a"}, auth=reader)).status_code in (401, 403)


#: Keys that a path of a URL or a command line cannot have, or that are shown alike.
KEYS = ("", ".", "..", "-a", "a/b", "%2F", "S:41", "t:01", "é", "I1")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("action", ["redrive", "discard"])
async def test_stopped_group_is_found_by_every_key(api, client, key, action):
    declare(client, "park")
    for body in b"1", b"2":
        client.publish("g", body, headers={"key": longstr(key)})
    reject(client)
    (row,) = (await api.get(f"{GROUPS}?state=parked")).json()
    assert (row["key"], row["key_type"]) == (key, "string")
    answer = await api.post(f"{GROUPS}/{action}", {"key": key, "key_type": "string"})
    assert answer.json() == {"messages": 2 if action == "redrive" else 1}
    assert (await api.get(f"{GROUPS}?state=parked")).json() == []


async def test_keys_of_different_types_are_different_groups(api, client):
    declare(client, "park")
    keys = [Field("l", 1), longstr("1"), Field("t", True), longstr("t:01"), longstr(b"\xff")]
    for key in keys:
        client.publish("g", b"x", headers={"key": key})
    reject(client, len(keys))
    found = [(row["key"], row["key_type"]) for row in (await api.get(f"{GROUPS}?state=parked")).json()]
    assert found == [("1", "integer"), ("1", "string"), ("t:01", "other"), ("t:01", "string"), ("S:ff", "other")]
    answer = await api.post(f"{GROUPS}/redrive", {"key": "1"})
    assert (answer.status_code, answer.json()["reason"]) == (
        409,
        'several stopped groups have the key "1": set key_type to string or integer',
    )
    for left in range(len(keys), 0, -1):
        shown, type_ = found.pop()
        answer = await api.post(f"{GROUPS}/redrive", {"key": shown, "key_type": type_})
        assert answer.json() == {"messages": 1}
        rows = (await api.get(f"{GROUPS}?state=parked")).json()
        assert [(row["key"], row["key_type"]) for row in rows] == found
        assert len(found) == left - 1


async def test_key_without_a_type_is_found_if_it_is_the_only_one(api, client):
    declare(client, "park")
    client.publish("g", b"x", headers={"key": Field("l", -7)})
    reject(client)
    assert (await api.post(f"{GROUPS}/redrive", {"key": "-7", "key_type": "string"})).status_code == 404
    assert (await api.post(f"{GROUPS}/redrive", {"key": "-7"})).json() == {"messages": 1}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, 'key is missing: name the group as the list shows it, such as {"key": "A"}'),
        (
            {"key_type": "string"},
            'key is missing: name the group as the list shows it, such as {"key": "A"}',
        ),
        ({"key": "a", "limit": 1}, "limit is not known here; the keys are key, key_type, force"),
        ({"key": 1}, "key = 1: this must be a string, also for an integer; key_type tells them apart"),
        ({"key": None}, "key = null: this must be a string, also for an integer; key_type tells them apart"),
        ({"key": "a", "key_type": "S"}, 'key_type = "S": this must be one of string, integer, other'),
        ({"key": "a", "key_type": ["string"]}, 'key_type = ["string"]: this must be one of string, integer, other'),
        (["a"], "not_json"),
    ],
)
@pytest.mark.parametrize("action", ["redrive", "discard"])
async def test_wrong_body_of_an_action_is_refused(api, client, body, reason, action):
    declare(client, "park")
    publish(client, "a1")
    reject(client)
    answer = await api.post(f"{GROUPS}/{action}", body)
    assert (answer.status_code, answer.json()["reason"]) == (400, reason)
    assert len((await api.get(f"{GROUPS}?state=parked")).json()) == 1


async def test_queue_without_groups_has_no_list(api, client):
    assert (await api.get("queues/%2F/grave/groups")).status_code == 400
    assert (await api.get("queues/%2F/nope/groups")).status_code == 404
