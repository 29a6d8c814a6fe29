"""How a connection ends: what an error closes, connection.close both ways, deadlines, and giving everything back."""

import logging
from functools import partial
from typing import TYPE_CHECKING

from amqpbroker import errors
from amqpbroker.amqp import connection_log
from amqpbroker.amqp.connection_log import Cause
from amqpbroker.amqp.steps import Step, log_failure, take_all
from amqpbroker.broker.events.tap import Via
from amqpbroker.clock import Timer
from amqpbroker.errors import INTERNAL_ERROR, AmqpError
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame

if TYPE_CHECKING:
    from amqpbroker.amqp.connection import Connection

#: How long a peer may take to answer connection.close (CLOSING_TIMEOUT in rabbit_reader.erl).
CLOSING_TIMEOUT_MS = 30_000
#: How long a peer waits for the end after an error that leaves nothing to talk about (rabbit_reader.erl).
SILENT_CLOSE_DELAY_MS = 3_000


class Ending:
    """A connection ends in three steps, of which the first ones may be left out.

    `fail` says so, and waits for the answer. `linger` listens no more, so that the peer has time to read what was said
    and to close first. `finish` closes. The one deadline is that of the step that it is in, or of the handshake.

    close_sent: connection.close was sent. cause: why it ends, for the log, as far as it is known.
    """

    __slots__ = ("_deadline", "_finished", "cause", "close_sent")

    def __init__(self) -> None:
        self.close_sent: bool = False
        self.cause: Cause = connection_log.CLIENT_GONE
        self._finished: bool = False
        self._deadline: Timer | None = None

    # --- deadlines --------------------------------------------------------------------------------------------------

    def await_handshake(self, connection: "Connection") -> None:
        """It is to be open in time."""
        timed_out = partial(self.finish, connection, connection_log.TIMED_OUT)
        self._deadline = connection.clock.after(connection.broker.config.handshake_timeout_ms, timed_out)

    def handshake_done(self) -> None:
        """It is open, for as long as it may be."""
        self._cancel_deadline()

    def _finish_after(self, connection: "Connection", delay_ms: int) -> None:
        self._cancel_deadline()
        self._deadline = connection.clock.after(delay_ms, partial(self.finish, connection))

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    # --- saying so --------------------------------------------------------------------------------------------------

    def fail(self, connection: "Connection", error: AmqpError, number: int, ids: int) -> None:
        """Close the channel or the connection, depending on the error's scope, and report the method with these ids.

        Never raises: an exception while closing closes the connection with 541, a second one without a close frame.
        """
        internal = error.code == INTERNAL_ERROR
        if internal and self.close_sent:
            self.finish(connection)
            return
        try:
            self._fail(connection, error, number, ids)
        except Exception:
            log_failure("while closing", connection.name)
            if internal:
                self.finish(connection)
            else:
                self.fail(connection, errors.unforeseen(), 0, 0)

    def _fail(self, connection: "Connection", error: AmqpError, number: int, ids: int) -> None:
        """Send the close frame. Before login, close the socket later without one (rabbit_reader:handle_exception)."""
        if connection.channel_zero.logging_in:
            connection_log.handshake_failed(connection, "starting", error.explanation)
            self.linger(connection, SILENT_CLOSE_DELAY_MS)
            return
        if connection.running:
            for tap in connection.vhost.taps:
                tap.refused(connection.vhost, error, Via(connection.name, number, connection.user.name))
        channel = connection.channels.get(number)
        if error.scope == "channel" and channel is not None:
            connection_log.channel_failed(connection, number, ids, error)
            connection.gate.close_and_shut(connection, channel)
            connection.write(_close("channel.close", number, error, ids))
        elif not self.close_sent:
            if connection.channel_zero.handshake is not None:
                connection_log.handshake_failed(connection, "opening", error.explanation)
            else:
                connection_log.connection_failed(connection, number, ids, error)
            self.cause = connection_log.IN_ORDER
            connection.write_synced()
            self.close_sent = True
            self._release(connection)
            connection.write(_close("connection.close", 0, error, ids))
            self._finish_after(connection, CLOSING_TIMEOUT_MS)

    def tear(self, connection: "Connection", error: AmqpError) -> None:
        """The frames can no longer be told apart: say so, read no more, and give the peer time to see it."""
        self.fail(connection, error, 0, 0)
        self.cause = connection_log.TORN_FRAMES
        self.linger(connection, SILENT_CLOSE_DELAY_MS)

    def force(self, connection: "Connection", error: AmqpError) -> None:
        """The broker wants it to end: `fail`, or nothing is said where it is not open."""
        if connection.running:
            self.fail(connection, error, 0, 0)
        else:
            self.finish(connection, connection_log.IN_ORDER)

    def agree(self, connection: "Connection") -> None:
        """The client has sent connection.close."""
        self._release(connection)
        connection.write(frame(METHOD, 0, methods.encode("connection.close-ok")))
        self.linger(connection, CLOSING_TIMEOUT_MS)

    def refused(self, connection: "Connection") -> None:
        """Close the connection after a failed login that the client was told of: on close-ok, or after a delay."""
        self.cause = connection_log.IN_ORDER
        self.close_sent = True
        self._finish_after(connection, SILENT_CLOSE_DELAY_MS)

    def linger(self, connection: "Connection", delay_ms: int) -> None:
        """Listen no more, and close after a while, if the peer does not close first."""
        if self.cause is connection_log.CLIENT_GONE:
            self.cause = connection_log.IN_ORDER
        connection.deaf = connection.stopped = True
        connection.heartbeat.stop()
        self._finish_after(connection, delay_ms)

    # --- the end itself ---------------------------------------------------------------------------------------------

    def finish(self, connection: "Connection", cause: Cause | None = None) -> None:
        """Stop reading, and close the socket once the output is written. Never raises."""
        if cause is not None:
            self.cause = cause
        if self._finished:
            return
        self._finished = True
        steps: list[Step] = [
            partial(self._log, connection),
            partial(self._release, connection),
            partial(self._leave, connection),
        ]
        take_all([*steps, self._cancel_deadline, connection.heartbeat.stop], connection.name)
        connection.deaf = connection.stopped = True
        # Whatever leads back here goes, so that the connection is freed without the garbage collector.
        connection.channel_zero.handshake = None
        connection.repeat = None
        connection.closing = True
        take_all([connection.mark_dirty], connection.name)

    def _log(self, connection: "Connection") -> None:
        """Whoever said nothing, such as a health check, is worth a line only to those who want all of them."""
        if self.cause is connection_log.CLIENT_GONE and not connection.recv_cnt:
            self.cause = connection_log.NOTHING_CAME
        if not connection.recv_cnt:
            connection_log.accepting(connection, min(self.cause.level, logging.INFO))
        connection_log.closing(connection, self.cause)

    def _release(self, connection: "Connection") -> None:
        """Release everything that the connection holds in the broker, except its entry in the list. Never raises."""
        broker = connection.broker
        was_running, connection.running = connection.running, False
        channels = list(connection.channels.values())
        connection.channels.clear()
        # What one channel gives back is not for another of this connection.
        connection.room = min(connection.room, 0)
        connection.awaiting_sync.clear()
        steps: list[Step] = [connection.blocking.end, *[channel.stop for channel in channels]]
        steps += [channel.release for channel in channels]
        if was_running:
            steps += [
                partial(broker.limits.channels_closed, connection.user.name, len(channels)),
                partial(self._tell, connection),
                partial(connection.vhost.delete_exclusive_queues, connection),
            ]
        take_all(steps, connection.name)

    def _leave(self, connection: "Connection") -> None:
        """Remove the connection from the broker's list and from the limits. Never raises.

        As in RabbitMQ, a closing connection counts until its socket closes. Otherwise a client that does not answer
        connection.close could open more connections than the limit of its user allows.
        """
        broker = connection.broker
        if connection not in broker.sessions:
            return
        del broker.sessions[connection]
        broker.totals.churn.connection_closed += 1
        vhost = connection.vhost
        steps: list[Step] = [
            partial(broker.limits.connection_closed, vhost.name, connection.user.name),
            partial(vhost.octets.remove, connection),
            partial(broker.totals.octets.remove, connection),
        ]
        take_all(steps, connection.name)

    def _tell(self, connection: "Connection") -> None:
        connection.broker.events.connection_closed(connection)


def _close(name: str, channel: int, error: AmqpError, ids: int) -> bytes:
    """channel.close or connection.close."""
    arguments = {
        "reply_code": error.code,
        "reply_text": error.text,
        "class_id": ids >> 16,
        "method_id": ids & 0xFFFF,
    }
    return frame(METHOD, channel, methods.encode(name, **arguments))
