"""What a connection reads, and the frames in it."""

from collections.abc import Iterator

from amqpbroker.cli.perf.failure import PerfError, too_large
from amqpbroker.wire import frames

BUFFER_BYTES = 1 << 18


class Inflow:
    """Read into `space()`, say how much with `came()`, then take the whole frames."""

    def __init__(self, buffer_bytes: int = BUFFER_BYTES) -> None:
        self.buffer = bytearray(buffer_bytes)
        self.view = memoryview(self.buffer)
        #: Where the next frame begins, and where what was read ends. Who can count frames otherwise moves `at` on.
        self.at = 0
        self.end = 0

    def space(self) -> memoryview:
        """Where to read to. What was not taken yet moves to the front."""
        kept = self.end - self.at
        if self.at:
            self.view[:kept] = self.view[self.at : self.end]
            self.at, self.end = 0, kept
        return self.view[kept:]

    def came(self, size: int) -> None:
        self.end += size

    def frames(self) -> Iterator[tuple[int, int, int, int]]:
        """Of each whole frame: kind, channel, where its payload begins, and how long that is. `at` is behind it then.

        Raises PerfError for what is no frame, or larger than the buffer.
        """
        view = self.view
        while self.end - self.at >= frames.OVERHEAD:
            at = self.at
            kind, channel, length = frames.FRAME_HEAD.unpack_from(view, at)
            stop = at + length + frames.OVERHEAD
            if stop > self.end:
                if stop - at > len(view):
                    raise too_large(length)
                return
            if view[stop - 1] != frames.END:
                raise PerfError("the broker sent a frame without its end octet")
            self.at = stop
            yield kind, channel, at + 7, length

    def rest(self) -> bytes:
        """What was read and not taken: a part of a frame."""
        return bytes(self.view[self.at : self.end])
