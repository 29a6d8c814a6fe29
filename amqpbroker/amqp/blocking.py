"""What an alarm does to a connection that publishes (rabbit_reader.erl, control_throttle and publish_received)."""

from typing import TYPE_CHECKING

from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame

if TYPE_CHECKING:
    from amqpbroker.amqp.connection import Connection


class Blocking:
    """A connection that publishes while an alarm is on is blocked until none is.

    Nothing that comes from it is handled meanwhile; what goes to it goes on. The reason is told once, at the start: it
    may change without another word.

    alarmed: the next frame with content blocks. blocked: no frame is to be handled.
    """

    __slots__ = ("alarmed", "blocked")

    def __init__(self) -> None:
        self.alarmed: bool = False
        self.blocked: bool = False

    def alarms_changed(self, connection: "Connection") -> None:
        """Look at the broker's alarms; the last one to go lets the connection go on."""
        self.alarmed = bool(connection.broker.alarms.resources)
        if self.blocked and not self.alarmed:
            self.blocked = False
            connection.heartbeat.resume_monitor()
            _tell(connection, "connection.unblocked")
            connection.mark_dirty()

    def published(self, connection: "Connection") -> None:
        """A frame with content came while an alarm is on. What it completes is still published."""
        self.blocked = True
        connection.heartbeat.pause_monitor()
        connection.stop_reading()
        _tell(connection, "connection.blocked", reason=connection.broker.alarms.reason)

    def end(self) -> None:
        """The connection closes, and has to hear the answer to that."""
        self.alarmed = self.blocked = False


def _tell(connection: "Connection", name: str, **arguments: str) -> None:
    """Clients are told if they announced that they want to know."""
    if connection.knows("connection.blocked"):
        connection.write(frame(METHOD, 0, methods.encode(name, **arguments)))
