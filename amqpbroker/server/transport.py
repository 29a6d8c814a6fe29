"""One client's socket: hands bytes to the connection, and writes what it has to say at the end of the turn."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from amqpbroker.amqp.output import Part
from amqpbroker.amqp.peer import Peer
from amqpbroker.clock import Clock
from amqpbroker.server.ending import Ending, is_encrypted, unsent_by
from amqpbroker.server.reading import Pace, Reading
from amqpbroker.server.socket_options import finish_when_closed, reset_when_closed, set_options
from amqpbroker.server.tick import Tick
from amqpbroker.server.tls import TlsError, describe

log = logging.getLogger(__name__)

#: Above `high` bytes that the kernel did not take the connection is told that the socket is full, below `low` that it
#: has room again.
WRITE_HIGH_BYTES = 256 * 1024
WRITE_LOW_BYTES = 64 * 1024


class Served(Protocol):
    """Protocol handler of a socket: `amqp.connection.Connection`, or a wrapper with the same interface."""

    @property
    def closing(self) -> bool: ...
    @property
    def abandoned(self) -> bool: ...
    @property
    def reading(self) -> bool: ...
    @property
    def wanted(self) -> int: ...
    @property
    def published(self) -> int: ...
    def feed(self, data: bytes) -> None: ...
    def collect(self) -> Sequence[Part]: ...
    def set_writable(self, writable: bool) -> None: ...
    def stop_deliveries(self) -> None: ...
    def shutdown(self) -> None: ...
    def hand_over(self) -> bytes: ...
    def lost(self) -> None: ...


#: Makes what serves a peer's socket; it calls `on_dirty` of the transport when it has output.
Connect = Callable[[Peer, "ClientTransport"], Served]


class ClientTransport(asyncio.BufferedProtocol):
    """Between one socket and what serves it.

    `reading` has what the loop reads into. `admit(self)` is asked when the socket is there: False closes it at once.
    `forget(self)` is called when an admitted one is gone. bytes_read: number of bytes read so far.
    """

    def __init__(
        self,
        reading: Reading,
        connect: Connect,
        clock: Clock,
        tick: Tick,
        admit: Callable[["ClientTransport"], bool],
        forget: Callable[["ClientTransport"], None],
    ) -> None:
        self._shared = reading
        self._pace = Pace()
        self._read = reading.room(self._pace, 0)
        self._connect = connect
        self._clock = clock
        self._tick = tick
        self._admit = admit
        self._forget = forget
        self._connection: Served | None = None
        self._transport: asyncio.Transport | None = None
        self._ending: Ending | None = None
        self._admitted = False
        self._marked = False
        #: True while the client's own frames are being processed.
        self._acting = False
        self._reading = True
        #: True after a read that filled the buffer, until `read_on` is called.
        self._waits = False
        self.bytes_read = 0

    # --- what the event loop calls -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        try:
            self._serve(self._transport)
        except Exception:
            self._fail()

    def _serve(self, transport: asyncio.Transport) -> None:
        """Attach a protocol handler to the client's socket, unless the client is refused."""
        encryption = None
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            try:
                encryption = describe(ssl_object)
            except TlsError as error:
                log.warning("a client by TLS is refused: %s", error)
                transport.abort()
                return
        self._admitted = self._admit(self)
        if not self._admitted:
            transport.abort()
            return
        transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)
        sock = transport.get_extra_info("socket")
        host, port = _address(transport.get_extra_info("peername"))
        if host:  # else it is within this process, or gone
            set_options(sock, host)
            if encryption is None:  # as in RabbitMQ, also if the process is killed
                reset_when_closed(sock)
        local_host, local_port = _address(transport.get_extra_info("sockname"))
        peer = Peer(host=host, port=port, local_host=local_host, local_port=local_port, tls=encryption)
        self._connection = self._connect(peer, self)

    def get_buffer(self, sizehint: int) -> memoryview:
        connection = self._connection
        missing = 0 if connection is None else connection.wanted
        self._read = self._shared.room(self._pace, missing)
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        self.bytes_read += nbytes
        connection = self._connection
        if connection is None or connection.closing:
            return
        self._acting = True
        data = bytes(self._read[:nbytes])
        try:
            connection.feed(data)
        except Exception:
            self._fail()
            return
        finally:
            self._acting = False
        self._shared.read(self._pace, data, connection)
        if nbytes == len(self._read):  # there may be more, for a later iteration
            self._waits = True
            self._shared.filled(self)
            self._set_reading(False)
            self.on_dirty()
            return
        if not connection.reading:
            self._set_reading(False)

    def pause_writing(self) -> None:
        self._set_writable(False)

    def resume_writing(self) -> None:
        self._set_writable(True)

    def eof_received(self) -> None:
        transport = self._transport
        if transport is not None and unsent_by(transport) != 0:
            finish_when_closed(transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        connection, self._connection = self._connection, None
        try:
            if connection is not None:
                connection.lost()
        except Exception:
            log.exception("a lost connection could not be cleaned up")
        finally:
            if self._admitted:
                self._admitted = False
                self._forget(self)

    # --- what the rest of the server calls ---------------------------------------------------------------------------

    def on_dirty(self) -> None:
        """The connection has output, or something to do at the end of the turn."""
        if not self._marked:
            self._marked = True
            self._tick.mark(self, self._acting)

    def end_turn(self) -> None:
        """Write everything the connection has, in one go; then close, or read on or not, as it says."""
        self._marked = False
        connection = self._connection
        if connection is None or self._transport is None:
            return
        self._acting = True  # processes frames that had to wait for unwritten output
        try:
            parts = connection.collect()
            if parts:
                self._shared.written(self._pace)
                if len(parts) == 1:
                    self._transport.write(parts[0])
                else:
                    self._transport.writelines(parts)
            if connection.closing:
                self._close(connection.abandoned)
            else:
                self._set_reading(connection.reading and not self._waits)
        except Exception:
            self._fail()
        finally:
            self._acting = False

    def read_on(self) -> None:
        """Read further data, unless the connection has paused reading."""
        self._waits = False
        connection = self._connection
        if connection is not None and not connection.closing:
            self._set_reading(connection.reading)

    def interpose(self, before: Callable[[Served], Served]) -> None:
        """Wrap the protocol handler of the socket from now on."""
        if self._connection is not None:
            self._connection = before(self._connection)

    def hand_over(self, protocol: asyncio.BaseProtocol) -> tuple[asyncio.Transport, bytes] | None:
        """Pass the socket to another protocol handler, which has to resume reading.

        Return the socket's transport, and the client's bytes that nobody has handled. Return None if the connection has
        ended.
        """
        self.end_turn()  # write what the connection has sent
        connection, transport = self._connection, self._transport
        if connection is None or transport is None or self.closing:
            return None
        self._set_reading(False)
        rest = connection.hand_over()
        finish_when_closed(transport.get_extra_info("socket"))
        self._connection = self._transport = None
        transport.set_protocol(protocol)
        self._admitted = False
        self._forget(self)
        return transport, rest

    # --- state for tests ----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The client's address, or "a client" after it has disconnected."""
        host, port = _address(None if self._transport is None else self._transport.get_extra_info("peername"))
        return f"{host}:{port}" if host else "a client"

    @property
    def socket(self) -> Any:
        """The socket, or the event loop's wrapper of it; None once it is closed."""
        return None if self._transport is None else self._transport.get_extra_info("socket")

    @property
    def encrypted(self) -> bool:
        return self._transport is not None and is_encrypted(self._transport)

    @property
    def closing(self) -> bool:
        """Return whether the connection is closing, so that incoming bytes are discarded."""
        transport, connection = self._transport, self._connection
        return transport is None or transport.is_closing() or connection is None or connection.closing

    @property
    def reading(self) -> bool:
        """Return whether all bytes read so far are handled, and further bytes are handled as they arrive."""
        return self._connection is not None and self._connection.reading

    @property
    def paused(self) -> bool:
        """Return whether the socket is not read in this event loop iteration."""
        return not self._reading

    @property
    def marked(self) -> bool:
        """Return whether the connection is served at the end of the event loop iteration."""
        return self._marked

    @property
    def unwritten(self) -> int:
        """Number of bytes that the kernel has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    # --- the server's end ---------------------------------------------------------------------------------------------

    def stop_deliveries(self) -> None:
        """Call this for all clients before the first `shutdown`, in the same event loop iteration."""
        if self._connection is not None:
            self._connection.stop_deliveries()

    def shutdown(self) -> None:
        """The server stops: have the connection tell its client and close."""
        if self._connection is None:
            return
        try:
            self._connection.shutdown()
        except Exception:
            self._fail()

    def abort(self) -> None:
        """Drop the socket, with whatever was still to be written to it."""
        if self._transport is not None:
            self._transport.abort()

    def finish(self) -> None:
        """Drop the socket as a process that ends does: the peer is told with a FIN."""
        if self._transport is not None:
            finish_when_closed(self._transport.get_extra_info("socket"))
            self._transport.abort()

    def reset(self) -> None:
        """Drop the socket as a crashed host does: the peer is told with a TCP reset."""
        if self._transport is not None:
            reset_when_closed(self._transport.get_extra_info("socket"))
            self._transport.abort()

    # -----------------------------------------------------------------------------------------------------------------

    def _set_writable(self, writable: bool) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            connection.set_writable(writable)
        except Exception:
            self._fail()
            return
        if writable:
            self.on_dirty()

    def _set_reading(self, reading: bool) -> None:
        if reading is self._reading or self._transport is None or self._transport.is_closing():
            return
        self._reading = reading
        if reading:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _close(self, at_once: bool) -> None:
        if self._ending is not None or self._transport is None:
            return
        self._ending = Ending(self._clock, self._transport)
        if at_once and not self.encrypted:
            self.abort()
        else:
            self._ending.begin()

    def _fail(self) -> None:
        """The last net: the connection answers its own errors, so this one left it in no state to say anything."""
        self.abort()
        log.exception("internal error; closing the connection")


def _address(name: object) -> tuple[str, int]:
    """(host, port) of a socket's name, which is empty when the peer has already gone."""
    if isinstance(name, tuple) and len(name) >= 2:
        return str(name[0]), int(name[1])
    return "", 0
