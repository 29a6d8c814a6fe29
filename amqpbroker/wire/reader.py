"""Parsing of frames from bytes that arrive in pieces of any size, for clients and tools. The broker does not use it."""

from collections.abc import Iterator
from typing import final

from amqpbroker.wire.frames import BODY, END, FRAME_HEAD, HEADER, HEARTBEAT, METHOD, OVERHEAD
from amqpbroker.wire.values import MalformedError


class ProtocolHeaderError(MalformedError):
    """The broker sent a protocol header instead of a frame, because it uses another version."""


@final
class FrameReader:
    """Reads frames. Besides the bytes that were fed last, it holds at most one incomplete frame.

    frame_max: maximum size of a frame in bytes; 0 means no limit. It may be changed after a limit has been negotiated.
    """

    def __init__(self, frame_max: int) -> None:
        self.frame_max = frame_max
        self._data = b""
        self._start = 0
        #: Pieces after `_data`, joined to it once the next frame is complete.
        self._later: list[bytes] = []
        self._later_size = 0
        #: Size of the next frame, or the minimum size of a frame until its head has arrived.
        self._needed = OVERHEAD

    @property
    def held(self) -> int:
        """Number of bytes that were fed and not taken yet."""
        return len(self._data) - self._start + self._later_size

    @property
    def missing(self) -> int:
        """Number of bytes missing of the incomplete frame and the next frame head; 0 if no head has arrived."""
        return 0 if self._needed == OVERHEAD else self._needed - self.held + OVERHEAD

    def feed(self, data: bytes) -> None:
        self._later.append(data)
        self._later_size += len(data)

    def frames(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield type, channel and payload of each complete frame. A caller may stop at any frame and continue later.

        Raises MalformedError, without removing the bytes that are not a frame.
        """
        while self._is_complete():
            data, start = self._data, self._start
            kind, channel, size = FRAME_HEAD.unpack_from(data, start)
            if data.startswith(b"AMQP", start):
                raise ProtocolHeaderError("the broker requires another protocol version")
            limit = self.frame_max
            if kind not in (METHOD, HEADER, BODY, HEARTBEAT) or (limit and size > limit - OVERHEAD):
                raise MalformedError(f"invalid frame: type {kind}, {size} octets")
            stop = start + size + OVERHEAD
            if stop > len(data):
                self._needed = size + OVERHEAD
                continue
            if data[stop - 1] != END:
                raise MalformedError("invalid frame: no end octet")
            self._start, self._needed = stop, OVERHEAD
            yield kind, channel, data[start + 7 : stop - 1]

    def head(self) -> tuple[int, int, int] | None:
        """Return type, channel and payload size of the next frame, unchecked; None if its head is incomplete."""
        if self.held < FRAME_HEAD.size:
            return None
        self._join()
        return FRAME_HEAD.unpack_from(self._data)

    def take(self, size: int) -> bytes:
        """Remove and return up to `size` bytes, even if they are not whole frames."""
        self._join()
        taken = self._data[self._start : self._start + size]
        self._start += len(taken)
        self._needed = OVERHEAD
        return taken

    def _is_complete(self) -> bool:
        """Return whether `_data` holds the next frame, or the next head if that has not arrived yet."""
        if len(self._data) - self._start >= self._needed:
            return True
        if self.held >= self._needed:
            self._join()
            return True
        if self._start:  # release frames that were taken
            self._data, self._start = self._data[self._start :], 0
        return False

    def _join(self) -> None:
        rest = self._data[self._start :]
        self._data = b"".join([rest, *self._later]) if rest or len(self._later) != 1 else self._later[0]
        self._start = 0
        self._later.clear()
        self._later_size = 0
