"""A client that sends and reads at the same time, so that one thread of a soak can keep a broker busy."""

import contextlib
import select
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from amqpbroker.wire import methods
from amqpbroker.wire.frames import HEADER, METHOD
from tests.load.client import TIMEOUT_S, LoadClient

DELIVER = 60 << 16 | 60
ACK = 60 << 16 | 80
NACK = 60 << 16 | 120

#: Value in place of a method's ids if the frame is a content header.
HEADER_OF_CONTENT = 0

#: Callback that gets the ids of a method and its frame's payload, and returns the data of the answer.
OnMethod = Callable[[int, bytes], bytes]


def no_answer(ids: int, payload: bytes) -> bytes:
    """Answer nothing."""
    return b""


class SoakClient(LoadClient):
    """A connection with channel 1 open. seen: number of methods received in `pump`, by name."""

    def __init__(self, port: int, capabilities: tuple[str, ...] = ()) -> None:
        super().__init__(port, capabilities=capabilities)
        self.seen: Counter[str] = Counter()

    def pump(self, requests: Iterable[bytes], is_done: Callable[[], bool], on_method: OnMethod = no_answer) -> None:
        """Send the requests, and read until all are sent and `is_done`. Raises AssertionError if the broker stalls."""
        rest = iter(requests)
        more = True
        waiting = b""
        # Unlike select, poll works with any number of open files.
        poller = select.poll()
        self.socket.setblocking(False)
        try:
            while True:
                while more and len(waiting) < 1 << 16:
                    data = next(rest, None)
                    more = data is not None
                    waiting += data or b""
                if not more and not waiting and is_done():
                    break
                poller.register(self.socket, select.POLLIN | (select.POLLOUT if waiting else 0))
                ready = [event for _, event in poller.poll(TIMEOUT_S / 2 * 1000)]
                assert ready, f"the broker stands still; so far it sent {dict(self.seen)}"
                if ready[0] & select.POLLOUT:
                    with contextlib.suppress(BlockingIOError):
                        waiting = waiting[self.socket.send(waiting) :]
                if ready[0] & ~select.POLLOUT:
                    for ids, payload in self._methods():
                        waiting += on_method(ids, payload)
        finally:
            self.socket.settimeout(TIMEOUT_S)

    def _methods(self) -> Iterator[tuple[int, bytes]]:
        """Yield the methods that have already arrived."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        assert data, f"the broker closed the connection; so far it sent {dict(self.seen)}"
        self.reader.feed(data)
        for kind, _, payload in self.reader.frames():
            if kind == METHOD:
                ids = int.from_bytes(payload[:4], "big")
                name = methods.METHODS[ids].name
                assert name not in ("channel.close", "connection.close"), methods.decode(methods.METHODS[ids], payload)
                self.seen[name] += 1
                yield ids, payload
            elif kind == HEADER:
                yield HEADER_OF_CONTENT, payload


class Settled:
    """Settled publishes of a channel, from the basic.ack and basic.nack that `on_method` gets.

    tag: the last publish up to which all are settled. refused: number of publishes with a basic.nack.
    """

    def __init__(self) -> None:
        self.tag = 0
        self.refused = 0
        self._ahead: set[int] = set()

    def on_method(self, ids: int, payload: bytes) -> bytes:
        if ids in (ACK, NACK):
            tag, is_multiple = int.from_bytes(payload[4:12], "big"), payload[12] & 1
            tags = set(range(self.tag + 1 if is_multiple else tag, tag + 1)) - self._ahead
            assert tags, f"publish {tag} is settled twice"
            assert min(tags) > self.tag, f"publish {tag} is settled twice"
            self.refused += len(tags) if ids == NACK else 0
            self._ahead |= tags
            while self.tag + 1 in self._ahead:
                self.tag += 1
                self._ahead.remove(self.tag)
        return b""


def delivery_tag(payload: bytes) -> int:
    """Return the delivery tag in the payload of basic.deliver."""
    start = 5 + payload[4]
    return int.from_bytes(payload[start : start + 8], "big")
