"""Simulated connections of clients to a broker: bytes are delayed, split and stalled; ends are abrupt or orderly."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from tests.simulation.event_loop import SimulatedLoop
from tests.simulation.scheduler import MS, Scheduler

#: Latency of bytes.
LATENCY_NS = (20_000, 2 * MS)
#: Sizes of the kernel buffers in each direction.
WINDOWS = (512, 4096, 65_536, 1 << 20)


class End(Protocol):
    """Receiver at one end."""

    def received(self, data: bytes) -> None: ...
    def ended(self) -> None: ...


class Pipe:
    """One direction. window: maximum number of bytes that are sent and not read by the receiver.

    written: bytes that the sender's side has accepted. Bytes arrive in the order sent, regardless of latencies.
    """

    def __init__(self, scheduler: Scheduler, chance: random.Random, end: End, window: int) -> None:
        self._scheduler = scheduler
        self._chance = chance
        self._end = end
        self._window = window
        self._on_way = 0
        #: Pieces being sent; None is the end.
        self._pieces: deque[bytes | None] = deque()
        self._due = 0
        self._stalled_until = 0
        self._cut = False
        #: Called when there is capacity again.
        self.on_room: Callable[[], None] = lambda: None

    @property
    def room(self) -> int:
        """Number of bytes that `send` accepts now."""
        return self._window - self._on_way

    def send(self, data: bytes | bytearray) -> int:
        """Accept as many bytes as there is capacity for; return their number."""
        count = min(len(data), self._window - self._on_way)
        self._on_way += count
        start = 0
        while start < count:
            left = count - start
            size = left if self._chance.randrange(3) else self._chance.randint(1, left)
            self._put_on_way(bytes(data[start : start + size]))
            start += size
        return count

    def finish(self) -> None:
        """End the direction: the other end is notified after everything that was sent."""
        self._put_on_way(None)

    def stall(self, duration: int) -> None:
        """Delay all arrivals for that time."""
        self._stalled_until = max(self._stalled_until, self._scheduler.now + duration)

    def cut(self) -> None:
        """Discard everything that is being sent."""
        self._cut = True

    def ignore(self) -> None:
        """Read and discard everything, including bytes that have arrived and were not read."""
        self._end = _Sink(self)
        self._on_way = sum(len(piece) for piece in self._pieces if piece is not None)
        self.on_room()

    def consumed(self, count: int) -> None:
        """Called when the receiver has read that many bytes."""
        self._on_way -= count
        if not self._cut:
            self.on_room()

    def _put_on_way(self, piece: bytes | None) -> None:
        now = self._scheduler.now
        self._pieces.append(piece)
        self._due = max(self._due, now + self._chance.randint(*LATENCY_NS), self._stalled_until)
        self._scheduler.after(self._due - now, self._arrive)

    def _arrive(self) -> None:
        """Deliver the next piece."""
        if self._cut:
            return
        if self._scheduler.now < self._stalled_until:
            self._scheduler.after(self._stalled_until - self._scheduler.now, self._arrive)
            return
        piece = self._pieces.popleft()
        if piece is None:
            self._end.ended()
        else:
            self._end.received(piece)


class _Sink:
    """End of a client that reads on and handles nothing."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def received(self, data: bytes) -> None:
        self._pipe.consumed(len(data))

    def ended(self) -> None:
        pass


class SimulatedTransport(asyncio.Transport):
    """The broker's end of a connection: what uvloop's transport is to `ClientTransport`."""

    def __init__(self, loop: SimulatedLoop, port: int, chance: random.Random) -> None:
        super().__init__({"peername": ("127.0.0.1", port), "sockname": ("127.0.0.1", 5672), "socket": _Socket(port)})
        self._loop = loop
        self._chance = chance
        self._protocol: Any = None
        self._out: Pipe | None = None
        self._in: Pipe | None = None
        self._arrived = bytearray()
        self._eof = False
        #: True if nothing can be written any more.
        self._is_reset = False
        #: True if the protocol knows the connection, so that it may read.
        self._is_made = False
        self._unwritten: deque[bytes] = deque()
        self._unwritten_bytes = 0
        self._high, self._low = 65_536, 16_384
        self._reading = True
        self._paused = False
        self._closing = False
        self._lost = False

    def open(self, protocol: Any, incoming: Pipe, outgoing: Pipe) -> None:
        """Open the connection."""
        self._protocol, self._in, self._out = protocol, incoming, outgoing
        outgoing.on_room = self._flush
        self._loop.call_soon(self._connected)

    def _connected(self) -> None:
        self._protocol.connection_made(self)
        self._is_made = True
        self._readable()

    # --- the network's side -------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        self._arrived += data
        self._readable()

    def ended(self) -> None:
        self._eof = True
        self._readable()

    def reset(self) -> None:
        """Break the connection: data that has arrived can be read, and writing fails at once.

        A loop detects that even if it does not read.
        """
        self._is_reset = True
        self.ended()
        self._flush()

    def read(self) -> None:
        """Read once, like the loop when the socket has data."""
        if self._lost or self._closing or not self._reading:
            return
        if not self._arrived:
            if self._is_reset:
                self._lose(None)
            elif self._eof:
                self._protocol.eof_received()
                self.close()
            return
        buffer = self._protocol.get_buffer(-1)
        size = min(len(buffer), len(self._arrived))
        buffer[:size] = self._arrived[:size]
        del self._arrived[:size]
        self._in.consumed(size)  # type: ignore[union-attr]
        self._protocol.buffer_updated(size)
        self._readable()

    def _readable(self) -> None:
        if self._is_made and self._reading and not self._lost and (self._arrived or self._eof):
            self._loop.set_readable(self)

    @property
    def is_lost(self) -> bool:
        """Return whether the broker has closed it, or has found it closed."""
        return self._lost

    # --- calls of the broker ------------------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if self._lost or self._closing:
            return
        self._unwritten.append(bytes(data))
        self._unwritten_bytes += len(data)
        self._flush()
        if self._unwritten_bytes > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def writelines(self, parts: Iterable[Any]) -> None:
        self.write(b"".join(bytes(part) for part in parts))

    def pause_reading(self) -> None:
        self._reading = False
        self._loop.unset_readable(self)

    def resume_reading(self) -> None:
        self._reading = True
        self._readable()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high if high is not None else 65_536
        self._low = low if low is not None else self._high // 4

    def get_write_buffer_size(self) -> int:
        return self._unwritten_bytes

    def is_closing(self) -> bool:
        return self._closing or self._lost

    def close(self) -> None:
        """Close after everything is written."""
        if self._closing or self._lost:
            return
        self._closing = True
        self._loop.unset_readable(self)
        self._end_if_written()

    def abort(self) -> None:
        self._lose(None)

    # ----------------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        if self._lost or self._out is None:
            return
        if self._is_reset and self._unwritten:
            self._loop.call_soon(self._lose, ConnectionResetError())
            return
        while self._unwritten:
            data = self._unwritten[0]
            count = self._out.send(data)
            self._unwritten_bytes -= count
            if count < len(data):
                self._unwritten[0] = data[count:]
                break
            self._unwritten.popleft()
        if self._paused and self._unwritten_bytes <= self._low:
            self._paused = False
            self._loop.call_soon(self._resume)
        self._end_if_written()

    def _resume(self) -> None:
        if not self._lost:
            self._protocol.resume_writing()

    def _end_if_written(self) -> None:
        if self._closing and not self._unwritten:
            self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self._loop.unset_readable(self)
        self._unwritten.clear()
        self._unwritten_bytes = 0
        if self._out is not None:
            self._out.finish()
        self._loop.call_soon(self._protocol.connection_lost, error)
        self._protocol = None


class _Socket:
    """A socket with the methods that are used."""

    def __init__(self, port: int) -> None:
        self._port = port

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 5672

    def fileno(self) -> int:
        return -1

    def setsockopt(self, *_: object) -> None:
        pass


class Connection:
    """Both directions between a client and the broker. `client`: the receiver at the client's end."""

    def __init__(
        self, scheduler: Scheduler, chance: random.Random, client: End, server: SimulatedTransport, protocol: Any
    ) -> None:
        self.to_server = Pipe(scheduler, chance, server, chance.choice(WINDOWS))
        self.to_client = Pipe(scheduler, chance, client, chance.choice(WINDOWS))
        #: Port of the client.
        self.port: int = server.get_extra_info("peername")[1]
        self._server = server
        self._client = client
        #: True if the client has cut or finished it.
        self._was_left = False
        self._rest = bytearray()
        server.open(protocol, self.to_server, self.to_client)

    @property
    def is_open(self) -> bool:
        """Return whether neither end has cut or closed it."""
        return not self._was_left and not self.is_over

    @property
    def is_over(self) -> bool:
        """Return whether the broker reads nothing more from it, so that further input has no effect."""
        return self._server.is_lost

    @property
    def is_full(self) -> bool:
        """Return whether the broker has output that the client leaves no capacity for, so that nothing arrives."""
        return self._server.get_write_buffer_size() > 0

    def stall(self, upward: bool, duration: int) -> None:
        """Delay one direction for that time; upward: to the broker."""
        (self.to_server if upward else self.to_client).stall(duration)

    def cut(self) -> None:
        """Break the connection. Data being sent is lost, and both ends are notified."""
        self._was_left = True
        self.to_server.cut()
        self.to_client.cut()
        self._server.reset()
        self._client.ended()

    def finish(self, rest: bytes) -> None:
        """End the connection in order: all bytes of the client arrive before its end, and the client reads no more.

        rest: bytes that the client has not sent yet. Later bytes of the broker are discarded.
        """
        self._was_left = True
        self._rest += rest
        self.to_server.on_room = self._send_rest
        self.to_client.ignore()
        self._client.ended()
        self._send_rest()

    def _send_rest(self) -> None:
        del self._rest[: self.to_server.send(self._rest)]
        if not self._rest:
            self.to_server.on_room = _nothing
            self.to_server.finish()


def _nothing() -> None:
    pass
