"""Calls of the package's functions, and the files that define them, on the five paths of a message; `pytest -s` prints
them.

Alone: all calls of an event loop iteration with one message, from the received bytes to the sent bytes, including the
write and the sync. Marginal: calls for one more message in the same iteration. The acknowledgement of a message is part
of the iteration after its delivery, so each iteration has everything that happens to one message.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

import amqpbroker
from amqpbroker import compiled
from amqpbroker.clock import ManualClock
from amqpbroker.wire.values import longstr
from tests.bench.core import stored_broker
from tests.harness import Wire, method, published

PACKAGE = str(Path(amqpbroker.__file__).parent) + "/"
#: Replacement of a C library if that is missing.
STAND_IN = "plain_octets.py"
FEW, MORE = 10, 30


class Trace:
    """calls: (file, function) -> number of calls.

    order: the calls in order. callers: the file of each call's caller.
    """

    def __init__(self) -> None:
        self.order: list[tuple[str, str]] = []
        self.callers: list[str] = []

    @property
    def calls(self) -> Counter[tuple[str, str]]:
        return Counter(self.order)

    @property
    def files(self) -> set[str]:
        return {file for file, _ in self.order}

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and not code.co_filename.endswith(STAND_IN):
            self.order.append((code.co_filename.removeprefix(PACKAGE), code.co_qualname))
            self.callers.append(_caller(frame))

    def crossings(self, folder: str) -> int:
        """Count the calls into a folder from outside of it, and out of it."""
        ends = zip((file for file, _ in self.order), self.callers, strict=True)
        return sum(called.startswith(folder) != caller.startswith(folder) for called, caller in ends)

    @contextmanager
    def on(self) -> Iterator[None]:
        before = sys.getprofile()
        sys.setprofile(self._called)
        try:
            yield
        finally:
            sys.setprofile(before)


def _caller(frame: FrameType) -> str:
    """Return the file of the package's function that led to a call, "" if there is none."""
    before = frame.f_back
    while before is not None and not before.f_code.co_filename.startswith(PACKAGE):
        before = before.f_back
    return "" if before is None else before.f_code.co_filename.removeprefix(PACKAGE)


class Way:
    """One path: a client of a broker that stores on files, and the client's input for a number of messages."""

    def __init__(self, directory: Path) -> None:
        self.broker = stored_broker(ManualClock(), directory)
        self.client = Wire(self.broker).log_in()
        self.tag = 0
        self.set_up()

    def set_up(self) -> None:
        raise NotImplementedError

    def step(self, count: int) -> bytes:
        """Return the client's input of one iteration, for `count` messages."""
        raise NotImplementedError

    def settled(self, name: str, count: int, **arguments: bool) -> bytes:
        """Return methods that settle the next deliveries."""
        first, self.tag = self.tag + 1, self.tag + count
        return b"".join(method(name, delivery_tag=tag, **arguments) for tag in range(first, self.tag + 1))

    def iterate(self, data: bytes) -> None:
        """Feed the data, and end the iteration as the server does."""
        self.client.connection.feed(data)
        self.broker.sync()
        if self.client.dirty:
            self.client.dirty = False
            self.client.connection.collect()

    def trace(self, count: int) -> Trace:
        """Trace one of several iterations."""
        for _ in range(4):
            self.iterate(self.step(count))
        data, trace = self.step(count), Trace()
        with trace.on():
            self.iterate(data)
        return trace


class Transient(Way):
    """Publish, deliver, acknowledge; nothing is stored."""

    def set_up(self) -> None:
        self.client.declare("q")
        self.client.consume("q", no_ack=False)

    def step(self, count: int) -> bytes:
        return self._acks(count) + published("q", b"x" * 16) * count

    def _acks(self, count: int) -> bytes:
        """Acknowledge the deliveries of the previous iteration."""
        return self.settled("basic.ack", count) if self.broker.vhosts["/"].queues["q"].unacked_count else b""


class Persistent(Transient):
    """Publish a persistent message, store and confirm it, deliver, acknowledge."""

    def set_up(self) -> None:
        self.client.declare("q", durable=True)
        self.client.call(1, "confirm.select")
        self.client.consume("q", no_ack=False)

    def step(self, count: int) -> bytes:
        return self._acks(count) + published("q", b"x" * 16, delivery_mode=2) * count


class Get(Way):
    """Get a stored message and acknowledge it."""

    def set_up(self) -> None:
        self.client.declare("q", durable=True)
        self.client.feed(published("q", b"x" * 16, delivery_mode=2) * 400)
        self.client.turn()

    def step(self, count: int) -> bytes:
        return method("basic.get", queue="q") * count + self.settled("basic.ack", count)


class Rejected(Way):
    """Reject a stored message, which goes to a dead letter queue."""

    def set_up(self) -> None:
        letters = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("dead")}
        self.client.declare("q", durable=True, arguments=letters)
        self.client.declare("dead", durable=True)
        self.client.consume("q", no_ack=False)
        self.client.feed(published("q", b"x" * 16, delivery_mode=2) * 400)
        self.client.turn()

    def step(self, count: int) -> bytes:
        return self.settled("basic.reject", count, requeue=False)


class Fanout(Way):
    """Publish a persistent message to a fanout exchange with three queues, store and confirm it."""

    def set_up(self) -> None:
        for name in ("a", "b", "c"):
            self.client.declare(name, durable=True)
            self.client.call(1, "queue.bind", queue=name, exchange="amq.fanout")
        self.client.call(1, "confirm.select")

    def step(self, count: int) -> bytes:
        return published("", b"x" * 16, "amq.fanout", delivery_mode=2) * count


#: Maximum number of calls alone, of calls for one more message, and of files.
MOST = {
    Transient: (40, 17, 20),
    Persistent: (105, 20, 34),
    Get: (121, 53, 44),
    Rejected: (156, 102, 48),
    Fanout: (125, 58, 35),
}


@pytest.mark.skipif(compiled.is_compiled(), reason="calls of compiled functions are not seen")
@pytest.mark.parametrize("kind", MOST, ids=lambda kind: kind.__name__.lower())
def test_message_needs_no_more_function_calls_than_allowed(kind, tmp_path):
    traces = {}
    for count in (1, FEW, MORE):
        directory = tmp_path / str(count)
        directory.mkdir()
        traces[count] = kind(directory).trace(count)
    alone = traces[1]
    few, more = traces[FEW].calls, traces[MORE].calls
    marginal = (more.total() - few.total()) / (MORE - FEW)
    print(f"\n{kind.__doc__} {len(alone.order)} calls in {len(alone.files)} files alone, {marginal:g} for one more:\n")
    for file, function in alone.order:
        each = (more[file, function] - few[file, function]) / (MORE - FEW)
        print(f"  {'' if not each else format(each, 'g'):>4} {file}: {function}")
    most_alone, most_marginal, most_files = MOST[kind]
    assert len(alone.order) <= most_alone
    assert marginal <= most_marginal
    assert len(alone.files) <= most_files
