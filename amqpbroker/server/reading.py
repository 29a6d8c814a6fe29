"""What all sockets of a loop are read into, and how much of each in a turn."""

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


class Reading:
    """One buffer for all, as what is read is taken at once; and the share of a turn that each gets."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self._buffer = memoryview(bytearray(LARGEST_READ_BYTES))
        self._share = self._buffer[:READ_BYTES]
        self._filled = 0

    def room(self, missing: int) -> memoryview:
        """Where a socket may be read into, of whose large body so many octets are missing."""
        return self._buffer[: max(missing + READ_BYTES, LARGE_READ_BYTES)] if missing else self._share

    def filled(self) -> None:
        """A socket has filled its room, and may have more to say. How many do so in one turn decides on the next."""
        if not self._filled:
            self._tick.mark(self)
        self._filled += 1

    def end_turn(self) -> None:
        self._share = self._buffer[: max(LEAST_READ_BYTES, min(READ_BYTES, TURN_BYTES // self._filled))]
        self._filled = 0
