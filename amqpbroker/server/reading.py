"""What all sockets of a loop are read into, and how much of each in a turn."""

from collections import deque
from typing import Protocol

from amqpbroker.clock import Clock
from amqpbroker.server.tick import Tick

#: Octets that one socket is read of in a turn. With 200 small messages a turn consumers keep up with a fast publisher;
#: left alone, uvloop reads 8 MB in a row, and nobody else is served meanwhile (docs/performance.md).
READ_BYTES = 64 * 1024
#: Of all that have more to say they make up no more than this together, unless each gets its least.
TURN_BYTES = 256 * 1024
LEAST_READ_BYTES = 8 * 1024
#: While a large body is incomplete, up to its end and READ_BYTES beyond; but so much at least, which is what a consumer
#: is given in a turn (amqp.connection.ROOM; with more it falls behind), and so much at most.
LARGE_READ_BYTES = 256 * 1024
LARGEST_READ_BYTES = 512 * 1024

#: Bytes that are read in a turn while a client makes short requests one after the other: from a single socket that has
#: more to say. The client waits for the turns of others twice in each round trip.
SHORT_TURN_BYTES = 16 * 1024
#: Time after a short request in which another one is expected.
EXPECTED_MS = 100
#: Maximum bytes of a short request. Acknowledgements are one if there are one or two, as of a worker who takes one
#: message after the other; a consumer that acknowledges more at a time is not waiting for the next message.
REQUEST_BYTES = 4 * 1024
SETTLING_BYTES = 2 * 21
_HEARTBEAT_BYTES = 8
#: basic.ack, basic.reject and basic.nack.
_SETTLING = frozenset((60 << 16 | method).to_bytes(4, "big") for method in (80, 90, 120))


class Reader(Protocol):
    """A socket that has filled its room."""

    def read_on(self) -> None:
        """Read again, from the next turn on."""


class Reading:
    """One buffer for all, as what is read is taken at once; and what part of a turn each gets.

    Sockets that have more to say share a turn. While others make short requests, one of them is read in a turn.
    """

    def __init__(self, tick: Tick, clock: Clock) -> None:
        self._tick = tick
        self._clock = clock
        self._buffer = memoryview(bytearray(LARGEST_READ_BYTES))
        self._share = self._buffer[:READ_BYTES]
        self._waiting: deque[Reader] = deque()
        self._asked_ms = -EXPECTED_MS

    def room(self, missing: int) -> memoryview:
        """Where a socket may be read into, of whose large body so many octets are missing."""
        return self._buffer[: max(missing + READ_BYTES, LARGE_READ_BYTES)] if missing else self._share

    def read(self, data: bytes) -> None:
        """Look at what was read of a socket that has no more to say: whether it is a short request."""
        size = len(data)
        if _HEARTBEAT_BYTES < size <= (SETTLING_BYTES if data[7:11] in _SETTLING else REQUEST_BYTES):
            self._asked_ms = self._clock.now_ms()

    def filled(self, reader: Reader) -> None:
        """Have a socket wait that has filled its room, and may have more to say, until it is told to read on."""
        if not self._waiting:
            self._tick.mark(self)
        self._waiting.append(reader)

    def end_turn(self) -> None:
        waiting = self._waiting
        if self._clock.now_ms() - self._asked_ms < EXPECTED_MS:
            self._share = self._buffer[:SHORT_TURN_BYTES]
            waiting.popleft().read_on()
            if waiting:
                self._tick.mark(self)
            return
        self._share = self._buffer[: max(LEAST_READ_BYTES, min(READ_BYTES, TURN_BYTES // len(waiting)))]
        self._waiting = deque()
        for reader in waiting:
            reader.read_on()
