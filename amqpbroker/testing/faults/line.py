"""A connection's line: stands between the socket and the connection, and lets faults strike what goes over it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from amqpbroker.amqp.connection import Connection
from amqpbroker.amqp.output import Part
from amqpbroker.server.transport import ClientTransport
from amqpbroker.testing.faults.confirms import ACK, NACK, Confirm, Ledger
from amqpbroker.testing.faults.frames import Frame, Splitter
from amqpbroker.testing.faults.index import Meant
from amqpbroker.wire.frames import BODY, HEADER
from amqpbroker.wire.values import text

if TYPE_CHECKING:
    from amqpbroker.testing.faults.injector import Injector

#: Octets that may wait here before the connection is asked for no more.
_HIGH = 64 * 1024
#: No payload is larger.
_LARGEST = 1 << 31


class Line:
    """Passes frames between a socket and its connection, as a `Served`, and applies faults to them.

    number: sequence number of the connection. received, sent: number of frames received from and sent to the client.
    meant: the faults that apply to the connection.
    """

    def __init__(self, injector: "Injector", client: ClientTransport, connection: Connection, number: int) -> None:
        self.number = number
        self.received = 0
        self.sent = 0
        self.meant = Meant()
        self._injector = injector
        self._client = client
        self._connection = connection
        waiting, passing = connection.take_unhandled()
        largest = connection.broker.config.frame_max or _LARGEST
        self._incoming = Splitter(connection.frame_loop.recv_oct == 0, passing, largest)
        self._incoming.add(waiting)
        self._outgoing = Splitter(False, 0, _LARGEST)
        self._out = bytearray()
        self._ledgers: dict[int, Ledger] = {}
        #: By channel: a publish that does not get to the broker, and its octets to come; -1 before its header.
        self._refusing: dict[int, tuple[Frame, int]] = {}
        self._writable = True
        self._cut = False
        self._resets = False
        self._mute = False
        self._over = False
        self._unheard = False
        for channel in connection.channels:
            self._keep_ledger(channel)

    # --- who it is --------------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """What the connection is called: by the client, if it has said, and by RabbitMQ."""
        name = self._connection.client.properties.get("connection_name")
        return (text(name.value), self._connection.name) if name is not None else (self._connection.name,)

    @property
    def user(self) -> str:
        """Empty before it is known."""
        user = getattr(self._connection.client, "user", None)
        return "" if user is None else str(user.name)

    @property
    def vhost(self) -> str:
        """Empty before it is known."""
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

    # --- what the transport asks ------------------------------------------------------------------------------------

    @property
    def closing(self) -> bool:
        return self._connection.closing and not self._out and not self._cut and self._writes()

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
        fault, size = self._injector.room(self, len(data), True)
        self._incoming.add(data if fault is None else data[:size])
        self._go_on()
        if fault is not None and not self._cut:
            fault.strike_octets(self, True)

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
        return self._taken() if writes else []

    def set_writable(self, writable: bool) -> None:
        self._writable = writable
        self._connection.set_writable(writable)

    def shutdown(self) -> None:
        self._connection.shutdown()

    def lost(self) -> None:
        self._cut = self._over = True
        self._out.clear()
        for ledger in self._ledgers.values():
            ledger.alive = False
        self._injector.lost(self)
        self._connection.lost()

    # --- what faults do ---------------------------------------------------------------------------------------------

    def look(self) -> None:
        """The faults have changed."""
        self._client.on_dirty()

    def cut(self, resets: bool, mute: bool = False) -> None:
        """End it here, without a word; what the broker has said until now is still written, unless it is mute."""
        self._cut = True
        self._resets = resets
        self._mute = mute
        self._client.on_dirty()

    def pass_on(self, frame: Frame, received: bool) -> None:
        """Let a frame go where it was to go."""
        if not received:
            self._write(frame.data)
        elif not self._is_refused(frame):
            self._connection.feed(frame.data)
            if frame.name == "channel.close":
                self._fetch()
            elif frame.name == "confirm.select":
                self._keep_ledger(frame.channel)

    def confirms(self, channel: int) -> bool:
        """Whether what is published on the channel is confirmed."""
        return channel in self._ledgers

    def refuse(self, publish: Frame) -> None:
        """The publish whose method this is does not get to the broker, and is nacked."""
        self._refusing[publish.channel] = publish, -1

    def confirm(self, confirm: Confirm) -> None:
        """Tell the client, unless a fault keeps it; what has been kept comes here again."""
        if confirm.ledger.alive and not self._over and not self._injector.keeps(confirm):
            self._send(confirm.frame())

    # --- in ---------------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Have the connection handle what is here, as far as it wants to."""
        while not self._cut and self._connection.reading and self._reads():
            frame = self._incoming.next()
            if frame is None:
                return
            self.received += frame.counts
            fault = self._injector.strikes(self, frame, True)
            if fault is None:
                self.pass_on(frame, True)
            else:
                fault.strike(self, frame, True)

    def _is_refused(self, frame: Frame) -> bool:
        """Whether a frame belongs to a publish that is refused."""
        publish, left = self._refusing.pop(frame.channel, (None, 0))
        if publish is None:
            return False
        if frame.kind != (HEADER if left < 0 else BODY):
            self._connection.feed(publish.data)  # which says what is wrong with that
            return False
        left = int.from_bytes(frame.payload[4:12], "big") if left < 0 else left - len(frame.payload)
        if left > 0:
            self._refusing[frame.channel] = publish, left
        elif frame.channel in self._ledgers:
            self._ledgers[frame.channel].refuse()
            self._client.on_dirty()
        return True

    def _keep_ledger(self, number: int) -> None:
        channel = self._connection.channels.get(number)
        if channel is not None and channel.answers.confirms is not None and number not in self._ledgers:
            self._ledgers[number] = Ledger(number, channel.answers.confirms)

    # --- out --------------------------------------------------------------------------------------------------------

    def _fetch(self) -> None:
        """Take over what the connection has to say."""
        octets = b"".join(self._connection.collect())
        if octets.startswith(b"AMQP"):
            self._write(octets)
            return
        self._outgoing.add(octets)
        for frame in self._outgoing.split():
            ledger = self._ledgers.get(frame.channel)
            if ledger is not None and frame.name in (ACK, NACK):
                answer = frame.arguments()
                self._tell(ledger, ledger.settle(frame.name, answer["delivery_tag"], bool(answer["multiple"])))
                continue
            self._send(frame)
            if ledger is not None and frame.name in ("channel.close", "channel.close-ok"):
                self._ledgers.pop(frame.channel).alive = False
        for ledger in self._ledgers.values():
            self._tell(ledger, ledger.due())

    def _tell(self, ledger: Ledger, told: list[tuple[int, str]]) -> None:
        for number, name in told:
            self.confirm(Confirm(self, ledger, number, name))

    def _send(self, frame: Frame) -> None:
        if self._mute:
            return
        self.sent += frame.counts
        fault = self._injector.strikes(self, frame, False)
        if fault is None:
            self._write(frame.data)
        else:
            fault.strike(self, frame, False)

    def _write(self, data: bytes) -> None:
        if self._mute:
            return
        fault, size = self._injector.room(self, len(data), False)
        self._out += data if fault is None else data[:size]
        if fault is not None:
            fault.strike_octets(self, False)
        self._client.on_dirty()

    def _taken(self) -> list[Part]:
        """What is to be written this turn."""
        if not self._out:
            return []
        piece = 0 if self._over else self._injector.piece(self)
        size = piece or len(self._out)
        octets = bytes(self._out[:size])
        del self._out[:size]
        if self._out:
            self._client.on_dirty()
        return [octets]

    def _end(self) -> None:
        """What is written in this turn is with the kernel in the next."""
        self._over = True
        self._injector.soon(self._client.reset if self._resets else self._client.abort)

    # --- what the faults say ----------------------------------------------------------------------------------------

    def _reads(self) -> bool:
        return self._injector.reads(self)

    def _writes(self) -> bool:
        return self._injector.writes(self)

    def _heed_heartbeats(self) -> None:
        """The silence of a client that is not read means nothing."""
        connection, unheard = self._connection, not self._reads()
        if unheard:
            connection.heartbeat.pause_monitor()
        elif self._unheard and not connection.status.state.held:
            connection.heartbeat.resume_monitor()
        self._unheard = unheard
