"""A connection that never waits: output, heartbeats and input."""

import ssl
import time
from collections.abc import Iterator

from amqpbroker.cli.perf.client import Client
from amqpbroker.cli.perf.failure import PerfError, too_large
from amqpbroker.wire import frames
from amqpbroker.wire.frames import HEARTBEAT_FRAME

_LATER = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


#: Largest size of a buffer, which grows when a read fills it: few of many connections have much to read.
BUFFER_BYTES = 1 << 18
_FIRST_BYTES = 1 << 13


class Link:
    """Sends data in order, and reads available data."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._socket = client.socket
        self._socket.setblocking(False)
        self._current = memoryview(b"")  # the first data, partly sent
        self._is_given = False
        self._queued = bytearray()
        self._heartbeat_s = client.heartbeat_s
        self._heard = self._wrote = False
        self._heard_at = self._wrote_at = time.monotonic()

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def unsent(self) -> int:
        """Number of bytes that the socket has not accepted yet."""
        return len(self._current) if self._is_given else 0

    @property
    def is_idle(self) -> bool:
        return not self._current and not self._queued

    def send(self, data: memoryview) -> bool:
        """Begin to send, only while idle. Return whether all is sent; until then, `data` must not change."""
        self._current = data
        self._is_given = True
        return self.flush()

    def queue(self, data: bytes) -> None:
        """Send after the data that is being sent."""
        self._queued += data
        self.flush()

    def flush(self) -> bool:
        """Send as much as the socket accepts. Return whether everything is sent."""
        try:
            while True:
                if self._current:
                    self._current = self._current[self._socket.send(self._current) :]
                    self._wrote = True
                elif self._queued:
                    self._current, self._queued = memoryview(bytes(self._queued)), bytearray()
                    self._is_given = False
                else:
                    return True
        except _LATER:
            return False
        except OSError as error:
            raise self._lost(error) from None

    def receive_into(self, space: memoryview) -> int:
        """Read available data. Return the number of bytes, 0 if there are none."""
        if self.client.reader.held:  # received with the last answer of the set-up
            left = self.client.reader.take(len(space))
            space[: len(left)] = left
            return len(left)
        try:
            size = self._socket.recv_into(space)
        except _LATER:
            return 0
        except OSError as error:
            raise self._lost(error) from None
        if not size:
            raise PerfError(f"{self.client.access.uri.address}: the broker closed the connection without a word")
        self._heard = True
        return size

    @property
    def has_more(self) -> bool:
        """Return whether there is input that the operating system no longer has."""
        return bool(self.client.reader.held) or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0)

    def beat(self, now: float, is_reading: bool) -> None:
        """Send and check heartbeats; call about every half second. is_reading: whether incoming data is read now."""
        if self._heard or not is_reading:
            self._heard, self._heard_at = False, now
        if self._wrote:
            self._wrote, self._wrote_at = False, now
        if not self._heartbeat_s:
            return
        if now - self._heard_at > 2 * self._heartbeat_s + 1:
            raise PerfError(f"{self.client.access.uri.address}: the broker has sent nothing for two heartbeats")
        if now - self._wrote_at >= self._heartbeat_s / 2 and self.is_idle:
            self.queue(HEARTBEAT_FRAME)
            self._wrote, self._wrote_at = False, now

    def finish(self, timeout_s: float, unread: bytes) -> bool:
        """Wait until everything is sent, then close in order. Return whether the broker read it all in time."""
        self._socket.settimeout(timeout_s)
        try:
            self._socket.sendall(self._current)
            self._current = memoryview(b"")
            self._socket.sendall(self._queued)
        except (OSError, PerfError):
            self.client.drop()
            return False
        self.client.reader.feed(unread)
        return self.client.close(timeout_s)

    def _lost(self, error: OSError) -> PerfError:
        return PerfError(
            f"{self.client.access.uri.address}: the connection is lost: {(error.strerror or str(error)).lower()}"
        )


class ReadBuffer:
    """Read into `space()`, say how much with `came()`, then take the whole frames."""

    def __init__(self, most_bytes: int = BUFFER_BYTES) -> None:
        self._most_bytes = most_bytes
        self.buffer = bytearray(min(most_bytes, _FIRST_BYTES))
        self.view = memoryview(self.buffer)
        #: Position of the next frame, and end of the data. Code that counts frames in another way moves `at` on.
        self.at = 0
        self.end = 0

    def space(self) -> memoryview:
        """Return the space to read into. Unhandled data moves to the front."""
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
        """Yield kind, channel, and start and size of the payload of each whole frame. `at` is behind the frame then.

        Raises PerfError for bytes that are no frame, and for a frame larger than a buffer may be.
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
                raise PerfError("the broker sent a frame without its end byte")
            self.at = stop
            yield kind, channel, at + 7, length

    def has_space_for(self, size: int) -> bool:
        """Return whether so many bytes may wait until the data is complete."""
        return size <= self._most_bytes

    def rest(self) -> bytes:
        """Return the bytes that were read and not taken: a part of a frame."""
        return bytes(self.view[self.at : self.end])
