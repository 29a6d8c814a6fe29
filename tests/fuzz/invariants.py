"""Invariants of a connection for any input: `check` runs a script and verifies them.

A script is a list of steps: bytes are fed, an int advances the clock by so many milliseconds and ends the event loop
iteration, a bool sets whether the client's socket accepts output. It is run whole and in pieces, with the same random
choices, and must have the same answer both times.
"""

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

from amqpbroker.amqp.connection_log import CHANNEL, CONNECTION
from amqpbroker.amqp.state import CLOSING_TIMEOUT_MS
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.clock import ManualClock
from tests.harness import Cut, Received, Wire, make_broker, random_cut, whole

Script = Sequence[bytes | int]

#: Small limits, so that little input reaches them.
SETTINGS = {
    "max_message_size": 1000,
    "frame_max": 4096,
    "consumer_max_per_channel": 6,
    "consumer_timeout_ms": 5000,
    "channel_tick_interval_ms": 2000,
}


class _Errors(logging.Handler):
    """Collects log records of internal errors, not those about clients."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.name not in (CONNECTION.name, CHANNEL.name):
            self.records.append(logging.Formatter().format(record))


@contextmanager
def no_errors_logged() -> Iterator[None]:
    logger, handler = logging.getLogger("amqpbroker"), _Errors()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
    assert not handler.records, handler.records[0]


@contextmanager
def same_chance() -> Iterator[None]:
    """Make generated names and random routes the same every time."""
    chance = random.Random(1)
    state = random.getstate()
    random.seed(1)
    try:
        with patch("secrets.token_bytes", chance.randbytes):
            yield
    finally:
        random.setstate(state)


def check(script: Script, logged_in: bool = True, reopens: bool = False) -> None:
    """Run a script and verify the invariants. Raises AssertionError if one is violated.

    logged_in: the script starts after channel.open of 1. reopens: the client reopens a channel that was closed.
    """
    with no_errors_logged():
        cuts = (whole, random_cut(1))
        answers = [_run(script, logged_in, reopens, cut) for cut in cuts]
    assert answers[0] == answers[1], "the answer depends on how the input is cut"


def _run(script: Script, logged_in: bool, reopens: bool, cut: Cut) -> list[bytes]:
    with same_chance():
        broker = make_broker(**SETTINGS)
        clock = broker.clock
        assert isinstance(clock, ManualClock)
        bystander = Wire(broker).log_in(frame_max=4096)
        peer = Wire(broker, cut)
        if logged_in:
            peer.log_in(frame_max=4096)
        answers = []
        received = []
        for step in (*script, True, 0):
            if isinstance(step, bool):
                peer.connection.set_writable(step)
            elif isinstance(step, int):
                clock.advance(step)
                answer = peer.turn()
                answers.append(answer)
                news = peer.read(answer)
                received += news
                if reopens:
                    for got in news:
                        if got.name == "channel.close":
                            peer.send(got.channel, "channel.close-ok")
                            peer.send(got.channel, "channel.open")
            else:
                peer.feed(step)
        assert peer.is_between, "half a frame or content"
        closed = check_order(received, {1} if logged_in else set())
        clock.advance(CLOSING_TIMEOUT_MS)
        peer.turn()
        assert peer.connection.closing or (peer.connection in broker.sessions and not closed), "neither open nor closed"
        peer.connection.lost()
        assert peer.turn() == b""
        check_nothing_left(broker, bystander, clock)
    return answers


def check_order(received: list[Received], opened: set[int]) -> bool:
    """Verify that these methods are allowed in this order; return whether the broker closed the connection."""
    closed = False
    for got in received:
        if got.channel:
            assert not closed, f"{got.name} on a closed connection"
            if got.name == "channel.open-ok":
                assert got.channel not in opened
                opened.add(got.channel)
            elif got.name in ("channel.close", "channel.close-ok"):
                assert got.channel in opened or got.name == "channel.close-ok"
                opened.discard(got.channel)
            else:
                assert got.channel in opened, f"{got.name} on a closed channel"
        elif got.name in ("connection.close", "connection.close-ok", "protocol-header"):
            assert not closed or got.name == "connection.close-ok"
            closed = True
        if got.name in ("channel.close", "connection.close"):
            assert got.arguments["reply_code"] != 541, got.arguments["reply_text"]
            assert len(got.arguments["reply_text"].encode()) <= 255
    return closed


def check_nothing_left(broker: Broker, bystander: Wire, clock: ManualClock) -> None:
    """Verify that a connection has left nothing, and that its queues and exchanges can be deleted."""
    vhost = broker.vhost("/")
    assert list(broker.sessions) == [bystander.connection]
    assert not broker.direct_replies._replies
    for queue in vhost.queues.values():
        assert isinstance(queue, LocalQueue)
        assert queue.owner is None
        assert queue.consumer_count == 0
        assert queue.unacked_count == 0
        assert queue.ready_count == len(list(queue.ready))
    pending = [timer for _, _, timer in clock._heap if timer.callback is not None]
    assert len(pending) <= 2 * len(vhost.queues) + len(vhost.exchanges)
    clock.advance(50)
    for queue in list(vhost.queues.values()):
        vhost.delete_queue(queue)
    for name in list(vhost.exchanges):
        if name and not name.startswith("amq."):
            vhost.delete_exchange(name)
    assert clock.next_due_ms() is None
    for exchange in vhost.exchanges.values():
        for binding in [*exchange.bindings.values(), *exchange.incoming]:
            assert {binding.source, binding.destination} <= set(vhost.exchanges.values()), "a binding to nothing"
    assert bystander.receive() == []
    assert bystander.declare("after all") == "after all"
