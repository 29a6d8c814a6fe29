"""One relayed connection: the bytes of a client and of the broker that leads its vhost."""

import asyncio
from collections.abc import Callable
from typing import Final

from amqpbroker.server.transport import WRITE_HIGH_BYTES, WRITE_LOW_BYTES

#: Time for the last bytes of a connection.
LINGER_S: Final = 5.0


class Relay:
    """Passes on the bytes of both sides as they are, until one of them ends. Then the other one is closed.

    client, leader: protocol handlers of the two sockets.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview, on_end: Callable[["Relay"], None]) -> None:
        """buffer: read into it; relays of one event loop share it. on_end: called once both sockets are closed."""
        self.client = Side(buffer, self._lost)
        self.leader = Side(buffer, self._lost)
        self._loop = loop
        self._on_end = on_end
        self._linger: asyncio.TimerHandle | None = None

    def begin(
        self, client: asyncio.Transport, leader: asyncio.Transport | None, to_client: bytes, to_leader: bytes
    ) -> None:
        """Take over both sockets. to_client, to_leader: their first bytes. leader: None if it is closed already."""
        self.client.begin(client, self.leader)
        if leader is None:
            self.leader.transport = None
            client.write(to_client)
            self.end()
            return
        leader.set_protocol(self.leader)
        self.leader.begin(leader, self.client)
        for transport in (client, leader):
            if not transport.is_closing():
                transport.resume_reading()
        # Either may stop the other one from being read.
        client.write(to_client)
        leader.write(to_leader)

    def end(self) -> None:
        """Close both sockets when their last bytes are written, or after a while."""
        if self._linger is None:
            self._linger = self._loop.call_later(LINGER_S, self.abort)
            for transport in (self.client.transport, self.leader.transport):
                if transport is not None:
                    transport.close()

    def abort(self) -> None:
        """Close both sockets at once."""
        for transport in (self.client.transport, self.leader.transport):
            if transport is not None:
                transport.abort()

    def _lost(self) -> None:
        self.end()
        if self.client.transport is None and self.leader.transport is None:
            if self._linger is not None:
                self._linger.cancel()
            self._on_end(self)


class Side(asyncio.BufferedProtocol):
    """Writes everything that is read from one socket to the other one, which is not read while this one is full.

    transport: None once the socket is closed.
    """

    def __init__(self, buffer: memoryview, on_lost: Callable[[], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = buffer
        #: None once the socket is closed, so that the relay is freed without the garbage collector.
        self._on_lost: Callable[[], None] | None = on_lost
        self._other: Side | None = None

    def begin(self, transport: asyncio.Transport, other: "Side") -> None:
        """Serve this socket."""
        self.transport = transport
        self._other = other
        transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        target = self._target
        if target is not None:
            target.write(bytes(self._buffer[:nbytes]))

    def pause_writing(self) -> None:
        target = self._target
        if target is not None:
            target.pause_reading()

    def resume_writing(self) -> None:
        target = self._target
        if target is not None:
            target.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        on_lost, self._on_lost = self._on_lost, None
        self.transport = self._other = None
        if on_lost is not None:
            on_lost()

    @property
    def _target(self) -> asyncio.Transport | None:
        """The other socket, unless it is being closed."""
        target = None if self._other is None else self._other.transport
        return None if target is None or target.is_closing() else target
