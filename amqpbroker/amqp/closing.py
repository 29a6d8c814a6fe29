"""The end of a connection: errors, connection.close in both directions, deadlines, and the release of its resources."""

import logging
from functools import partial

from amqpbroker import errors
from amqpbroker.amqp import connection_log
from amqpbroker.amqp.channels import Channels
from amqpbroker.amqp.client import Client
from amqpbroker.amqp.connection_log import Cause, Step, log_failure, run_all
from amqpbroker.amqp.heartbeat import Heartbeat
from amqpbroker.amqp.output import Output
from amqpbroker.amqp.registration import Registration
from amqpbroker.amqp.state import (
    CLOSED,
    CLOSED_BY_CLIENT,
    CLOSING,
    CLOSING_TIMEOUT,
    CLOSING_TIMEOUT_MS,
    CONNECTED,
    LINGERING,
    NEVER,
    REFUSED,
    RUNNING,
    State,
    Status,
)
from amqpbroker.broker.events.tap import Via
from amqpbroker.clock import Clock, Timer
from amqpbroker.errors import INTERNAL_ERROR, AmqpError
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame


class Closing:
    """Moves a connection from its opening through its last states; the table in state.py defines them.

    `fail` closes it because of an error, `force` for the broker, `agree` for the client; `finish` closes the socket.
    `_enter` derives each transition from the two states: it sets the only deadline, registers the connection, releases
    what it holds in the broker, and ends its registration.
    """

    def __init__(
        self,
        clock: Clock,
        status: Status,
        client: Client,
        output: Output,
        heartbeat: Heartbeat,
        channels: Channels,
        registration: Registration,
    ) -> None:
        self._clock = clock
        self._status = status
        self._client = client
        self._output = output
        self._heartbeat = heartbeat
        self._channels = channels
        self._registration = registration
        #: The reason for the log, if it is known.
        self._cause: Cause = connection_log.CLIENT_GONE
        self._deadline: Timer | None = None
        #: The socket is to be dropped with its unsent output.
        self.abandoned: bool = False

    # --- deadlines --------------------------------------------------------------------------------------------------

    def await_handshake(self, timeout_ms: int) -> None:
        """Close the connection if it is not open after `timeout_ms`."""
        self._set_deadline(timeout_ms, connection_log.TIMED_OUT)

    def _set_deadline(self, delay_ms: int, cause: Cause | None) -> None:
        self._deadline = self._clock.after(delay_ms, partial(self.finish, cause))

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    # --- transitions ------------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The connection is open; remove the deadline of the handshake."""
        self._enter(RUNNING)

    def _enter(self, state: State) -> bool:
        """Enter the state and apply its consequences.

        Return False, and do nothing, if it may not follow the current one.
        """
        left = self._status.state
        if not self._status.enter(state):
            return False
        # First, because an exception in the steps below leads to another transition, which does not register it again.
        run_all(self._ending(left, state), self._client.name)
        self._cancel_deadline()
        if state.ends_after_ms != NEVER:
            self._set_deadline(self._ends_after_ms(state), None)
        if state.open:
            self._registration.enter()
        else:
            self._heartbeat.stop_monitor()
        return True

    def _ends_after_ms(self, state: State) -> int:
        """Return the time until the deadline of the state."""
        if state.ends_after_ms != CLOSING_TIMEOUT:
            return state.ends_after_ms
        return min(self._heartbeat.interval_s * 1000 or CLOSING_TIMEOUT_MS, CLOSING_TIMEOUT_MS)

    def _ending(self, left: State, state: State) -> list[Step]:
        """Return the steps of a transition that release something."""
        steps: list[Step] = []
        if state is CLOSED:
            steps.append(partial(self._log, left))
        if left.open:
            steps += [*self._channels.release(), *self._registration.release()]
        if not state.counted:
            steps.append(self._registration.leave)
        return steps

    # --- closing with a notice to the client
    # ----------------------------------------------------------------------------

    def fail(self, error: AmqpError, number: int, ids: int) -> None:
        """Close the channel or the connection, depending on the error's scope. ids: the method that the error reports.

        Never raises: an exception while closing closes the connection with 541, a second one without a close frame.
        """
        state, internal = self._status.state, error.code == INTERNAL_ERROR
        if internal and not state.sends_close and not state.private:
            self.finish()
            return
        try:
            self._fail(error, number, ids)
        except Exception:
            log_failure("while closing", self._client.name)
            if internal:
                self.finish()
            else:
                self.fail(errors.unforeseen(), 0, 0)

    def _fail(self, error: AmqpError, number: int, ids: int) -> None:
        """Send the close frame.

        Before login, close the socket after a delay and without one (rabbit_reader:handle_exception).
        """
        state, client = self._status.state, self._client
        if state.private:
            connection_log.handshake_failed(client, state.phase, error.explanation)
            self._linger()
            return
        if state.open:
            for tap in client.vhost.taps:
                tap.refused(client.vhost, error, Via(client.name, number, client.user.name))
        channel = self._channels.by_number.get(number)
        if error.scope == "channel" and channel is not None:
            connection_log.channel_failed(client, number, ids, error)
            self._channels.close_and_shut(channel)
            self._output.write(_close("channel.close", number, error, ids))
        elif state.sends_close:
            if state.open:
                connection_log.connection_failed(client, number, ids, error)
            else:
                connection_log.handshake_failed(client, state.phase, error.explanation)
            self._cause = connection_log.IN_ORDER
            self._output.write_synced()
            self._enter(CLOSING)
            self._output.write(_close("connection.close", 0, error, ids))

    def tear(self, error: AmqpError) -> None:
        """Send connection.close and stop reading, since frame boundaries are lost.

        The socket closes after a delay, in which the client can read the error.
        """
        self.fail(error, 0, 0)
        self._cause = connection_log.TORN_FRAMES
        self._linger()

    def force(self, error: AmqpError) -> None:
        """Close the connection for the broker, without a close frame if it is not open."""
        if self._status.state.open:
            self.fail(error, 0, 0)
        else:
            self.finish(connection_log.IN_ORDER)

    def agree(self) -> None:
        """Answer the client's connection.close. The deadline of a connection that is closing already stays."""
        if self._enter(CLOSED_BY_CLIENT):
            self._expect_end()
        self._output.write(frame(METHOD, 0, methods.encode("connection.close-ok")))

    def refuse(self, error: AmqpError) -> None:
        """Close the connection after a failed login: on close-ok, or after a delay.

        Only clients that announced authentication_failure_close are notified of a failed login.
        """
        if self._client.knows("authentication_failure_close"):
            self._output.write(_close("connection.close", 0, error, 0))
            self._cause = connection_log.IN_ORDER
            self._enter(REFUSED)
        else:
            self._linger()

    def _linger(self) -> None:
        """Discard input, and close the socket after a delay if the client does not close it first."""
        if self._enter(LINGERING):
            self._expect_end()

    def _expect_end(self) -> None:
        if self._cause is connection_log.CLIENT_GONE:
            self._cause = connection_log.IN_ORDER

    # --- closing the socket
    # ---------------------------------------------------------------------------------------------

    def finish(self, cause: Cause | None = None) -> None:
        """Stop reading, and close the socket once the output is written. Never raises."""
        if cause is not None:
            self._cause = cause
        if self._enter(CLOSED):
            run_all([self._heartbeat.stop, self._output.mark_dirty], self._client.name)

    def lose(self, cause: Cause | None = None) -> None:
        """End the connection: the socket is lost, or is to be abandoned because of `cause`."""
        self.finish(cause)
        self._output.discard()

    def miss_heartbeats(self, interval_s: int) -> None:
        """End the connection: the client has sent nothing for too long."""
        self.abandoned = True
        self.lose(connection_log.missed_heartbeats(interval_s))

    def _log(self, left: State) -> None:
        """Log the end. If the client never sent anything, as a health check does, the level is debug."""
        if self._cause is connection_log.CLIENT_GONE and left is CONNECTED:
            self._cause = connection_log.NOTHING_CAME
        if left is CONNECTED:
            connection_log.accepting(self._client, min(self._cause.level, logging.INFO))
        connection_log.closing(self._client, self._cause, self._clock.wall_ms())


def _close(name: str, channel: int, error: AmqpError, ids: int) -> bytes:
    """Return a channel.close or connection.close frame."""
    arguments = {
        "reply_code": error.code,
        "reply_text": error.text,
        "class_id": ids >> 16,
        "method_id": ids & 0xFFFF,
    }
    return frame(METHOD, channel, methods.encode(name, **arguments))
