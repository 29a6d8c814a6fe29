"""Frames out of bytes that arrive in pieces of any size: for clients and tools, not for the broker's connections."""

from collections.abc import Iterator
from typing import final

from amqpbroker.wire.frames import BODY, END, FRAME_HEAD, HEADER, HEARTBEAT, METHOD, OVERHEAD
from amqpbroker.wire.values import MalformedError


class ProtocolHeaderError(MalformedError):
    """The broker sent a protocol header instead of a frame, because it speaks another version."""


@final
class FrameReader:
    """Reads frames. It holds no more than an incomplete frame besides the bytes that were fed last.

    frame_max: largest size of a frame in bytes; 0: no limit. It may be changed when a limit has been negotiated.
    """

    def __init__(self, frame_max: int) -> None:
        self.frame_max = frame_max
        self._data = b""
        self._start = 0
        #: Pieces behind `_data`, joined to it once the next frame is complete.
        self._later: list[bytes] = []
        self._later_size = 0
        #: Size of the next frame; before its head is known, of the smallest one.
        self._needed = OVERHEAD

    @property
    def held(self) -> int:
        """Number of bytes that were fed and not taken."""
        return len(self._data) - self._start + self._later_size

    @property
    def missing(self) -> int:
        """Number of bytes until the end of the incomplete frame and the next head; 0 if no head is known."""
        return 0 if self._needed == OVERHEAD else self._needed - self.held + OVERHEAD

    def feed(self, data: bytes) -> None:
        self._later.append(data)
        self._later_size += len(data)

    def frames(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield type, channel and payload of each complete frame. A caller may stop at any frame and continue later.

        Raises MalformedError, before it takes the bytes that are not a frame.
        """
        while self._is_complete():
            data, start = self._data, self._start
            kind, channel, size = FRAME_HEAD.unpack_from(data, start)
            if data.startswith(b"AMQP", start):
                raise ProtocolHeaderError("it wants another version")
            limit = self.frame_max
            if kind not in (METHOD, HEADER, BODY, HEARTBEAT) or (limit and size > limit - OVERHEAD):
                raise MalformedError(f"a frame of type {kind} and {size} octets")
            stop = start + size + OVERHEAD
            if stop > len(data):
                self._needed = size + OVERHEAD
                continue
            if data[stop - 1] != END:
                raise MalformedError("a frame without its end")
            self._start, self._needed = stop, OVERHEAD
            yield kind, channel, data[start + 7 : stop - 1]

    def head(self) -> tuple[int, int, int] | None:
        """Return type, channel and payload size of the next frame, unchecked; None if its head is incomplete."""
        if self.held < FRAME_HEAD.size:
            return None
        self._join()
        return FRAME_HEAD.unpack_from(self._data)

    def take(self, size: int) -> bytes:
        """Take up to `size` bytes, frames or not."""
        self._join()
        taken = self._data[self._start : self._start + size]
        self._start += len(taken)
        self._needed = OVERHEAD
        return taken

    def _is_complete(self) -> bool:
        """Return whether `_data` holds the next frame, or its head if that is not known."""
        if len(self._data) - self._start >= self._needed:
            return True
        if self.held >= self._needed:
            self._join()
            return True
        if self._start:  # do not keep frames that were taken
            self._data, self._start = self._data[self._start :], 0
        return False

    def _join(self) -> None:
        rest = self._data[self._start :]
        self._data = b"".join([rest, *self._later]) if rest or len(self._later) != 1 else self._later[0]
        self._start = 0
        self._later.clear()
        self._later_size = 0
