"""The line of a connection: passes frames between socket and connection, and applies faults to them."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence

from amqpbroker.amqp.connection import Connection
from amqpbroker.amqp.output import Part
from amqpbroker.broker.events.tap import TappedVhost, Via
from amqpbroker.message.message import Message
from amqpbroker.server.transport import ClientTransport
from amqpbroker.testing.faults.confirms import ACK, NACK, Confirm, Ledger
from amqpbroker.testing.faults.frames import Frame, Splitter
from amqpbroker.wire.frames import BODY, HEADER
from amqpbroker.wire.values import text

#: Number of unwritten bytes from which on no more output is fetched from the connection.
_HIGH = 64 * 1024
#: Limit of the size of a payload.
_LARGEST = 1 << 31


class Interceptor(metaclass=ABCMeta):
    """Decides on the frames, bytes and confirms of one connection: the seam between lines and faults."""

    @abstractmethod
    def reads(self, line: "Line") -> bool:
        """Return whether the connection is read."""

    @abstractmethod
    def writes(self, line: "Line") -> bool:
        """Return whether the connection is written."""

    @abstractmethod
    def piece(self, line: "Line") -> int:
        """Return the number of bytes in one write, 0 for all."""

    @abstractmethod
    def strikes(self, line: "Line", frame: Frame, received: bool) -> bool:
        """Strike at a frame that was received or is to be sent, and return True; or return False to let it pass."""

    @abstractmethod
    def strikes_within(self, line: "Line", size: int, received: bool) -> tuple[int, Callable[[], None] | None]:
        """Return how many of the next `size` bytes pass, and the call that strikes after these, None for no strike."""

    @abstractmethod
    def holds(self, line: "Line", confirm: Confirm) -> bool:
        """Hold back a confirm that is to be sent, and return True; or return False to let it pass."""

    @abstractmethod
    def delivered(self, line: "Line", vhost: TappedVhost, message: Message, queue: str, via: Via) -> None:
        """Note that a message goes to the client for the first time. Nothing may be changed within this call."""

    @abstractmethod
    def lost(self, line: "Line") -> None:
        """Note that the connection has ended."""

    @abstractmethod
    def soon(self, call: Callable[[], None]) -> None:
        """Make a call in the next event loop iteration."""


class Line:
    """Passes frames between a socket and its connection, as a `Served`, and applies faults to them.

    faults: those that apply to the connection. number: sequence number of the connection. received, sent: number of
    frames received from and sent to the client.
    """

    def __init__(self, faults: Interceptor, client: ClientTransport, connection: Connection, number: int) -> None:
        self.faults = faults
        self.number = number
        self.received = 0
        self.sent = 0
        self._client = client
        self._connection = connection
        waiting, passing = connection.take_unhandled()
        largest = connection.broker.config.frame_max or _LARGEST
        self._incoming = Splitter(connection.frame_loop.recv_oct == 0, passing, largest)
        self._incoming.add(waiting)
        self._outgoing = Splitter(False, 0, _LARGEST)
        self._out = bytearray()
        self._ledgers: dict[int, Ledger] = {}
        #: By channel: a refused publish, and the number of its bytes to come; -1 before its header.
        self._refusing: dict[int, tuple[Frame, int]] = {}
        self._writable = True
        self._cut = False
        self._resets = False
        self._mute = False
        self._over = False
        self._unheard = False
        for channel in connection.channels:
            self._open_ledger(channel)

    # --- identity -----------------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the connection: that of the client, if it gave one, and that of RabbitMQ."""
        name = self._connection.client.properties.get("connection_name")
        return (text(name.value), self._connection.name) if name is not None else (self._connection.name,)

    @property
    def user(self) -> str:
        """The name, empty until the handshake reveals it."""
        user = getattr(self._connection.client, "user", None)
        return "" if user is None else str(user.name)

    @property
    def vhost(self) -> str:
        """The name, empty until the handshake reveals it."""
        vhost = getattr(self._connection.client, "vhost", None)
        return "" if vhost is None else str(vhost.name)

    @property
    def identity(self) -> object:
        """Value that changes when the handshake reveals the connection's name, user or vhost."""
        connection = self._connection
        return None if connection.status.state.open else (self.names, self.user, self.vhost)

    @property
    def connection(self) -> Connection:
        return self._connection

    def __str__(self) -> str:
        names = ", ".join(self.names)
        return f"connection {self.number} ({names}{f', user {self.user}' if self.user else ''})"

    # --- interface for the transport ----------------------------------------------------------------------------------

    @property
    def closing(self) -> bool:
        return self._connection.closing and not self._out and not self._cut and self._writes()

    @property
    def abandoned(self) -> bool:
        return self._connection.abandoned

    @property
    def reading(self) -> bool:
        return self._connection.reading and not self._cut and self._reads()

    @property
    def wanted(self) -> int:
        return 0

    @property
    def published(self) -> int:
        return self._connection.published

    def feed(self, data: bytes) -> None:
        if self._cut:
            return
        size, strike = self.faults.strikes_within(self, len(data), True)
        self._incoming.add(data if strike is None else data[:size])
        self._go_on()
        if strike is not None and not self._cut:
            strike()

    def collect(self) -> Sequence[Part]:
        if self._over:
            return []
        self._heed_heartbeats()
        writes = self._writable and self._writes()
        if writes and len(self._out) < _HIGH:
            self._fetch()
        self._go_on()
        if self._cut:
            self._end()
        return self._next_output() if writes else []

    def set_writable(self, writable: bool) -> None:
        self._writable = writable
        self._connection.set_writable(writable)

    def stop_deliveries(self) -> None:
        self._connection.stop_deliveries()

    def shutdown(self) -> None:
        self._connection.shutdown()

    def hand_over(self) -> bytes:
        rest = self._connection.hand_over() + self._incoming.rest()
        self.lost()
        return rest

    def lost(self) -> None:
        self._cut = self._over = True
        self._out.clear()
        for ledger in self._ledgers.values():
            ledger.close()
        self.faults.lost(self)
        self._connection.lost()

    # --- interface for faults -----------------------------------------------------------------------------------------

    def faults_changed(self) -> None:
        """Make the transport check again whether to read and write."""
        self._client.on_dirty()

    def cut(self, resets: bool, mute: bool = False) -> None:
        """End the connection without connection.close. Output so far is still written, unless `mute`."""
        self._cut = True
        self._resets = resets
        self._mute = mute
        self._client.on_dirty()

    def pass_on(self, frame: Frame, received: bool) -> None:
        """Pass a frame on to the connection, or to the client."""
        if not received:
            self._write(frame.data)
        elif not self._is_refused(frame):
            self._connection.feed(frame.data)
            if frame.name == "channel.close":
                self._fetch()
            elif frame.name == "confirm.select":
                self._open_ledger(frame.channel)

    def confirms(self, channel: int) -> bool:
        """Return whether publishes on the channel are confirmed."""
        return channel in self._ledgers

    def refuse(self, publish: Frame) -> None:
        """Refuse the publish with this method: it does not reach the broker and is nacked."""
        self._refusing[publish.channel] = publish, -1

    def confirm(self, confirm: Confirm) -> None:
        """Send a confirm unless a fault holds it back; a released one comes here again."""
        if confirm.ledger.alive and not self._over and not self.faults.holds(self, confirm):
            self._send(confirm.frame())

    # --- input --------------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Feed complete frames to the connection while it reads."""
        while not self._cut and self._connection.reading and self._reads():
            frame = self._incoming.next()
            if frame is None:
                return
            self.received += frame.counts
            if not self.faults.strikes(self, frame, True):
                self.pass_on(frame, True)

    def _is_refused(self, frame: Frame) -> bool:
        """Return whether a frame belongs to a refused publish."""
        publish, left = self._refusing.pop(frame.channel, (None, 0))
        if publish is None:
            return False
        if frame.kind != (HEADER if left < 0 else BODY):
            self._connection.feed(publish.data)  # reports the unexpected frame
            return False
        left = int.from_bytes(frame.payload[4:12], "big") if left < 0 else left - len(frame.payload)
        if left > 0:
            self._refusing[frame.channel] = publish, left
        elif frame.channel in self._ledgers:
            self._ledgers[frame.channel].refuse()
            self._client.on_dirty()
        return True

    def _open_ledger(self, number: int) -> None:
        channel = self._connection.channels.get(number)
        if channel is not None and channel.answers.confirms is not None and number not in self._ledgers:
            self._ledgers[number] = Ledger(number, channel.answers.confirms)

    # --- output -------------------------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        """Fetch the output of the connection."""
        data = b"".join(self._connection.collect())
        if data.startswith(b"AMQP"):
            self._write(data)
            return
        self._outgoing.add(data)
        for frame in self._outgoing.split():
            ledger = self._ledgers.get(frame.channel)
            if ledger is not None and frame.name in (ACK, NACK):
                answer = frame.arguments()
                tag, multiple = answer["delivery_tag"], bool(answer["multiple"])
                self._confirm_all(ledger, ledger.confirmed(frame.name, tag, multiple))
                continue
            self._send(frame)
            if ledger is not None and frame.name in ("channel.close", "channel.close-ok"):
                self._ledgers.pop(frame.channel).close()
        for ledger in self._ledgers.values():
            self._confirm_all(ledger, ledger.due())

    def _confirm_all(self, ledger: Ledger, confirms: list[tuple[int, str]]) -> None:
        for number, name in confirms:
            self.confirm(Confirm(ledger, number, name))

    def _send(self, frame: Frame) -> None:
        if self._mute:
            return
        self.sent += frame.counts
        if not self.faults.strikes(self, frame, False):
            self._write(frame.data)

    def _write(self, data: bytes) -> None:
        if self._mute:
            return
        size, strike = self.faults.strikes_within(self, len(data), False)
        self._out += data if strike is None else data[:size]
        if strike is not None:
            strike()
        self._client.on_dirty()

    def _next_output(self) -> list[Part]:
        """Remove and return what is to be written in this event loop iteration."""
        if not self._out:
            return []
        piece = 0 if self._over else self.faults.piece(self)
        size = piece or len(self._out)
        data = bytes(self._out[:size])
        del self._out[:size]
        if self._out:
            self._client.on_dirty()
        return [data]

    def _end(self) -> None:
        """End the connection in the next event loop iteration, when the kernel has the output of this one."""
        self._over = True
        self.faults.soon(self._client.reset if self._resets else self._client.finish)

    # --- effects of faults --------------------------------------------------------------------------------------------

    def _reads(self) -> bool:
        return self.faults.reads(self)

    def _writes(self) -> bool:
        return self.faults.writes(self)

    def _heed_heartbeats(self) -> None:
        """Pause the check of heartbeats while the client is not read."""
        connection, unheard = self._connection, not self._reads()
        if unheard:
            connection.heartbeat.pause_monitor()
        elif self._unheard and not connection.status.state.held:
            connection.heartbeat.resume_monitor()
        self._unheard = unheard
