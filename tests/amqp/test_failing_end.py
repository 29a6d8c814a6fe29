"""Exceptions in any step of a connection's end: the socket still closes, and no counter includes the connection."""

import importlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from amqpbroker.amqp.state import CLOSING_TIMEOUT_MS
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.events.tap import Tap
from amqpbroker.broker.system_exchanges.event_exchange import EventExchange
from amqpbroker.clock import ManualClock
from amqpbroker.errors import not_allowed
from tests.harness import Wire, make_broker, method

HEARTBEAT_S = 600

#: Functions that are made to raise, before or after they have run, by module and path within it.
STEPS = [
    "amqpbroker.amqp.answers:Answers.take_synced",
    "amqpbroker.amqp.channel:Channel._roll_back",
    "amqpbroker.amqp.channel:Channel.release",
    "amqpbroker.amqp.channel:Channel.roll_back",
    "amqpbroker.amqp.channel:Channel.stop",
    "amqpbroker.amqp.channel_counters:ChannelCounters.close_outlets",
    "amqpbroker.amqp.closing:Closing._set_deadline",
    "amqpbroker.amqp.closing:_close",
    "amqpbroker.amqp.confirms:Confirms.flush",
    "amqpbroker.amqp.connection_log:channel_failed",
    "amqpbroker.amqp.connection_log:closing",
    "amqpbroker.amqp.connection_log:connection_failed",
    "amqpbroker.amqp.heartbeat:Heartbeat.stop",
    "amqpbroker.amqp.delivery:ChannelConsumer.leave_waiting_lists",
    "amqpbroker.amqp.output:Output.mark_dirty",
    "amqpbroker.amqp.output:Output.write",
    "amqpbroker.amqp.output:Output.write_synced",
    "amqpbroker.amqp.publishing:Publishing.close_reply",
    "amqpbroker.amqp.publishing:Publishing.forget_routes",
    "amqpbroker.amqp.registration:Registration._emit_closed",
    "amqpbroker.amqp.unacked:Unacked.release",
    "amqpbroker.broker.queues.direct_reply:DirectReplies.close",
    "amqpbroker.broker.system_exchanges.event_exchange:EventExchange._publish",
    "amqpbroker.broker.policies.limits:Limits.channels_closed",
    "amqpbroker.broker.policies.limits:Limits.connection_closed",
    "amqpbroker.broker.queues.local_queue:LocalQueue.offer_all",
    "amqpbroker.broker.queues.local_queue:LocalQueue.reclaim",
    "amqpbroker.broker.queues.local_queue:LocalQueue.remove_consumer",
    "amqpbroker.broker.counters.stats:Totals.remove",
    "amqpbroker.broker.vhost:Vhost.delete_exclusive_queues",
    "logging:Logger.callHandlers",
    "tests.amqp.test_failing_end:Onlooker.refused",
]

#: Events that end a connection or one of its channels.
ENDS: dict[str, Callable[[Wire], None]] = {
    "lost": lambda client: client.connection.lost(),
    "connection.close": lambda client: client.send(0, "connection.close"),
    "connection error": lambda client: client.send(1, "channel.open"),
    "unknown method": lambda client: client.feed(b"\1\0\1\0\0\0\4\x80\0\xff\xff\xce"),
    "torn frames": lambda client: client.feed(method("basic.qos")[:-1] + b"x"),
    "channel error": lambda client: client.send(1, "basic.ack", delivery_tag=99),
    "channel.close": lambda client: client.send(1, "channel.close"),
    "forced": lambda client: client.connection.force_close(not_allowed("because")),
    "shutdown": lambda client: client.connection.shutdown(),
    "silence": lambda client: _advance(client.broker, 3000 * HEARTBEAT_S),
}


class Onlooker(Tap):
    def published(self, *_: object) -> None:
        pass

    def delivered(self, *_: object) -> None:
        pass

    def refused(self, *_: object) -> None:
        pass


class Injected(Exception):
    pass


@pytest.fixture
def broker() -> Broker:
    broker = make_broker()
    assert isinstance(broker.events, EventExchange)
    return broker


def _advance(broker: Broker, ms: int) -> None:
    """Advance the clock as the server does: a timer that raises does not stop it."""
    assert isinstance(broker.clock, ManualClock)
    for _ in range(20):
        try:
            broker.clock.advance(ms)
        except Injected:
            continue
        return
    pytest.fail("timers never stop raising")


def _counts(broker: Broker) -> dict[str, object]:
    vhost, limits = broker.vhost("/"), broker.limits
    return {
        "sessions": len(broker.sessions),
        "connections of users": dict(limits._connections_of_users),
        "connections of vhosts": dict(limits._connections_of_vhosts),
        "channels of users": dict(limits._channels_of_users),
        "channels": limits._channels,
        "totals of channels": (len(vhost.traffic.members), len(broker.totals.traffic.members)),
        "totals of connections": (len(vhost.byte_totals.members), len(broker.totals.byte_totals.members)),
        "routes": vhost.remembered,
        "consumers": [len(queue.consumers.all) for queue in vhost.queues.values()],
        "ready": [queue.ready_count for queue in vhost.queues.values() if queue.name != "events"],
        "queues": list(vhost.queues),
        "replies": len(broker.direct_replies._replies),
    }


def _busy(client: Wire, other: Wire) -> None:
    """Allocate one of every resource that a connection has to release."""
    for queue in ("held", "got", "confirmed"):
        other.declare(queue)
    for number in (2, 3):
        client.call(number, "channel.open")
    client.declare("mine", exclusive=True)
    client.declare("auto", auto_delete=True)
    client.consume("auto", "a")
    client.consume("held", "h")
    client.consume("amq.rabbitmq.reply-to", "r", no_ack=True)
    client.call(2, "tx.select")
    client.call(3, "confirm.select")
    for queue in ("held", "got"):
        other.publish(queue, b"x")
    client.receive()
    client.get("got", no_ack=False, channel=2)
    client.send(2, "basic.ack", delivery_tag=1)
    client.publish("held", b"uncommitted", channel=2)
    client.publish("confirmed", b"x", channel=3)
    client.receive()


@pytest.fixture
def injected() -> Iterator[Callable[[str, bool], list[str]]]:
    """Yield a function that makes a step raise before or after its work, and returns the list of its calls."""
    patch = pytest.MonkeyPatch()

    def inject(step: str, late: bool) -> list[str]:
        module, _, path = step.partition(":")
        owner: Any = importlib.import_module(module)
        *outer, name = path.split(".")
        for each in outer:
            owner = getattr(owner, each)
        original, calls = getattr(owner, name), list[str]()

        def raising(*args: Any, **options: Any) -> Any:
            calls.append(step)
            if late:
                original(*args, **options)
            raise Injected(step)

        try:
            patch.setattr(owner, name, raising)
        except TypeError:
            pytest.skip("compiled classes cannot be changed")
        return calls

    yield inject
    patch.undo()


@pytest.mark.parametrize("late", [True, False], ids=["late", "early"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("step", STEPS)
def test_connection_is_removed_even_if_ending_it_raises(
    broker: Broker,
    injected: Callable[[str, bool], list[str]],
    caplog: pytest.LogCaptureFixture,
    step: str,
    end: str,
    late: bool,
) -> None:
    caplog.set_level(logging.INFO)
    other = Wire(broker).log_in()
    other.declare("events")
    other.call(1, "queue.bind", queue="events", exchange="amq.rabbitmq.event", routing_key="#")
    vhost = broker.vhost("/")
    vhost.taps = (Onlooker(),)
    client = Wire(broker).log_in(heartbeat=HEARTBEAT_S)
    _busy(client, other)
    calls = injected(step, late)
    connection = client.connection
    ENDS[end](client)
    one_channel = end in ("channel error", "channel.close")
    try:
        client.turn()
    except Injected:
        # The transport, as the caller, drops a socket whose output it cannot get, and reports the connection as lost.
        connection.lost()
    if one_channel and connection.status.state.open:
        assert 1 not in connection.channels
        connection.lost()
    _advance(broker, CLOSING_TIMEOUT_MS)
    assert connection.closing
    assert connection not in broker.sessions
    assert not connection.channels
    if late or not calls:
        assert _counts(broker) == {
            "sessions": 1,
            "connections of users": {"guest": 1},
            "connections of vhosts": {"/": 1},
            "channels of users": {"guest": 1},
            "channels": 1,
            "totals of channels": (1, 1),
            "totals of connections": (1, 1),
            "routes": len(other.connection.channels[1].publishing.routes.known),
            "consumers": [0, 0, 0, 0],
            "ready": [1, 1, 1],
            "queues": ["events", "held", "got", "confirmed"],
            "replies": 0,
        }
