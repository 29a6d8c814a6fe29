"""What a connection reads, and the frames in it."""

from collections.abc import Iterator

from amqpbroker.cli.perf.failure import PerfError, too_large
from amqpbroker.wire import frames

#: A buffer grows up to this when a read fills it: of many connections, few have much to read.
BUFFER_BYTES = 1 << 18
_FIRST_BYTES = 1 << 13


class Inflow:
    """Read into `space()`, say how much with `came()`, then take the whole frames."""

    def __init__(self, most_bytes: int = BUFFER_BYTES) -> None:
        self._most_bytes = most_bytes
        self.buffer = bytearray(min(most_bytes, _FIRST_BYTES))
        self.view = memoryview(self.buffer)
        #: Where the next frame begins, and where what was read ends. Who can count frames otherwise moves `at` on.
        self.at = 0
        self.end = 0

    def space(self) -> memoryview:
        """Where to read to. What was not taken yet moves to the front."""
        view, kept = self.view, self.end - self.at
        if self.end == len(self.buffer) < self._most_bytes:
            self.buffer = bytearray(min(2 * len(self.buffer), self._most_bytes))
            self.view = memoryview(self.buffer)
        if self.at or self.view is not view:
            self.view[:kept] = view[self.at : self.end]
            self.at, self.end = 0, kept
        return self.view[kept:]

    def came(self, size: int) -> None:
        self.end += size

    def frames(self) -> Iterator[tuple[int, int, int, int]]:
        """Of each whole frame: kind, channel, where its payload begins, and how long that is. `at` is behind it then.

        Raises PerfError for what is no frame, or larger than a buffer gets.
        """
        view = self.view
        while self.end - self.at >= frames.OVERHEAD:
            at = self.at
            kind, channel, length = frames.FRAME_HEAD.unpack_from(view, at)
            stop = at + length + frames.OVERHEAD
            if stop > self.end:
                if stop - at > self._most_bytes:
                    raise too_large(length)
                return
            if view[stop - 1] != frames.END:
                raise PerfError("the broker sent a frame without its end octet")
            self.at = stop
            yield kind, channel, at + 7, length

    def has_space_for(self, size: int) -> bool:
        """Return whether so many bytes may wait until the data is complete."""
        return size <= self._most_bytes

    def rest(self) -> bytes:
        """What was read and not taken: a part of a frame."""
        return bytes(self.view[self.at : self.end])
