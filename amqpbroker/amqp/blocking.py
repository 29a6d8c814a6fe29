"""What makes a connection that publishes wait (rabbit_reader.erl, control_throttle and publish_received)."""

from typing import TYPE_CHECKING

from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame

if TYPE_CHECKING:
    from amqpbroker.amqp.connection import Connection


class Blocking:
    """A connection that publishes while an alarm is on is blocked until none is.

    One that publishes more than the disk takes is held until the disk has caught up, which it is not told (RabbitMQ's
    connection state `flow`). Nothing that comes from it is handled meanwhile; what goes to it goes on. The reason for
    blocking is told once, at the start: it may change without another word.

    alarmed: the next frame with content blocks. blocked: by an alarm. outrunning: by the disk.
    """

    __slots__ = ("alarmed", "blocked", "outrunning")

    def __init__(self) -> None:
        self.alarmed: bool = False
        self.blocked: bool = False
        self.outrunning: bool = False

    @property
    def holds(self) -> bool:
        """No frame is to be handled."""
        return self.blocked or self.outrunning

    def alarms_changed(self, connection: "Connection") -> None:
        """Look at the broker's alarms; the last one to go lets the connection go on."""
        self.alarmed = bool(connection.broker.alarms.resources)
        if self.alarmed and self.outrunning and not self.blocked:
            self.published(connection)
        elif self.blocked and not self.alarmed:
            self.blocked = False
            self._let_go(connection)
            _tell(connection, "connection.unblocked")
            connection.mark_dirty()

    def published(self, connection: "Connection") -> None:
        """A frame with content came while an alarm is on. What it completes is still published."""
        self._hold(connection)
        self.blocked = True
        _tell(connection, "connection.blocked", reason=connection.broker.alarms.reason)

    def outran(self, connection: "Connection") -> None:
        """It has published, and too much waits for the disk."""
        self._hold(connection)
        self.outrunning = True
        connection.broker.awaiting_sync[connection] = None

    def caught_up(self, connection: "Connection") -> None:
        """The disk has."""
        if self.outrunning:
            self.outrunning = False
            self._let_go(connection)

    def _hold(self, connection: "Connection") -> None:
        if not self.holds:
            connection.heartbeat.pause_monitor()
        connection.stop_reading()

    def _let_go(self, connection: "Connection") -> None:
        if not self.holds:
            connection.heartbeat.resume_monitor()

    def end(self) -> None:
        """The connection closes, and has to hear the answer to that."""
        self.alarmed = self.blocked = self.outrunning = False


def _tell(connection: "Connection", name: str, **arguments: str) -> None:
    """Clients are told if they announced that they want to know."""
    if connection.knows("connection.blocked"):
        connection.write(frame(METHOD, 0, methods.encode(name, **arguments)))
