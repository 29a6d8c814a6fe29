import asyncio
import base64

import pytest

from tests.harness import Wire
from tests.management.api import Api

PUBLISH = "exchanges/%2F/amq.default/publish"
GET = {"count": 10, "ackmode": "ack_requeue_true", "encoding": "auto"}


@pytest.fixture
async def api():
    api = Api()
    for name in ("q", "to"):
        await api.put(f"queues/%2F/{name}", {"durable": True})
    return api


@pytest.fixture
def client(api):
    return Wire(api.broker).log_in()


async def publish(api, payload="x", path=PUBLISH, auth=("guest", "guest"), **changes):
    body = {"properties": {}, "routing_key": "q", "payload": payload, "payload_encoding": "string"}
    body = {key: value for key, value in {**body, **changes}.items() if value is not ...}
    return await api.post(path, body, auth=auth)


async def get(api, name="q", auth=("guest", "guest"), **changes):
    return await api.post(f"queues/%2F/{name}/get", {**GET, **changes}, auth=auth)


async def payloads(api, name="q", **changes):
    return [message["payload"] for message in (await get(api, name, **changes)).json()]


# --- publish ----------------------------------------------------------------------------------------------------------

PROPERTIES = {
    "content_type": "text/plain",
    "content_encoding": "utf-8",
    "headers": {"a": 1, "b": "s", "c": 1.5, "d": True, "f": [1, "x", {"z": 1}], "g": {"y": 2}, "h": 2**40},
    "delivery_mode": 2,
    "priority": 5,
    "correlation_id": "c",
    "reply_to": "r",
    "expiration": "100000",
    "message_id": "m",
    "timestamp": 1_700_000_000,
    "type": "t",
    "user_id": "guest",
    "app_id": "ap",
    "cluster_id": "cl",
}


async def test_message_published_over_http_is_got_unchanged(api):
    assert (await publish(api, "héllo", properties=PROPERTIES)).json() == {"routed": True}
    assert (await get(api)).json() == [
        {
            "payload_bytes": 6,
            "redelivered": False,
            "exchange": "",
            "routing_key": "q",
            "message_count": 0,
            "properties": PROPERTIES,
            "payload": "héllo",
            "payload_encoding": "string",
        }
    ]


async def test_amqp_client_gets_a_message_published_over_http(api, client):
    await publish(api, "hello", properties=PROPERTIES)
    got = client.get("q")
    assert got.body == b"hello"
    assert got.properties["delivery_mode"] == 2
    assert got.properties["headers"]["h"].kind == "l"
    assert got.properties["expiration"] == b"100000"


async def test_binary_payload_is_published_and_got_in_base64(api):
    data = b"\xff\x00"
    await publish(api, base64.b64encode(data).decode(), payload_encoding="base64")
    (message,) = (await get(api)).json()
    assert (message["payload"], message["payload_encoding"], message["payload_bytes"]) == ("/wA=", "base64", 2)
    assert message["properties"] == []


async def test_publish_reports_an_unroutable_message(api):
    assert (await publish(api, routing_key="nowhere")).json() == {"routed": False}
    stats = (await api.get("overview")).json()["message_stats"]
    assert (stats["publish"], stats["return_unroutable"]) == (1, 1)


async def test_publish_to_a_full_queue_is_refused(api):
    arguments = {"x-max-length": 0, "x-overflow": "reject-publish"}
    await api.put("queues/%2F/full", {"arguments": arguments})
    answer = await publish(api, routing_key="full")
    assert (answer.status_code, answer.json()["reason"]) == (
        400,
        "rejected Unable to publish message. Check queue limits.",
    )


async def test_message_published_over_http_is_routed_by_its_cc_header(api):
    await publish(api, routing_key="q", properties={"headers": {"CC": ["to"]}})
    assert await payloads(api) == await payloads(api, "to") == ["x"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"properties": ...}, "[{key_missing,properties}]"),
        ({"payload": ...}, "[{key_missing,payload}]"),
        ({"routing_key": ...}, "[{key_missing,routing_key}]"),
        ({"payload_encoding": ...}, "[{key_missing,payload_encoding}]"),
        ({"payload": 5}, "payload_not_string"),
        ({"payload": "!!!", "payload_encoding": "base64"}, ["not_base64", "!!!"]),
        ({"payload_encoding": "hex"}, ["unsupported_encoding", "hex"]),
        ({"properties": {"delivery_mode": "2"}}, ["not_int", "delivery_mode"]),
        ({"properties": {"delivery_mode": "2"}, "payload_encoding": "hex"}, ["not_int", "delivery_mode"]),
        ({"properties": {"delivery_mode": "2"}, "payload": 5}, "payload_not_string"),
        ({"properties": {"timestamp": "x"}}, ["not_int", "timestamp"]),
        ({"properties": {"content_type": 5}}, ["not_string", "content_type"]),
        ({"properties": {"headers": {"a": None}}}, "null_not_allowed"),
        ({"properties": {"expiration": "abc"}}, "406 PRECONDITION_FAILED - invalid expiration 'abc': no_integer"),
        (
            {"properties": {"user_id": "bob"}},
            "406 PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'guest'",
        ),
        (
            {"properties": {"reply_to": "amq.rabbitmq.reply-to"}},
            "406 PRECONDITION_FAILED - fast reply consumer does not exist",
        ),
        (
            {"properties": {"headers": {"CC": "x"}}},
            '406 PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}',
        ),
        (
            {"path": "exchanges/%2F/amq.rabbitmq.trace/publish"},
            "403 ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'",
        ),
    ],
)
async def test_invalid_publish_is_refused_with_a_reason(api, changes, reason):
    answer = await publish(api, **changes)
    assert (answer.status_code, answer.json()["error"], answer.json()["reason"]) == (400, "bad_request", reason)
    assert await payloads(api) == []


async def test_unknown_property_of_a_published_message_is_ignored(api):
    await publish(api, properties={"nope": 1, "priority": 300})
    assert (await get(api)).json()[0]["properties"] == {"priority": 44}


async def test_publish_to_an_unknown_exchange_is_not_found(api):
    answer = await publish(api, path="exchanges/%2F/nope/publish")
    assert (answer.status_code, answer.json()) == (404, {"error": "not_found", "reason": "exchange_not_found"})


async def test_publishing_over_http_requires_permissions(api):
    auth = api.user("u")
    api.broker.users.set_permissions("u", "/", "", "", "")
    answer = await publish(api, auth=auth)
    assert (answer.status_code, answer.json()["reason"]) == (
        400,
        "403 ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'u'",
    )
    api.broker.users.set_permissions("u", "/", "", "amq.topic", "")
    api.broker.users.set_topic_permissions("u", "/", "amq.topic", "^a", "")
    answer = await publish(api, path="exchanges/%2F/amq.topic/publish", auth=auth, routing_key="b")
    assert "write access to topic 'b' in exchange 'amq.topic'" in answer.json()["reason"]


async def test_publish_is_answered_after_the_message_is_stored(api):
    """As a confirm does."""
    store = api.broker.storage.store
    store.appended = 1
    waiting = asyncio.create_task(publish(api))
    while not api.broker.storage.awaiting_sync:
        await asyncio.sleep(0)
    assert not waiting.done()
    store.synced = 1
    for each in list(api.broker.storage.awaiting_sync):
        each.synced()
    assert (await waiting).json() == {"routed": True}


# --- get --------------------------------------------------------------------------------------------------------------


async def filled(api, count=3, name="q"):
    for number in range(count):
        await publish(api, str(number), routing_key=name)


async def test_messages_got_with_requeue_return_to_their_positions(api):
    await filled(api)
    messages = (await get(api)).json()
    assert [(m["payload"], m["redelivered"], m["message_count"]) for m in messages] == [
        ("0", False, 2),
        ("1", False, 1),
        ("2", False, 0),
    ]
    messages = (await get(api, count=2)).json()
    assert [(m["payload"], m["redelivered"], m["message_count"]) for m in messages] == [("0", True, 2), ("1", True, 1)]


@pytest.mark.parametrize(
    ("ack_mode", "left", "dead"),
    [
        ("ack_requeue_true", ["0", "1", "2"], []),
        ("reject_requeue_true", ["0", "1", "2"], []),
        ("ack_requeue_false", ["2"], []),
        ("reject_requeue_false", ["2"], ["0", "1"]),
    ],
)
async def test_ack_mode_requeues_removes_or_dead_letters_messages(api, ack_mode, left, dead):
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "to"}
    await api.put("queues/%2F/letters", {"arguments": arguments})
    await filled(api, name="letters")
    assert await payloads(api, "letters", count=2, ackmode=ack_mode) == ["0", "1"]
    assert await payloads(api, "letters") == left
    assert await payloads(api, "to") == dead


async def test_negative_count_gets_all_messages_and_zero_gets_none(api):
    await filled(api)
    assert await payloads(api, count=0) == []
    assert await payloads(api, count=-1) == ["0", "1", "2"]
    assert await payloads(api, count="2") == ["0", "1"]
    assert await payloads(api, count=1.9) == ["0"]
    assert await payloads(api, count=1e30) == ["0", "1", "2"]
    assert await payloads(api, count="+1") == ["0"]


async def test_payload_is_truncated_on_request(api):
    await publish(api, "hé")
    (message,) = (await get(api, truncate=2)).json()
    assert (message["payload"], message["payload_encoding"], message["payload_bytes"]) == ("aMM=", "base64", 3)
    (message,) = (await get(api, truncate=1)).json()
    assert (message["payload"], message["payload_encoding"]) == ("h", "string")
    assert await payloads(api, encoding="base64") == ["aMOp"]


async def test_quorum_queues_count_deliveries(api):
    await api.put("queues/%2F/quorum", {"durable": True, "arguments": {"x-queue-type": "quorum"}})
    await publish(api, routing_key="quorum", properties={"headers": {"a": "b"}})
    assert (await get(api, "quorum")).json()[0]["properties"] == {"headers": {"a": "b"}}
    assert (await get(api, "quorum")).json()[0]["properties"] == {"headers": {"a": "b", "x-delivery-count": 1}}


ACK_MODE = "ackmode is to be one of ack_requeue_true, ack_requeue_false, reject_requeue_true, reject_requeue_false"


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"count": "x"}, 400, ["not_integer", "x"]),
        ({"truncate": "x"}, 400, ["not_integer", "x"]),
        ({"encoding": "foo"}, 400, "Unsupported encoding. Please use auto or base64."),
        ({"encoding": "foo", "truncate": "x"}, 400, "Unsupported encoding. Please use auto or base64."),
        ({"encoding": "foo", "count": "x"}, 400, ["not_integer", "x"]),
        ({"count": " 2"}, 400, ["not_integer", " 2"]),
        ({"count": "1_0"}, 400, ["not_integer", "1_0"]),
        ({"count": "\u0663"}, 400, ["not_integer", "\u0663"]),
        ({"count": True}, 400, ["not_integer", True]),
        ({"count": []}, 400, ["not_integer", []]),
        ({"truncate": -1}, 400, "truncate is to be 0 or more, not -1"),
        *(({"ackmode": given}, 400, ACK_MODE) for given in ("foo", 1, None, [], {})),
    ],
)
async def test_invalid_get_is_refused_with_a_reason(api, changes, status, reason):
    answer = await get(api, **changes)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)


async def test_get_without_ackmode_is_refused(api):
    answer = await api.post("queues/%2F/q/get", {"count": 1, "encoding": "auto", "requeue": True})
    assert (answer.status_code, answer.json()["reason"]) == (400, "[{key_missing,ackmode}]")


async def test_getting_from_an_unknown_locked_or_forbidden_queue_is_refused(api, client):
    answer = await get(api, "nope")
    assert (answer.status_code, answer.json()) == (404, {"error": "not_found", "reason": "queue_not_found"})
    client.declare("mine", exclusive=True)
    assert (await get(api, "mine", count=0)).json() == []
    answer = await get(api, "mine")
    assert answer.status_code == 400
    assert answer.json()["reason"].startswith("405 RESOURCE_LOCKED - cannot obtain exclusive access")
    auth = api.user("u")
    api.broker.users.set_permissions("u", "/", ".*", ".*", "")
    answer = await get(api, auth=auth)
    assert (answer.status_code, answer.json()["reason"]) == (
        401,
        "ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'u'",
    )


@pytest.mark.parametrize("ack_mode", ["ack_requeue_true", "ack_requeue_false", "reject_requeue_true"])
async def test_stream_refuses_get_with_rabbitmqs_reason(api, ack_mode):
    await api.put("queues/%2F/s", {"durable": True, "arguments": {"x-queue-type": "stream"}})
    await publish(api, routing_key="s")
    answer = await get(api, "s", ackmode=ack_mode)
    reason = "540 basic.get not supported by stream queues queue 's' in vhost '/'"
    assert (answer.status_code, answer.json()) == (400, {"error": "bad_request", "reason": reason})
    assert api.broker.vhosts["/"].queues["s"].ready_count == 1


async def test_messages_of_a_stream_are_not_moved(api):
    await api.put("queues/%2F/s", {"durable": True, "arguments": {"x-queue-type": "stream"}})
    await publish(api, routing_key="s")
    for path, body in (("move", {"destination": "to"}), ("discard", {}), ("redrive", {"destination": "to"})):
        answer = await api.post(f"queues/%2F/s/{path}", body)
        assert answer.status_code == 400
        assert answer.json()["reason"].startswith("messages stay in stream 's'"), path
    assert api.broker.vhosts["/"].queues["to"].ready_count == 0
    await publish(api)
    assert (await api.post("queues/%2F/q/move", {"destination": "s"})).json() == {"moved": 1}
    assert api.broker.vhosts["/"].queues["s"].ready_count == 2


async def test_header_that_is_not_utf_8_is_shown_in_base64(api, client):
    from amqpbroker.wire.values import Field
    from tests.harness import published

    client.feed(published("q", b"1", headers={"x": Field("S", b"\xff"), "n": Field("V", None)}))
    (message,) = (await get(api)).json()
    assert message["properties"] == {"headers": {"n": "undefined", "x": "Not UTF-8, base64 is: /w=="}}


# --- move -------------------------------------------------------------------------------------------------------------


async def move(api, auth=("guest", "guest"), **body):
    return await api.post("queues/%2F/q/move", {"destination": "to", **body}, auth=auth)


async def test_move_transfers_all_ready_messages_in_order(api, client):
    await filled(api, 250)
    assert (await move(api)).json() == {"moved": 250}
    assert await payloads(api, "q", count=-1) == []
    assert await payloads(api, "to", count=-1) == [str(number) for number in range(250)]


async def test_move_with_a_count_transfers_messages_unchanged(api, client):
    await filled(api, 2)
    await publish(api, "two", properties=PROPERTIES)
    assert (await move(api, count=1)).json() == {"moved": 1}
    assert await payloads(api, "to", ackmode="ack_requeue_false") == ["0"]
    assert (await move(api, count=99)).json() == {"moved": 2}
    message = (await get(api, "to")).json()[1]
    assert (message["payload"], message["properties"], message["routing_key"]) == ("two", PROPERTIES, "q")


async def test_move_leaves_unacknowledged_messages(api, client):
    await filled(api, 2)
    client.get("q", no_ack=False)
    assert (await move(api)).json() == {"moved": 1}
    assert api.broker.vhosts["/"].queues["q"].unacked_count == 1


async def test_consumers_get_messages_moved_to_their_queue(api, client):
    client.consume("to", no_ack=True)
    await filled(api, 2)
    assert (await move(api)).json() == {"moved": 2}
    assert [got.body for got in client.receive()] == [b"0", b"1"]


async def test_move_stops_at_a_full_destination_without_losing_messages(api):
    arguments = {"x-max-length": 2, "x-overflow": "reject-publish"}
    await api.put("queues/%2F/full", {"arguments": arguments})
    await filled(api, 3)
    assert (await move(api, destination="full")).json() == {"moved": 2}
    assert (await payloads(api), await payloads(api, "full")) == (["2"], ["0", "1"])


async def test_messages_are_moved_to_another_vhost(api):
    api.broker.add_vhost("other")
    api.broker.users.set_permissions("guest", "other", ".*", ".*", ".*")
    await api.put("queues/other/to", {})
    await filled(api, 1)
    assert (await move(api, destination_vhost="other")).json() == {"moved": 1}
    assert api.broker.vhosts["other"].queues["to"].ready_count == 1


async def test_move_requires_permissions_for_both_queues(api):
    await filled(api, 1)
    auth = api.user("u")
    for write, read in (("", "^q$"), ("^to$", "")):
        api.broker.users.set_permissions("u", "/", "", write, read)
        answer = await move(api, auth=auth)
        assert (answer.status_code, answer.json()["reason"]) == (401, "Access refused.")
    api.broker.users.set_permissions("u", "/", "", "^to$", "^q$")
    api.broker.add_vhost("other")
    assert (await move(api, auth=auth, destination_vhost="other")).status_code == 401
    assert (await move(api, auth=auth)).json() == {"moved": 1}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"destination": "q"}, 400),
        ({"destination": "nope"}, 404),
        ({"destination": 5}, 400),
        ({"destination_vhost": "nope"}, 404),
        ({"count": "x"}, 400),
        ({"count": 1.5}, 400),
        ({"count": -3}, 400),
    ],
)
async def test_invalid_move_is_refused_and_moves_nothing(api, body, status):
    await filled(api, 1)
    assert (await move(api, **body)).status_code == status
    assert await payloads(api) == ["0"]


async def test_expired_messages_are_not_moved(api):
    await publish(api, properties={"expiration": "10"})
    api.clock.advance(10)
    assert (await move(api)).json() == {"moved": 0}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("exchanges/%2F/nope/publish", "exchange_not_found"),
        ("queues/%2F/nope/get", "queue_not_found"),
        ("queues/%2F/nope/actions", "queue_not_found"),
    ],
)
@pytest.mark.parametrize("body", [{}, {"count": "x"}, None])
async def test_unknown_object_is_reported_before_an_invalid_body(api, path, reason, body):
    answer = await api.post(path, body)
    assert (answer.status_code, answer.json()) == (404, {"error": "not_found", "reason": reason})
