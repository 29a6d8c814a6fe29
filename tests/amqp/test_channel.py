from collections.abc import Callable
from typing import Any

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.values import Field, longstr
from tests.harness import Cut, LaggingStore, Received, Wire, make_broker, method, published


def error(client: Wire) -> str:
    """Return the text of the channel.close, which is all that was received."""
    (got,) = client.receive()
    assert got.name == "channel.close"
    text: str = got.arguments["reply_text"]
    return text


def confirmed(client: Wire) -> list[tuple[str, int, bool]]:
    return [(got.name[6:], got.arguments["delivery_tag"], got.arguments["multiple"]) for got in client.receive()]


@pytest.fixture
def holding(client: Wire, other: Wire) -> Wire:
    """Return a client with the queue "q" that has five deliveries outstanding: 1 to 5, bodies "1" to "5"."""
    client.declare("q")
    client.consume("q")
    for i in range(1, 6):
        other.publish("q", b"%d" % i)
    assert [got.arguments["delivery_tag"] for got in client.receive()] == [1, 2, 3, 4, 5]
    return client


# --- publish ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"expiration": "soon"}, "PRECONDITION_FAILED"),
        ({"user_id": "bob"}, "ACCESS_REFUSED"),
        ({"priority": 1}, "ACCESS_REFUSED"),
    ],
)
def test_malformed_properties_are_reported_before_a_refused_routing_key(
    client: Wire, properties: dict[str, object], told: str
) -> None:
    client.broker.users.set_topic_permissions("guest", "/", "amq.topic", "^mine$", "")
    client.publish("other", b"", exchange="amq.topic", **properties)
    assert error(client).startswith(told)


def test_unroutable_messages_are_returned_if_mandatory(client: Wire) -> None:
    client.publish("nowhere", b"1")
    client.publish("nowhere", b"2", mandatory=True, priority=3)
    client.publish("nowhere", b"", exchange="amq.topic", mandatory=True)
    first, second = client.receive()
    assert first == Received(
        1,
        "basic.return",
        {"reply_code": 312, "reply_text": "NO_ROUTE", "exchange": "", "routing_key": "nowhere"},
        {"priority": 3},
        b"2",
    )
    assert (second.arguments["exchange"], second.body) == ("amq.topic", b"")


@pytest.mark.parametrize(
    ("publish", "text"),
    [
        ({"exchange": "nope"}, "NOT_FOUND - no exchange 'nope' in vhost '/'"),
        (
            {"exchange": "amq.rabbitmq.trace"},
            "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'",
        ),
        ({"expiration": "soon"}, "PRECONDITION_FAILED - invalid expiration 'soon': no_integer"),
        (
            {"headers": {"CC": longstr("q")}},
            'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}',
        ),
        (
            {"user_id": "bob"},
            "PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'guest'",
        ),
    ],
)
@pytest.mark.parametrize("body", [b"", b"x", b"x" * 5000])
def test_forbidden_publishes_close_the_channel(
    client: Wire, other: Wire, publish: dict[str, Any], text: str, body: bytes
) -> None:
    client.declare("q")
    client.publish("q", body, **publish)
    client.publish("q", b"ignored")
    assert error(client) == text
    assert other.depth("q") == 0


def test_messages_larger_than_the_limit_are_refused(cut: Cut) -> None:
    client = Wire(make_broker(max_message_size=100), cut).log_in()
    client.declare("q")
    client.publish("q", b"x" * 100)
    assert client.get("q").body == b"x" * 100
    client.publish("q", b"x" * 101)
    assert error(client) == "PRECONDITION_FAILED - message size 101 is larger than configured max size 100"


def test_a_message_is_copied_to_each_queue_once(client: Wire) -> None:
    for queue in ("a", "b"):
        client.declare(queue)
        for key in ("k", "l"):
            client.call(1, "queue.bind", queue=queue, exchange="amq.direct", routing_key=key)
    client.publish("k", b"1", exchange="amq.direct", headers={"CC": Field("A", [longstr("l"), longstr("k")])})
    assert (client.depth("a"), client.depth("b")) == (1, 1)


def test_cc_and_bcc_add_keys_and_bcc_is_not_delivered(client: Wire) -> None:
    for queue in ("to", "cc", "bcc"):
        client.declare(queue)
    headers = {"CC": Field("A", [longstr("cc")]), "BCC": Field("A", [longstr("bcc")])}
    client.publish("to", b"x", headers=headers)
    for queue in ("to", "cc", "bcc"):
        got = client.get(queue)
        assert got.properties == {"headers": {"CC": headers["CC"]}}
        assert got.arguments["routing_key"] == "to"


# --- confirms --------------------------------------------------------------------------------------------------------


def test_publishes_are_confirmed_once_per_iteration(client: Wire) -> None:
    client.declare("q")
    client.call(1, "confirm.select")
    client.publish("q", b"1")
    assert confirmed(client) == [("ack", 1, False)]
    for _ in range(4):
        client.publish("q", b"x")
    assert confirmed(client) == [("ack", 5, True)]
    assert confirmed(client) == []


def test_a_returned_message_comes_before_its_confirm(client: Wire) -> None:
    client.call(1, "confirm.select")
    client.publish("nowhere", b"x", mandatory=True)
    assert [got.name for got in client.receive()] == ["basic.return", "basic.ack"]


def told(client: Wire) -> list[str]:
    """Return the methods received, such as "ack 1"; an ack of several publishes is "acks 3"."""
    shown = []
    for got in client.receive():
        several = "s" if got.arguments.get("multiple") else ""
        tag = f" {got.arguments['delivery_tag']}" if got.name in ("basic.ack", "basic.nack") else ""
        shown.append(got.name.removeprefix("basic.") + several + tag)
    return shown


@pytest.mark.parametrize("mandatory", [False, True])
def test_every_unroutable_publish_is_confirmed_by_itself(client: Wire, mandatory: bool) -> None:
    client.call(1, "confirm.select")
    client.feed(published("nowhere", b"x", mandatory=mandatory) * 5)
    got = told(client)
    assert [each for each in got if each != "return"] == [f"ack {tag}" for tag in range(1, 6)]
    assert got[::2] == ["return"] * 5 if mandatory else "return" not in got


def test_an_unroutable_publish_is_confirmed_after_earlier_ones_and_before_later_answers(client: Wire) -> None:
    client.declare("q")
    client.call(1, "confirm.select")
    client.feed(
        published("q")
        + published("nowhere", mandatory=True)
        + published("q") * 3
        + published("nowhere")
        + method("queue.declare", queue="q", passive=True)
        + published("q") * 2
    )
    assert told(client) == ["ack 1", "return", "ack 2", "acks 5", "ack 6", "queue.declare-ok", "acks 8"]


def test_refused_publishes_are_nacked_before_a_later_unroutable_one_is_confirmed(client: Wire) -> None:
    client.declare("small", arguments={"x-max-length": Field("I", 1), "x-overflow": longstr("reject-publish")})
    client.call(1, "confirm.select")
    client.feed(published("small") * 3 + published("nowhere"))
    assert told(client) == ["ack 1", "nack 2", "nack 3", "ack 4"]
    client.feed(published("small") * 3 + published("nowhere"))
    assert told(client) == ["nacks 7", "ack 8"]


def test_an_unroutable_publish_is_confirmed_ahead_of_those_that_wait_for_the_disk(cut: Cut) -> None:
    store = LaggingStore()
    client = Wire(Broker(Config(), ManualClock(), store), cut).log_in()
    client.declare("q")
    client.call(1, "confirm.select")
    store.appended = 1
    client.feed(published("q") + published("nowhere", mandatory=True) + published("q") + published("nowhere") * 2)
    assert told(client) == ["return", "ack 2", "ack 4", "ack 5"]
    (info,) = client.connection.channel_infos()
    assert info.messages_unconfirmed == 2
    assert info.message_stats["confirm"] == 3
    store.synced = 1
    client.connection.synced()
    assert told(client) == ["acks 3"]
    (info,) = client.connection.channel_infos()
    assert info.messages_unconfirmed == 0
    assert info.message_stats["confirm"] == 5


def test_direct_reply_is_confirmed_immediately(client: Wire, other: Wire) -> None:
    client.consume("amq.rabbitmq.reply-to", no_ack=True)
    other.declare("q")
    client.publish("q", reply_to="amq.rabbitmq.reply-to")
    name = other.get("q").properties["reply_to"].decode()
    other.call(1, "confirm.select")
    reply = published(name, delivery_mode=2)
    other.feed(reply * 3 + published("q") * 2 + reply)
    assert told(other) == ["ack 1", "ack 2", "ack 3", "acks 5", "ack 6"]
    assert told(client) == ["deliver"] * 4


def test_a_publish_refused_by_one_of_its_queues_is_nacked(client: Wire) -> None:
    client.declare("small", arguments={"x-max-length": Field("I", 1), "x-overflow": longstr("reject-publish")})
    client.declare("large")
    for queue in ("small", "large"):
        client.call(1, "queue.bind", queue=queue, exchange="amq.fanout")
    client.call(1, "confirm.select")
    for _ in range(3):
        client.publish("", b"x", exchange="amq.fanout")
    assert [(name, tag) for name, tag, _ in confirmed(client)] == [("ack", 1), ("nack", 2), ("nack", 3)]
    assert (client.depth("small"), client.depth("large")) == (1, 3)


def test_each_channel_numbers_its_own_publishes(client: Wire) -> None:
    client.call(2, "channel.open")
    client.call(1, "confirm.select")
    client.call(2, "confirm.select")
    client.publish("nowhere", b"x", channel=1)
    client.publish("nowhere", b"x", channel=2)
    client.publish("nowhere", b"x", channel=2)
    got = [(each.channel, each.arguments["delivery_tag"]) for each in client.receive()]
    assert got == [(1, 1), (2, 1), (2, 2)]


def test_publishes_before_the_close_are_confirmed(client: Wire) -> None:
    client.call(1, "confirm.select")
    client.publish("nowhere", b"x")
    client.send(1, "channel.close")
    assert [got.name for got in client.receive()] == ["basic.ack", "channel.close-ok"]
    client.call(1, "channel.open")
    client.call(1, "confirm.select")
    client.publish("nowhere", b"x")
    client.send(1, "basic.ack", delivery_tag=9)
    assert [got.name for got in client.receive()] == ["basic.ack", "channel.close"]


# --- settle ----------------------------------------------------------------------------------------------------------


def outstanding(client: Wire, other: Wire) -> list[bytes]:
    """Return the messages that are requeued when the channel ends."""
    client.send(1, "channel.close")
    client.receive()
    bodies = []
    while (got := other.get("q")).name == "basic.get-ok":
        assert got.body is not None
        bodies.append(got.body)
    return bodies


@pytest.mark.parametrize(
    ("tag", "multiple", "left"),
    [
        (3, False, [b"1", b"2", b"4", b"5"]),
        (3, True, [b"4", b"5"]),
        (1, True, [b"2", b"3", b"4", b"5"]),
        (5, True, []),
        (0, True, []),
    ],
)
def test_ack_settles_one_or_multiple_deliveries(
    holding: Wire, other: Wire, tag: int, multiple: bool, left: list[bytes]
) -> None:
    holding.send(1, "basic.ack", delivery_tag=tag, multiple=multiple)
    assert holding.receive() == []
    assert outstanding(holding, other) == left


@pytest.mark.parametrize("multiple", [False, True])
@pytest.mark.parametrize("how", ["ack", "nack"])
@pytest.mark.parametrize("tag", [6, 99, 2**64 - 1])
def test_unknown_delivery_tag_closes_the_channel(
    holding: Wire, other: Wire, how: str, tag: int, multiple: bool
) -> None:
    holding.send(1, f"basic.{how}", delivery_tag=tag, multiple=multiple)
    assert error(holding) == f"PRECONDITION_FAILED - unknown delivery tag {tag}"
    assert [other.get("q").body for _ in range(5)] == [b"1", b"2", b"3", b"4", b"5"]


def acks(*tags: int, channel: int = 1) -> bytes:
    return b"".join(frame(METHOD, channel, methods.encode("basic.ack", delivery_tag=tag)) for tag in tags)


def test_consecutive_acks_settle_their_deliveries(holding: Wire, other: Wire) -> None:
    holding.feed(acks(1, 2, 4))
    assert holding.receive() == []
    assert outstanding(holding, other) == [b"3", b"5"]


def test_unknown_tag_among_consecutive_acks_closes_only_its_channel(holding: Wire, other: Wire) -> None:
    holding.call(2, "channel.open")
    holding.feed(acks(1, 2, 2, 4) + frame(METHOD, 2, methods.encode("basic.qos")))
    assert [(got.channel, got.name) for got in holding.receive()] == [(1, "channel.close"), (2, "basic.qos-ok")]
    assert [other.get("q").body for _ in range(3)] == [b"3", b"4", b"5"]


def test_broken_frame_after_consecutive_acks_closes_the_connection(holding: Wire, other: Wire) -> None:
    holding.feed(acks(1, 2)[:-1] + b"\0" + acks(3))
    (got,) = holding.receive()
    assert "invalid_frame_end_marker" in got.arguments["reply_text"]
    assert [other.get("q").body for _ in range(4)] == [b"2", b"3", b"4", b"5"]


def test_consecutive_acks_of_two_channels_are_handled_separately(holding: Wire, other: Wire) -> None:
    holding.call(2, "channel.open")
    holding.feed(acks(1, 2) + acks(3, channel=2) + acks(4))
    assert error(holding) == "PRECONDITION_FAILED - unknown delivery tag 3"
    assert outstanding(holding, other) == [b"3", b"5"]


def test_delivery_tag_is_settled_only_once(holding: Wire, other: Wire) -> None:
    holding.send(1, "basic.ack", delivery_tag=2)
    holding.send(1, "basic.ack", delivery_tag=3, multiple=True)
    holding.send(1, "basic.ack", delivery_tag=2)
    assert error(holding) == "PRECONDITION_FAILED - unknown delivery tag 2"
    assert other.depth("q") == 2


def test_tag_0_requires_multiple_and_may_match_nothing(holding: Wire) -> None:
    holding.send(1, "basic.ack", delivery_tag=0, multiple=True)
    holding.send(1, "basic.ack", delivery_tag=0, multiple=True)
    assert holding.receive() == []
    holding.send(1, "basic.ack", delivery_tag=0)
    assert error(holding) == "PRECONDITION_FAILED - unknown delivery tag 0"


def test_a_tag_belongs_to_its_channel(holding: Wire) -> None:
    holding.call(2, "channel.open")
    holding.send(2, "basic.ack", delivery_tag=1)
    (got,) = holding.receive()
    assert (got.channel, got.name) == (2, "channel.close")


@pytest.mark.parametrize("how", ["reject", "nack"])
def test_requeued_messages_return_to_their_positions(holding: Wire, other: Wire, how: str) -> None:
    holding.call(1, "basic.cancel", consumer_tag="c")
    for tag in (4, 2):
        holding.send(1, f"basic.{how}", delivery_tag=tag, requeue=True)
    assert holding.receive() == []
    assert [other.get("q").body for _ in range(2)] == [b"2", b"4"]
    assert outstanding(holding, other) == [b"1", b"3", b"5"]


@pytest.mark.parametrize("requeue", [False, True])
def test_nack_of_multiple_deliveries_requeues_or_discards_them(holding: Wire, other: Wire, requeue: bool) -> None:
    holding.call(1, "basic.cancel", consumer_tag="c")
    holding.send(1, "basic.nack", delivery_tag=3, multiple=True, requeue=requeue)
    holding.receive()
    assert other.depth("q") == (3 if requeue else 0)


def test_many_acks_of_multiple_deliveries_settle_all_of_them(client: Wire, other: Wire) -> None:
    client.declare("q")
    client.call(1, "basic.qos", prefetch_count=100)
    client.consume("q", "c")
    tag = 0
    for _ in range(40):
        for _ in range(100):
            other.publish("q", b"")
        got = client.receive()
        tag += 100
        assert [each.arguments["delivery_tag"] for each in got][-1] == tag
        client.send(1, "basic.ack", delivery_tag=tag - 1, multiple=True)
        client.send(1, "basic.ack", delivery_tag=tag)
    assert outstanding(client, other) == []


def test_recover_redelivers_all_unacknowledged_messages(holding: Wire) -> None:
    holding.send(1, "basic.ack", delivery_tag=2)
    holding.send(1, "basic.recover", requeue=True)
    ok, *again = holding.receive()
    assert ok.name == "basic.recover-ok"
    assert [(got.body, got.arguments["redelivered"], got.arguments["delivery_tag"]) for got in again] == [
        (b"1", True, 6),
        (b"3", True, 7),
        (b"4", True, 8),
        (b"5", True, 9),
    ]
    holding.send(1, "basic.recover-async", requeue=True)
    assert len(holding.receive()) == 4


@pytest.mark.parametrize("name", ["basic.recover", "basic.recover-async"])
def test_recover_to_the_same_consumer_is_not_implemented(holding: Wire, name: str) -> None:
    holding.send(1, name, requeue=False)
    (got,) = holding.receive()
    assert (got.name, got.arguments["reply_text"]) == ("connection.close", "NOT_IMPLEMENTED - requeue=false")


def test_a_deleted_queues_messages_can_still_be_settled(holding: Wire, other: Wire) -> None:
    other.call(1, "queue.delete", queue="q")
    (got,) = holding.receive()
    assert (got.name, got.arguments) == ("basic.cancel", {"consumer_tag": "c", "nowait": True})
    holding.send(1, "basic.ack", delivery_tag=1)
    holding.send(1, "basic.nack", delivery_tag=2, requeue=True)
    holding.send(1, "basic.reject", delivery_tag=3)
    holding.send(1, "basic.recover", requeue=True)
    assert [each.name for each in holding.receive()] == ["basic.recover-ok"]


# --- consumer timeout ------------------------------------------------------------------------------------------------


def timing(cut: Cut, **settings: Any) -> tuple[Wire, ManualClock]:
    broker = make_broker(consumer_timeout_ms=100_000, channel_tick_interval_ms=60_000, **settings)
    assert isinstance(broker.clock, ManualClock)
    return Wire(broker, cut).log_in(), broker.clock


def test_an_overdue_delivery_closes_the_channel(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q")
    client.consume("q")
    client.publish("q", b"1")
    assert len(client.receive()) == 1
    clock.advance(119_999)
    assert client.receive() == []
    clock.advance(60_001)
    assert error(client).startswith(
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 100000 ms."
    )
    client.send(1, "channel.close-ok")
    client.call(1, "channel.open")
    got = client.get("q")
    assert (got.body, got.arguments["redelivered"]) == (b"1", True)


def test_acknowledged_deliveries_do_not_time_out(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q")
    client.consume("q")
    for tag in range(1, 10):
        client.publish("q", b"1")
        assert len(client.receive()) == 1
        clock.advance(90_000)
        client.send(1, "basic.ack", delivery_tag=tag)
        assert client.receive() == []


def test_unacknowledged_get_times_out(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q")
    client.publish("q", b"1")
    client.get("q", no_ack=False)
    clock.advance(240_000)
    assert "timed out" in error(client)


def test_consumer_timeout_of_a_queue_overrides_the_default(cut: Cut) -> None:
    client, clock = timing(cut)
    client.declare("q", arguments={"x-consumer-timeout": Field("I", 10_000)})
    client.consume("q")
    client.publish("q", b"1")
    client.receive()
    clock.advance(60_000)
    assert "Timeout value used: 10000 ms" in error(client)


def test_unacknowledged_delivery_stays_if_the_timeout_is_disabled(cut: Cut) -> None:
    client = Wire(make_broker(consumer_timeout_ms=0), cut).log_in()
    client.declare("q")
    client.consume("q")
    client.publish("q", b"1")
    client.receive()
    assert isinstance(client.broker.clock, ManualClock)
    client.broker.clock.advance(10**8)
    assert client.receive() == []


# --- cancel notification ---------------------------------------------------------------------------------------------


def test_client_without_consumer_cancel_notify_gets_no_cancel(
    connect: Callable[..., Wire], other: Wire, broker: Broker
) -> None:
    client = connect(capabilities=())
    client.declare("q")
    client.consume("q")
    other.call(1, "queue.delete", queue="q")
    assert client.receive() == []
    assert client.connection.channels[1].consumers.by_tag == {}


def test_delete_ok_is_sent_before_the_cancel_of_an_own_consumer(client: Wire) -> None:
    client.declare("q")
    client.consume("q")
    client.send(1, "queue.delete", queue="q")
    assert [got.name for got in client.receive()] == ["queue.delete-ok", "basic.cancel"]
    client.declare("q")
    assert client.consume("q", "c") == []


def test_closing_a_channel_sends_no_cancel_to_its_consumers(client: Wire) -> None:
    client.declare("q", auto_delete=True)
    client.consume("q")
    client.send(1, "channel.close")
    assert [got.name for got in client.receive()] == ["channel.close-ok"]
    assert client.broker.vhost("/").queues == {}
