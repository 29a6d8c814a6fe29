"""Channel 0: the protocol header, and the methods that are the connection's own."""

from typing import TYPE_CHECKING

from amqpbroker import errors
from amqpbroker.amqp import connection_log
from amqpbroker.amqp.dispatch import UPDATE_SECRET, arguments_of
from amqpbroker.amqp.handshake import Handshake
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame

if TYPE_CHECKING:
    from amqpbroker.amqp.connection import Connection

_PROTOCOL_HEADER = b"AMQP\0\0\x09\x01"
#: The older way to write the same version; served as 0-9-1.
_PROTOCOL_HEADER_0_9 = b"AMQP\x01\x01\0\x09"

_CLOSE = 10 << 16 | 50
_CLOSE_OK = 10 << 16 | 51


class ChannelZero:
    """What is said on channel 0. handshake: the one that is under way, if one is."""

    __slots__ = ("handshake",)

    def __init__(self) -> None:
        self.handshake: Handshake | None = None

    @property
    def logging_in(self) -> bool:
        """Whether nobody has logged in: what comes may be a password, and errors are not told."""
        return self.handshake is not None and not self.handshake.authenticated

    def greet(self, connection: "Connection", data: bytes) -> int:
        """The protocol header; whatever is not AMQP 0-9-1 is answered with the version that would be.

        Returns how many octets are dealt with: none of fewer than a header has.
        """
        if len(data) < len(_PROTOCOL_HEADER):
            return 0
        connection_log.accepting(connection)
        if data[: len(_PROTOCOL_HEADER)] not in (_PROTOCOL_HEADER, _PROTOCOL_HEADER_0_9):
            connection.write(_PROTOCOL_HEADER)
            connection.ending.finish(connection, connection_log.bad_header(data))
            return len(data)
        connection.greeted = True
        self.handshake = Handshake(connection)
        return len(_PROTOCOL_HEADER)

    def take(self, connection: "Connection", ids: int, payload: bytes) -> None:
        """A method frame on channel 0; payload: all of it. Raises AmqpError, MalformedError."""
        ending = connection.ending
        if ending.close_sent:
            if ids == _CLOSE_OK:
                ending.finish(connection)
            elif ids == _CLOSE:
                ending.agree(connection)
            return
        method = methods.METHODS.get(ids)
        arguments = {} if method is None else arguments_of(connection, method, payload)
        if self.handshake is not None:
            self.handshake.handle("" if method is None else method.name, arguments)
        elif ids == _CLOSE:
            ending.agree(connection)
        elif ids == UPDATE_SECRET:
            connection.write(frame(METHOD, 0, methods.encode("connection.update-secret-ok")))
        else:
            raise errors.channel_error("unexpected method in connection state running")

    def opened(self, connection: "Connection") -> None:
        """connection.open was answered: channels may be opened."""
        self.handshake = None
        connection.running = True
        connection_log.granted(connection)
        connection.broker.events.connection_created(connection)
        connection.ending.handshake_done()
        connection.alarms_changed()
