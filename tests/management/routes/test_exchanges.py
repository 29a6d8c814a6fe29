import pytest

from tests.harness import Wire
from tests.management.api import Api


@pytest.fixture
def api():
    return Api()


async def test_predeclared_exchanges_of_a_vhost_are_listed(api):
    rows = (await api.get("exchanges/%2F")).json()
    assert [row["name"] for row in rows] == [
        "",
        "amq.direct",
        "amq.fanout",
        "amq.headers",
        "amq.match",
        "amq.rabbitmq.event",
        "amq.rabbitmq.trace",
        "amq.topic",
    ]
    assert (await api.get("exchanges/%2F/amq.default")).json()["name"] == ""


async def test_exchange_is_created_shown_and_deleted(api):
    body = {"type": "topic", "durable": True, "internal": True, "arguments": {"alternate-exchange": "lost"}}
    assert (await api.put("exchanges/%2F/x", body)).status_code == 201
    assert (await api.put("exchanges/%2F/x", body)).status_code == 204
    row = (await api.get("exchanges/%2F/x")).json()
    assert (row["type"], row["durable"], row["internal"], row["auto_delete"]) == ("topic", True, True, False)
    assert row["arguments"] == {"alternate-exchange": "lost"}
    assert (await api.delete("exchanges/%2F/x")).status_code == 204
    assert (await api.delete("exchanges/%2F/x")).status_code == 404


@pytest.mark.parametrize(
    ("name", "body", "status", "reason"),
    [
        ("x", {"type": "nope"}, 400, "invalid exchange type 'nope'"),
        ("x", {"type": None}, 400, "invalid exchange type 'null'"),
        ("x", {"type": True}, 400, "invalid exchange type 'true'"),
        ("x", {"type": 5}, 400, "invalid exchange type '5'"),
        ("x", {"durable": "x"}, 400, ["not_boolean", "x"]),
        ("amq.mine", {}, 401, "Access refused."),
        ("amq.default", {}, 401, "Access refused."),
        (
            "amq.direct",
            {"type": "fanout", "durable": True},
            400,
            "inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received 'fanout' but current is 'direct'",
        ),
    ],
)
async def test_invalid_declaration_is_refused_with_a_reason(api, name, body, status, reason):
    answer = await api.put(f"exchanges/%2F/{name}", body)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


@pytest.mark.parametrize("name", ["amq.default", "amq.direct"])
async def test_predeclared_exchanges_cannot_be_deleted(api, name):
    answer = await api.delete(f"exchanges/%2F/{name}")
    assert (answer.status_code, answer.json()["reason"]) == (401, "Access refused.")


async def test_exchange_in_use_is_not_deleted_with_if_unused(api):
    await api.put("exchanges/%2F/x", {})
    await api.put("queues/%2F/q", {})
    await api.post("bindings/%2F/e/x/q/q", {})
    answer = await api.delete("exchanges/%2F/x?if-unused=true")
    assert (answer.status_code, answer.json()["reason"]) == (400, "exchange 'x' in vhost '/' in use")


async def test_exchange_shows_counts_of_published_messages(api):
    client = Wire(api.broker).log_in()
    client.declare("q")
    assert "message_stats" not in (await api.get("exchanges/%2F/amq.default")).json()
    client.publish("q")
    client.publish("nowhere")
    client.receive()
    stats = (await api.get("exchanges/%2F/amq.default")).json()["message_stats"]
    assert (stats["publish_in"], stats["publish_out"]) == (2, 1)
    assert "message_stats" not in (await api.get("exchanges/%2F/amq.default?disable_stats=true")).json()


async def test_dropped_duplicates_are_counted_in_the_rows_of_queue_and_exchange(api):
    on = {"x-message-deduplication": True, "x-cache-ttl": 60000}
    assert (await api.put("exchanges/%2F/once", {"type": "fanout", "arguments": on})).status_code == 201
    assert (await api.put("queues/%2F/own", {"arguments": on})).status_code == 201
    assert (await api.put("queues/%2F/plain", {})).status_code == 201
    assert (await api.post("bindings/%2F/e/once/q/plain", {})).status_code == 201
    message = {"properties": {"headers": {"x-deduplication-header": "a"}}, "payload": "", "payload_encoding": "string"}
    for _ in range(3):
        for exchange, key in (("once", ""), ("amq.default", "own")):
            published = await api.post(f"exchanges/%2F/{exchange}/publish", message | {"routing_key": key})
            assert published.json() == {"routed": True}
    exchange = (await api.get("exchanges/%2F/once")).json()
    assert (exchange["messages_deduplicated"], exchange["message_stats"]["publish_out"]) == (2, 1)
    own = (await api.get("queues/%2F/own")).json()
    assert (own["messages_deduplicated"], own["messages"]) == (2, 1)
    assert "messages_deduplicated" not in (await api.get("queues/%2F/plain")).json()
    assert "messages_deduplicated" not in (await api.get("exchanges/%2F/amq.fanout")).json()
