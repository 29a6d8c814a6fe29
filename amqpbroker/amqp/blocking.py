"""Resource alarms and a slow disk, both of which block publishing connections (rabbit_reader.erl, control_throttle)."""

from amqpbroker.amqp.client import Client
from amqpbroker.amqp.heartbeat import Heartbeat
from amqpbroker.amqp.output import Output
from amqpbroker.amqp.state import Status, open_state
from amqpbroker.broker.alarms import Alarms
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame


class Blocking:
    """Blocks a connection that publishes, by an alarm or because the disk is behind.

    A connection that publishes while an alarm is on is blocked until all alarms are off. A connection that publishes
    more than the disk can write is held until the disk has caught up; the client is not notified of this (RabbitMQ's
    connection state `flow`). While a connection is blocked or held, its frames are not handled; output to it continues.
    The client is told the reason for blocking once, at the start, even if the reason changes later.

    The state shows which of these apply. State.alarmed: the next content frame blocks the connection. State.blocked:
    blocked by an alarm. State.outrun: held until the disk has caught up.
    """

    __slots__ = ("_alarms", "_client", "_heartbeat", "_output", "_status")

    def __init__(self, alarms: Alarms, status: Status, client: Client, output: Output, heartbeat: Heartbeat) -> None:
        self._alarms = alarms
        self._status = status
        self._client = client
        self._output = output
        self._heartbeat = heartbeat

    def alarms_changed(self) -> None:
        """Block or unblock the connection as the broker's alarms have changed."""
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
        """Block the connection: it has sent a content frame while an alarm is on.

        If that completes a message, the message is still published.
        """
        self._enter(True, True, self._status.state.outrun)
        self._notify("connection.blocked", reason=self._alarms.reason)

    def outran(self) -> None:
        """Hold the connection: it has published, and too much data waits for the disk."""
        state = self._status.state
        self._enter(state.alarmed, state.blocked, True)

    def caught_up(self) -> None:
        """Release the connection: the disk has caught up."""
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
        """Send the method if the client announced the capability connection.blocked."""
        if self._client.knows("connection.blocked"):
            self._output.write(frame(METHOD, 0, methods.encode(name, **arguments)))
