"""Alarms and a slow disk, which make a connection that publishes wait (rabbit_reader.erl, control_throttle)."""

from amqpbroker.amqp.client import Client
from amqpbroker.amqp.heartbeat import Heartbeat
from amqpbroker.amqp.output import Output
from amqpbroker.amqp.state import Status, open_state
from amqpbroker.broker.alarms import Alarms
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame


class Blocking:
    """A connection that publishes while an alarm is on is blocked until none is.

    One that publishes more than the disk takes is held until the disk has caught up, which it is not told (RabbitMQ's
    connection state `flow`). Nothing that comes from it is handled meanwhile; what goes to it goes on. The reason for
    blocking is told once, at the start: it may change without another word.

    The states tell which of these it is. State.alarmed: the next frame with content blocks. State.blocked: by an alarm.
    State.outrun: by the disk.
    """

    __slots__ = ("_alarms", "_client", "_heartbeat", "_output", "_status")

    def __init__(self, alarms: Alarms, status: Status, client: Client, output: Output, heartbeat: Heartbeat) -> None:
        self._alarms = alarms
        self._status = status
        self._client = client
        self._output = output
        self._heartbeat = heartbeat

    def alarms_changed(self) -> None:
        """Look at the broker's alarms; the last one to go lets the connection go on."""
        state = self._status.state
        if not state.open:
            return
        alarmed = bool(self._alarms.resources)
        if alarmed and state.outrun and not state.blocked:
            self.published()
        elif alarmed or not state.blocked:
            self._enter(alarmed, state.blocked, state.outrun)
        else:
            self._enter(False, False, state.outrun)
            self._notify("connection.unblocked")
            self._output.mark_dirty()

    def published(self) -> None:
        """A frame with content came while an alarm is on. What it completes is still published."""
        self._enter(True, True, self._status.state.outrun)
        self._notify("connection.blocked", reason=self._alarms.reason)

    def outran(self) -> None:
        """It has published, and too much waits for the disk."""
        state = self._status.state
        self._enter(state.alarmed, state.blocked, True)

    def caught_up(self) -> None:
        """The disk has."""
        state = self._status.state
        if state.outrun:
            self._enter(state.alarmed, state.blocked, False)

    def _enter(self, alarmed: bool, blocked: bool, outrun: bool) -> None:
        was_held = self._status.state.held
        if not self._status.state.open or not self._status.enter(open_state(alarmed, blocked, outrun)):
            return
        if not self._status.state.held:
            if was_held:
                self._heartbeat.resume_monitor()
            return
        if not was_held:
            self._heartbeat.pause_monitor()
        self._status.pause()

    def _notify(self, name: str, **arguments: str) -> None:
        """Clients are told if they announced that they want to know."""
        if self._client.knows("connection.blocked"):
            self._output.write(frame(METHOD, 0, methods.encode(name, **arguments)))
