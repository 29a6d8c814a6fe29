"""Read buffer of an event loop, and how many bytes are read from each socket in one iteration of the loop."""

from collections import deque
from typing import Protocol

from amqpbroker.clock import Clock
from amqpbroker.server.tick import Tick

#: Bytes that are read from one socket in an iteration: enough for READ_MESSAGES, within these bounds. A consumer with a
#: prefetch keeps up with a fast publisher only if an iteration has few messages. uvloop by itself would read 8 MB
#: before any other socket (docs/decisions/0044-reads-by-message-size.md).
READ_BYTES = 64 * 1024
MOST_READ_BYTES = 256 * 1024
READ_MESSAGES = 800
#: Maximum bytes that are read in an iteration from all sockets with further data, and the minimum for each of them.
TURN_BYTES = 256 * 1024
LEAST_READ_BYTES = 8 * 1024
#: While a large body is incomplete, the rest of it and READ_BYTES are read, within these bounds. The minimum is less
#: than a consumer is sent in an iteration (Bounds.room_bytes): with more the consumer would fall behind.
LARGE_READ_BYTES = 256 * 1024
LARGEST_READ_BYTES = 512 * 1024

#: Maximum bytes that are read in an iteration while a client makes short requests: from a single socket with further
#: data. Such a client waits for two iterations in each round trip.
SHORT_TURN_BYTES = 16 * 1024
#: Time in milliseconds after a short request in which another one is expected, and in which a socket that has sent more
#: than a request makes none.
EXPECTED_MS = 100
#: Maximum time in milliseconds from the last data for a client to its request. A client that takes longer works in the
#: meantime, or does not wait for data at all, and does not need a short iteration.
PROMPT_MS = 5
#: Maximum bytes of a short request. One or two acknowledgements are a short request too: they come from a worker that
#: handles one message after the other. A consumer that acknowledges more at a time does not wait for the next message.
REQUEST_BYTES = 4 * 1024
SETTLING_BYTES = 2 * 21
_HEARTBEAT_BYTES = 8
#: Class and method of basic.ack, basic.reject and basic.nack.
_SETTLING = frozenset((60 << 16 | method).to_bytes(4, "big") for method in (80, 90, 120))


class Reader(Protocol):
    """A socket that has further data."""

    def read_on(self) -> None:
        """Read from the next iteration on."""


class Publisher(Protocol):
    """Handler of the data of a socket."""

    @property
    def published(self) -> int:
        """Number of messages that have come so far."""


class Pace:
    """Pace of one socket: short requests of a client that waits for answers, or a stream of data.

    limit: maximum bytes that are read from the socket in an iteration. streamed_ms: time of its last read that was more
    than a short request. published: number of messages that had come by then. written_ms: time at which data was last
    written to the socket.
    """

    __slots__ = ("limit", "published", "streamed_ms", "written_ms")

    def __init__(self) -> None:
        self.limit = READ_BYTES
        self.streamed_ms = -EXPECTED_MS
        self.written_ms = -PROMPT_MS - 1
        self.published = 0


class Reading:
    """The read buffer, which all sockets share because its content is copied at once, and each socket's part of an
    iteration.

    Sockets with further data divide an iteration among themselves. While another client makes short requests, a single
    one of them is read in each iteration.
    """

    def __init__(self, tick: Tick, clock: Clock) -> None:
        self._tick = tick
        self._clock = clock
        self._buffer = memoryview(bytearray(LARGEST_READ_BYTES))
        self._slice = self._buffer
        self._share = MOST_READ_BYTES
        self._waiting: deque[Reader] = deque()
        self._asked_ms = -EXPECTED_MS

    def room(self, pace: Pace, missing: int) -> memoryview:
        """Return the buffer for a socket. missing: bytes of an incomplete large body, or 0."""
        if missing:
            return self._buffer[: max(missing + READ_BYTES, LARGE_READ_BYTES)]
        size = pace.limit if pace.limit < self._share else self._share
        if len(self._slice) != size:
            self._slice = self._buffer[:size]
        return self._slice

    def read(self, pace: Pace, data: bytes, publisher: Publisher) -> None:
        """Adapt the pace of a socket to its data. Check whether the data is a short request and all that was sent."""
        size = len(data)
        if size > REQUEST_BYTES:
            pace.streamed_ms = self._clock.now_ms()
            messages = publisher.published - pace.published
            pace.published += messages
            least = size * READ_MESSAGES // messages if messages else 0
            pace.limit = max(READ_BYTES, min(least, MOST_READ_BYTES))
        elif _HEARTBEAT_BYTES < size <= (SETTLING_BYTES if data[7:11] in _SETTLING else REQUEST_BYTES):
            now_ms = self._clock.now_ms()
            # A fast publisher's last bytes may be few, too.
            if now_ms - pace.written_ms <= PROMPT_MS and now_ms - pace.streamed_ms >= EXPECTED_MS:
                self._asked_ms = now_ms

    def written(self, pace: Pace) -> None:
        """Note that data was written to a socket, which its client may wait for to make a request."""
        pace.written_ms = self._clock.now_ms()

    def filled(self, reader: Reader) -> None:
        """Add a socket that has filled its buffer. It must not be read until `read_on` is called."""
        if not self._waiting:
            self._tick.mark(self)
        self._waiting.append(reader)

    def end_turn(self) -> None:
        """Resume sockets with further data: one of them, or all."""
        waiting = self._waiting
        if self._clock.now_ms() - self._asked_ms < EXPECTED_MS:
            self._share = SHORT_TURN_BYTES
            waiting.popleft().read_on()
            if waiting:
                self._tick.mark(self)
            return
        self._share = max(LEAST_READ_BYTES, min(MOST_READ_BYTES, TURN_BYTES // len(waiting)))
        self._waiting = deque()
        for reader in waiting:
            reader.read_on()
