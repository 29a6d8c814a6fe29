"""Message groups over the API: list, redrive, discard."""

import pytest

from amqpbroker.wire.values import longstr
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


def reject(client, count=1):
    for _ in range(count):
        got = client.get("g", no_ack=False)
        client.send(1, "basic.reject", delivery_tag=got.arguments["delivery_tag"], requeue=False)
    client.receive()


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


async def test_parked_group_is_redriven_and_its_first_message_discarded(api, client):
    declare(client, "park")
    publish(client, "c/c1", "c/c2")
    reject(client)
    assert (await api.post(f"{GROUPS}/c%2Fc/redrive", {})).json() == {"messages": 2}
    reject(client)
    assert (await api.post(f"{GROUPS}/c%2Fc/discard", {})).json() == {"messages": 1}
    assert client.get("g").body == b"c/c2"
    assert (await api.post(f"{GROUPS}/c%2Fc/redrive", {})).status_code == 404


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
    assert (await api.post(f"{GROUPS}/a/redrive", {})).json() == {"messages": 2}
    assert [client.get("g").body for _ in range(3)] == [b"a1", b"a2", b"b1"]


async def test_closed_group_waits_until_a_held_letter_is_returned(api, client):
    declare(client, "follow")
    publish(client, "a1", "a2", "a3")
    reject(client)
    held = client.get("grave", no_ack=False)
    answer = await api.post(f"{GROUPS}/a/redrive", {})
    assert (answer.status_code, answer.json()["reason"]) == (
        409,
        "a consumer of queue 'grave' holds a message of this group: let it return the message first",
    )
    client.send(1, "basic.reject", delivery_tag=held.arguments["delivery_tag"], requeue=True)
    client.receive()
    assert (await api.post(f"{GROUPS}/a/redrive", {})).json() == {"messages": 3}
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
    assert (await api.post(f"{GROUPS}/a/redrive", {})).json() == {"messages": 2}


async def test_groups_need_permissions(api, client):
    declare(client, "park")
    publish(client, "a1")
    reject(client)
    await api.put("users/reader", {"password": "x", "tags": "management"})
    await api.put("permissions/%2F/reader", {"configure": "", "write": "", "read": ".*"})
    reader = ("reader", "x")
    assert (await api.get(GROUPS, auth=reader)).status_code == 200
    assert (await api.post(f"{GROUPS}/a/redrive", {}, auth=reader)).status_code in (401, 403)
    await api.put("permissions/%2F/reader", {"configure": "", "write": ".*", "read": ""})
    assert (await api.get(GROUPS, auth=reader)).status_code in (401, 403)
    assert (await api.post(f"{GROUPS}/a/discard", {}, auth=reader)).status_code in (401, 403)


async def test_queue_without_groups_has_no_list(api, client):
    assert (await api.get("queues/%2F/grave/groups")).status_code == 400
    assert (await api.get("queues/%2F/nope/groups")).status_code == 404
