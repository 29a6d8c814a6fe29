"""A connection: bytes in, bytes out. Creates the objects that handle them, and represents the connection to the broker.

This module does no I/O: `feed` receives bytes from the socket, `collect` returns bytes for it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, final

from amqpbroker import errors
from amqpbroker.amqp import connection_log
from amqpbroker.amqp.blocking import Blocking
from amqpbroker.amqp.channel import Channel
from amqpbroker.amqp.channel_zero import ChannelZero
from amqpbroker.amqp.channels import Channels
from amqpbroker.amqp.client import Client
from amqpbroker.amqp.closing import Closing
from amqpbroker.amqp.connection_info import connection_info
from amqpbroker.amqp.dispatch import Dispatch
from amqpbroker.amqp.frame_loop import FrameLoop
from amqpbroker.amqp.handover import OnElsewhere, Recording
from amqpbroker.amqp.handshake import Handshake
from amqpbroker.amqp.heartbeat import Heartbeat
from amqpbroker.amqp.output import Output, Part
from amqpbroker.amqp.peer import Peer
from amqpbroker.amqp.registration import Registration
from amqpbroker.amqp.state import CLOSED, Status
from amqpbroker.broker.infos import ChannelInfo, ConnectionInfo, ConsumerInfo
from amqpbroker.broker.session import Session
from amqpbroker.errors import AmqpError

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.queues.entry import Entry
    from amqpbroker.broker.queues.queue import Queue
    from amqpbroker.broker.users.users import User
    from amqpbroker.broker.vhost import Vhost


@final
class Connection(Session):
    """One client's connection.

    Each part owns its fields. A part knows the parts created before it, but not the connection. Only the registration
    refers to the connection, until the connection has left the broker.
    """

    def __init__(
        self,
        broker: "Broker",
        peer: Peer,
        on_dirty: Callable[[], None],
        on_elsewhere: OnElsewhere | None = None,
    ) -> None:
        """on_dirty: schedules a call of `collect` at the end of the event loop iteration.

        on_elsewhere: hands the connection over, with `hand_over`, if another broker leads its vhost.
        """
        super().__init__()
        config = broker.config
        self.broker = broker
        self.status = Status()
        self.client = Client(peer, config, broker.clock.wall_ms(), broker.storage)
        self.output = Output(self.status, on_dirty, config.bounds)
        self.heartbeat = Heartbeat(broker.clock, self.output)
        self.blocking = Blocking(broker.alarms, self.status, self.client, self.output, self.heartbeat)
        self._channels = Channels(broker, self.client, self.output, self.heartbeat)
        registration = Registration(broker, self.client, self)
        self.closer = Closing(
            broker.clock, self.status, self.client, self.output, self.heartbeat, self._channels, registration
        )
        if not broker.shares_vhosts:
            on_elsewhere = None
        recording = None if on_elsewhere is None else Recording()
        handshake = Handshake(
            broker,
            self.status,
            self.client,
            self.output,
            self.heartbeat,
            self.blocking,
            registration,
            self.closer,
            recording,
            on_elsewhere,
        )
        channel_zero = ChannelZero(self.status, self.client, self.output, self.closer, handshake, recording)
        dispatch = Dispatch(
            broker,
            self.status,
            self.client,
            self._channels,
            self.blocking,
            registration,
            self.closer,
            channel_zero,
        )
        self.frame_loop = FrameLoop(
            broker.clock,
            broker.slices,
            self.status,
            self.client,
            self.output,
            self.heartbeat,
            self._channels,
            self.closer,
            channel_zero,
            dispatch,
        )
        self._unwritten_bytes: int = config.bounds.unwritten_bytes
        self.closer.await_handshake(config.handshake_timeout_ms)

    # --- input
    # ----------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Handle bytes from the client. Never raises: an error closes the channel or the connection."""
        status = self.status
        if status.state.deaf:
            return
        store = self.client.storage.store
        before = store.waiting_bytes
        self.frame_loop.feed(data)
        waiting = store.waiting_bytes
        if waiting > self._unwritten_bytes and waiting > before and status.state.open:
            self.blocking.outran()
            self.client.storage.await_sync(self)

    @property
    def reading(self) -> bool:
        """Return whether the socket should be read now."""
        return self.status.reading

    @property
    def wanted(self) -> int:
        """Number of bytes missing of a large body, up to the next frame's payload; 0 if no large body is arriving."""
        return self.frame_loop.wanted

    @property
    def published(self) -> int:
        """Number of messages received."""
        return self.frame_loop.published

    def take_unhandled(self) -> tuple[bytes, int]:
        """Remove and return the bytes that are not handled yet, which are to be fed again.

        Also return the number of bytes, of these and those that follow, that belong to a partly handled frame.
        """
        return self.frame_loop.take_unhandled()

    def hand_over(self) -> bytes:
        """End the connection, but not its socket, which belongs to another protocol handler from now on.

        Return the client's bytes after connection.open.
        """
        rest, _ = self.frame_loop.take_unhandled()
        self.closer.lose(connection_log.HANDED_OVER)
        self.frame_loop.discard()
        return rest

    # --- output
    # ---------------------------------------------------------------------------------------------------------

    @property
    def closing(self) -> bool:
        """Return whether to close the socket once the output of `collect` is written."""
        return self.status.state is CLOSED

    @property
    def abandoned(self) -> bool:
        """Return whether to drop the socket at once, with its unsent output, because the client has gone silent."""
        return self.closer.abandoned

    def collect(self) -> Sequence[Part]:
        """End an event loop iteration: return all output to be written now, in parts."""
        output, loop = self.output, self.frame_loop
        if not output.writable and not self.closing:
            output.postpone()
            if not self.status.state.held and not output.is_flooded():
                loop.read_on()
            return []
        if output.awaiting_sync:
            output.write_synced()
            if output.awaiting_sync:
                self.client.storage.await_sync(self)
        parts = output.take()
        if not self.status.state.held:
            loop.read_on()
        if len(output.waiting):
            output.serve_waiting()
        return parts

    def set_writable(self, writable: bool) -> None:
        """Record whether the socket accepts output; see `Output.set_writable`."""
        self.output.set_writable(writable)

    # --- calls from the broker
    # ------------------------------------------------------------------------------------------

    def synced(self) -> None:
        self.blocking.caught_up()
        self.output.mark_dirty()

    def alarms_changed(self) -> None:
        # While an alarm is on, messages are handled frame by frame, so that repeated publishes need no check for
        # alarms.
        self.frame_loop.forget_repeats()
        self._channels.forget_repeats()
        self.blocking.alarms_changed()

    def force_close(self, error: AmqpError) -> None:
        self.closer.force(error)

    def renew_lock(self, channel: int, tag: int, timeout_ms: int | None) -> bool:
        found = self.channels.get(channel)
        return found is not None and found.renewal.renew(tag, timeout_ms)

    def held(self, queue: "Queue") -> "list[Entry]":
        channels = self.channels.values()
        return [entry for channel in channels for entry in channel.unacked.held() if entry.queue is queue]

    def find_held(self, queue: "Queue", sequence: int) -> "Entry | None":
        for channel in self.channels.values():
            for entry in channel.unacked.held():
                if entry.sequence == sequence and entry.queue is queue:
                    return entry
        return None

    def stop_deliveries(self) -> None:
        """Deliver nothing more in this event loop iteration, because all connections are going to be closed in it."""
        self.output.stop_deliveries()

    def shutdown(self) -> None:
        """Close for the broker's shutdown: with connection.close 320 if the connection is open, else without."""
        self.closer.force(errors.shutdown())

    def lost(self) -> None:
        """End the connection: the socket is lost."""
        self.closer.lose()
        self.frame_loop.discard()

    # --- descriptions for others
    # ----------------------------------------------------------------------------------------

    @property
    def user(self) -> "User":
        return self.client.user

    @property
    def vhost(self) -> "Vhost":
        return self.client.vhost

    @property
    def peer(self) -> Peer:
        """The two ends of the socket."""
        return self.client.peer

    @property
    def name(self) -> str:
        return self.client.name

    @property
    def channels(self) -> dict[int, Channel]:
        """The open channels by number."""
        return self._channels.by_number

    def counters(self) -> tuple[int, ...]:
        loop, output = self.frame_loop, self.output
        return loop.recv_oct, output.send_oct, loop.recv_cnt, output.send_cnt

    def info(self) -> ConnectionInfo:
        return connection_info(
            self.status.state,
            self.client,
            len(self.channels),
            self.heartbeat.interval_s,
            self.counters(),
            len(self.output),
        )

    def channel_infos(self) -> list[ChannelInfo]:
        return [channel.info() for _, channel in sorted(self.channels.items())]

    def consumer_infos(self) -> list[ConsumerInfo]:
        return [info for _, channel in sorted(self.channels.items()) for info in channel.consumer_infos()]
