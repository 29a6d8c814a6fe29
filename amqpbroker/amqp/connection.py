"""A connection: bytes in, bytes out. The frame loop, the output, and what stays native for both.

Nothing here does I/O: `feed` takes what came from the socket, `collect` gives what goes to it.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from amqpbroker import errors
from amqpbroker.amqp import connection_log
from amqpbroker.amqp.blocking import Blocking
from amqpbroker.amqp.body_stream import STREAMED, BodyStream
from amqpbroker.amqp.channel import Channel
from amqpbroker.amqp.channel_zero import ChannelZero
from amqpbroker.amqp.connection_info import connection_info
from amqpbroker.amqp.content import Content, undecodable
from amqpbroker.amqp.dispatch import take_method, take_other, unusable
from amqpbroker.amqp.ending import Ending
from amqpbroker.amqp.gate import Gate
from amqpbroker.amqp.heartbeat import Heartbeat
from amqpbroker.amqp.output import Output, Part
from amqpbroker.amqp.peer import Peer
from amqpbroker.amqp.repeat import Repeat
from amqpbroker.amqp.round_robin import Line, feed
from amqpbroker.amqp.steps import log_failure
from amqpbroker.broker.infos import ChannelInfo, ConnectionInfo, ConsumerInfo
from amqpbroker.broker.session import Session
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message
from amqpbroker.octets import read_i32_be, read_i64_be
from amqpbroker.wire.frames import BASIC_CLASS, BODY, HEADER, METHOD, OVERHEAD
from amqpbroker.wire.values import MalformedError, Table

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker
    from amqpbroker.broker.users.permissions import Permissions
    from amqpbroker.broker.users.users import User
    from amqpbroker.broker.vhost import Vhost

#: Octets of deliveries that one turn may put into a connection's output before its consumers have to wait.
ROOM: Final = 512 * 1024
#: By how many octets a payload may be too large: some clients forget the 8 that surround it (rabbit_reader.erl).
TOLERANCE: Final = 8
#: What it takes to keep an answer, besides its own octets: most are short.
KEEPING: Final = 48
#: Maximum time in one event loop iteration for methods other than publishes and acknowledgements. A client that sends
#: many declarations at once must not delay other clients.
SLICE_MS: Final = 5
#: A frame with basic.ack.
ACK_OCTETS: Final = 21

#: Octets of a frame with basic.publish whose exchange and routing key are empty.
_SHORTEST_PUBLISH: Final = 17
#: No properties.
_NONE: Final = b"\0\0"

_PUBLISH: Final = 60 << 16 | 40
_ACK: Final = 60 << 16 | 80


class Connection(Session):
    """One client's connection.

    closing: write what `collect` gives, then close the socket. reading: whether the socket should be read at present.
    out: what is not yet collected. room: octets of deliveries that may still be added this turn. line: consumers that
    found no room. dirty: `on_dirty` was called and `collect` was not yet. recv_cnt, send_cnt: how often anything came
    or went, recv_oct, send_oct: how many octets of it. published: number of messages that came.

    greeted: the protocol header came. running: it is open, and not being closed. deaf: nothing that comes is handled
    any more. stopped: no further frame is, for now. blamed: ids of the method that errors are blamed on; 0 for none.
    repeat: what the next publish is likely to be. user, vhost, permissions: not there before the handshake knows them.
    """

    def __init__(self, broker: "Broker", peer: Peer, on_dirty: Callable[["Connection"], None]) -> None:
        super().__init__()
        self.broker = broker
        self.peer = peer
        self.clock = broker.clock
        self.closing: bool = False
        self.reading: bool = True
        self.greeted: bool = False
        self.running: bool = False
        self.deaf: bool = False
        self.stopped: bool = False
        self.blamed: int = 0
        self.repeat: Repeat | None = None
        self.out = Output()
        self.room: int = ROOM
        self.line = Line()
        self.dirty: bool = False
        self.connected_at: int = broker.clock.wall_ms()
        self.serial: int = next(connection_log.numbers)
        self.recv_oct: int = 0
        self.recv_cnt: int = 0
        self.published: int = 0
        self.send_oct: int = 0
        self.send_cnt: int = 0
        self.awaiting_sync: list[Channel] = []
        self.channels: dict[int, Channel] = {}
        self.user: User
        self.vhost: Vhost
        self.permissions: Permissions
        self.client_properties: Table = {}
        self.capabilities: frozenset[str] = frozenset()
        self.mechanism: str = ""
        self.frame_max: int = broker.config.frame_max
        self.channel_max: int = broker.config.channel_max
        self.heartbeat = Heartbeat()
        self.blocking = Blocking()
        self.gate = Gate()
        self.channel_zero = ChannelZero()
        self.ending = Ending()
        self._on_dirty = on_dirty
        self._writable: bool = True
        self._payload_max: int = broker.config.initial_frame_max - 8 + TOLERANCE
        self._body_max: int = 0
        self._unread_bytes: int = broker.config.bounds.unread_bytes
        self._unwritten_bytes: int = broker.config.bounds.unwritten_bytes
        self._waiting: list[bytes] = []
        self._waiting_size: int = 0
        self._waiting_for: int = 8
        self._stream: BodyStream | None = None
        self._began_ms: int = 0
        self._paused: bool = False
        self.ending.await_handshake(self)

    # --- in ---------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take what came from the peer. Never raises: what is wrong becomes a close."""
        if self.deaf:
            return
        self._began_ms = self.clock.now_ms()
        self.heartbeat.heard = True
        self.recv_oct += len(data)
        self.recv_cnt += 1
        store = self.broker.store
        before = store.waiting_bytes
        self._take(data)
        waiting = store.waiting_bytes
        if waiting > self._unwritten_bytes and waiting > before and not self.deaf:
            self.blocking.outran(self)

    def _take(self, data: bytes) -> None:
        """Handle what came, together with what was left of what came before."""
        if self._waiting or self.stopped:
            self._waiting.append(data)
            self._waiting_size += len(data)
            if self.stopped or self._waiting_size < self._waiting_for:
                return
            data = b"".join(self._waiting)
            self._waiting = []
            self._waiting_size = 0
        try:
            left = self._frames(data, self._streamed(data, 0)) if self.greeted else self._greet(data)
        except Exception:
            log_failure("on connection", self.peer.name)
            self.fail(errors.unforeseen(), 0, 0)
            return
        if left < len(data) and not self.deaf:
            rest = data[left:] if left else data
            self._waiting = [rest]
            self._waiting_size = len(rest)
            if not self.greeted:
                self._waiting_for = 8
            else:
                self._waiting_for = 7 if len(rest) < 7 else 8 + int.from_bytes(rest[3:7], "big")

    def _greet(self, data: bytes) -> int:
        """Handle the protocol header, and what follows it; returns what `_frames` does."""
        start = self.channel_zero.greet(self, data)
        return self._frames(data, start) if self.greeted else start

    def _frames(self, data: bytes, pos: int) -> int:
        """Handle every complete frame; return the start of the first incomplete frame.

        Handling stops when answers pile up, since a short request may have a long answer, when the connection is
        blocked, and when methods take long; `collect` continues from that position.
        """
        end_of_data: i64 = len(data)
        end: i64
        at: i64 = pos
        while at + 7 <= end_of_data:
            head = read_i64_be(data, at) if at + 8 <= end_of_data else read_i64_be(data[at:] + b"\0", 0)
            repeat = self.repeat
            if repeat is not None and head == repeat.first:
                end = self._repeats(repeat, data, at, end_of_data)
                if end > at:
                    at = end
                    continue
            kind = head >> 56 & 0xFF
            number = head >> 40 & 0xFFFF
            size = head >> 8 & 0xFFFFFFFF
            end = at + 8 + size
            if size > self._payload_max:
                reason = f"{{frame_too_large,{size},{self._payload_max - TOLERANCE}}}"
                self.ending.tear(self, unusable(self, kind, b"", reason))
                return end_of_data
            if kind == BODY and size >= STREAMED:
                self._stream = BodyStream(number, size)
                at = self._streamed(data, at + 7)
                if self.stopped:
                    return end_of_data if self.deaf else at
                continue
            if end > end_of_data:
                return at
            if data[end - 1] != 0xCE:
                reason = f"{{invalid_frame_end_marker,{data[end - 1]}}}"
                self.ending.tear(self, unusable(self, kind, data[at + 7 : end - 1], reason))
                return end_of_data
            channel = self.channels.get(number)
            try:
                if kind == METHOD and channel is not None and channel.content is None and size >= 4:
                    ids: int = read_i32_be(data, at + 7)
                    self.blamed = ids
                    if ids == _PUBLISH:
                        end = self._publish(channel, data, at, end, end_of_data)
                    elif ids == _ACK and size == 13:
                        end = self._acks(channel, data, at, end_of_data)
                    else:
                        ids &= 0xFFFFFFFF
                        self.blamed = ids
                        take_method(self, channel, ids, data[at + 7 : end - 1])
                        self._pause_if_long()
                elif channel is not None and channel.content is not None and kind != METHOD and self.running:
                    self._take_content(channel, channel.content, kind, data, at, end)
                else:
                    take_other(self, kind, number, channel, data[at + 7 : end - 1])
                    if channel is None:
                        self._pause_if_long()
            except AmqpError as error:
                self.fail(error, number, self.blamed)
            except MalformedError as error:
                self.fail(errors.syntax_error(str(error)), number, self.blamed)
            if self.stopped:
                return end_of_data if self.deaf else end
            at = end
        return at

    def _pause_if_long(self) -> None:
        """Serve other clients, and continue in the next event loop iteration, if this one has lasted `SLICE_MS`."""
        if self.clock.now_ms() - self._began_ms >= SLICE_MS:
            self._paused = True
            self.stop_reading()
            self.mark_dirty()

    def _streamed(self, data: bytes, start: int) -> int:
        """What of `data`, from there on, belongs to a body frame that comes in pieces; returns where the next is."""
        stream = self._stream
        if stream is None:
            return start
        channel = self.channels.get(stream.channel)
        pending = None if channel is None else channel.content
        if pending is not None and pending.too_large:
            end = stream.skip(data, start)
        else:
            rest = len(data) - start
            may_keep = pending is not None and pending.may_keep(data, min(stream.left, rest), min(self.wanted, rest))
            end = stream.take(data, start, may_keep)
        if end == len(data):
            return end
        self._stream = None
        if data[end] != 0xCE:
            reason = f"{{invalid_frame_end_marker,{data[end]}}}"
            self.ending.tear(self, unusable(self, BODY, stream.pieces.join(), reason))
            return len(data)
        try:
            if channel is not None and pending is not None and pending.properties is not None:
                self.blamed = _PUBLISH
                self._took(channel, pending, pending.take_body(stream.pieces, stream.size))
            else:
                take_other(self, BODY, stream.channel, channel, stream.pieces.join())
        except AmqpError as error:
            self.fail(error, stream.channel, self.blamed)
        except MalformedError as error:
            self.fail(errors.syntax_error(str(error)), stream.channel, self.blamed)
        return len(data) if self.deaf else end + 1

    @property
    def wanted(self) -> int:
        """How many octets are missing of a large body, up to the next frame's payload; 0 if none is on its way."""
        stream = self._stream
        if stream is None:
            return 0
        channel = self.channels.get(stream.channel)
        pending = None if channel is None else channel.content
        # That it is longer than this frame does not make the frame shorter.
        return max(stream.left, 0 if pending is None else pending.left - stream.size + stream.left) + OVERHEAD

    def hand_back(self) -> tuple[bytes, int]:
        """Octets that came and are not handled yet, which are to be fed again; and how many of these, or of what comes
        next, belong to a frame that is handled in part."""
        data = b"".join(self._waiting)
        self._waiting = []
        self._waiting_size = 0
        self.recv_oct -= len(data)
        stream = self._stream
        return data, 0 if stream is None else stream.left + 1

    def _acks(self, channel: Channel, data: bytes, at: i64, end_of_data: i64) -> i64:
        """basic.ack, and those that follow on the same channel, since they come in runs; returns the end of the last.

        What is wrong closes the channel, which ends the run.
        """
        head, ids = read_i64_be(data, at), read_i32_be(data, at + 7)
        try:
            while True:
                tag: int = read_i64_be(data, at + 11)
                multiple = data[at + 19] & 1 == 1
                at += ACK_OCTETS
                channel.ack(tag if tag >= 0 else tag + (1 << 64), multiple)
                if (
                    at + ACK_OCTETS > end_of_data
                    or read_i64_be(data, at) != head
                    or read_i32_be(data, at + 7) != ids
                    or data[at + ACK_OCTETS - 1] != 0xCE
                ):
                    return at
        except AmqpError as error:
            self.fail(error, channel.number, _ACK)
            return at

    def _repeats(self, repeat: Repeat, data: bytes, pos: i64, end_of_data: i64) -> i64:
        """A run of publishes, of which the first may be like those before; returns the end of what was handled."""
        start = pos
        prefix, channel = repeat.prefix, repeat.channel
        total, content = repeat.total, repeat.content
        length: i64 = len(prefix)
        end = pos + total
        while (
            end <= end_of_data
            and read_i64_be(data, pos) == repeat.first
            and read_i64_be(data, pos + content - 8) == repeat.last
            and data[pos : pos + length] == prefix
            and data[end - 1] == 0xCE
            and channel.republish(repeat, data[pos + content : end])
        ):
            pos = end
            end += total
        count = (pos - start) // total
        repeat.outlet.single += count
        self.published += count
        return pos

    def _publish(self, channel: Channel, data: bytes, pos: i64, end: i64, end_of_data: i64) -> i64:
        """Handle basic.publish; return the end of the handled data. Raises AmqpError 501 for malformed arguments.

        If `data` also has the header and the only body frame, all three frames are taken together, without copying
        them apart.
        """
        repeat = channel.repeat
        if repeat is not None and repeat is not self.repeat:
            stop = self._repeats(repeat, data, pos, end_of_data)
            if stop > pos:
                self.repeat = repeat
                return stop
        bits_at = end - 2
        key: i64 = 0
        if end - pos >= _SHORTEST_PUBLISH:
            key = pos + 14 + i64(data[pos + 13])
        if not key or key >= bits_at or key + 1 + i64(data[key]) != bits_at:
            raise undecodable(data[pos + 11 : end - 1])
        address = data[pos + 13 : bits_at]
        bits = data[bits_at]
        if end + 22 <= end_of_data:
            body_max: i64 = self._body_max
            mark: i64 = channel.number
            mark <<= 32
            size: i64 = read_i64_be(data, end) >> 8 & 0xFFFFFFFF
            body_size: i64 = read_i64_be(data, end + 11)
            body: i64 = end + 8 + size
            stop = body + 8 + body_size if body_size else body
            if (
                read_i64_be(data, end) >> 8 == HEADER << 48 | mark | size
                and read_i32_be(data, end + 7) == BASIC_CLASS << 16
                and 0 <= body_size <= body_max
                and body_max
                and 14 <= size <= self._payload_max
                and stop <= end_of_data
                and data[body - 1] == 0xCE
                and data[stop - 1] == 0xCE
                and (not body_size or read_i64_be(data, body) >> 8 == BODY << 48 | mark | body_size)
            ):
                self.published += 1
                properties = _NONE
                if size > 14 or data[end + 19] or data[end + 20]:
                    properties = data[end + 19 : body - 1]
                try:
                    channel.publish(address, bits, properties, None, body_size, data[end:stop])
                except AmqpError as error:
                    self.fail(error, channel.number, _PUBLISH)
                    return stop
                if channel.again and stop - pos == channel.published and body_size:
                    channel.repeat = self.repeat = channel.repeatable(
                        properties, data[pos : body + 7], stop - pos, end - pos, body_size
                    )
                channel.published = stop - pos
                return stop
        channel.content = Content(address, bits)
        self.published += 1
        return end

    def _take_content(self, channel: Channel, pending: Content, kind: int, data: bytes, at: i64, end: i64) -> None:
        """A header or body frame of a message whose frames do not come together. Raises AmqpError."""
        body_max: i64 = self._body_max
        if kind == HEADER and end - at >= 22 and pending.properties is None:
            size: i64 = read_i64_be(data, at + 11)
            if read_i32_be(data, at + 7) == BASIC_CLASS << 16 and 0 < size <= body_max:
                pending.begin(data[at:end], size)
                return
        elif (
            # With a header that `begin` accepted, the size fits into 64 bits.
            kind == BODY
            and pending.header
            and end - at - OVERHEAD == pending.size
            and pending.left == pending.size
            and body_max
        ):
            # All of the body: the message is the same as if its frames had come one behind the other.
            self.blamed = _PUBLISH
            channel.content = None
            header = pending.header
            frames = header + data[at:end]
            repeat = channel.framed
            if repeat is not None and pending.repeats(repeat) and channel.republish(repeat, frames):
                repeat.outlet.single += 1
                return
            properties = pending.properties or _NONE
            channel.publish(pending.address, pending.bits, properties, None, pending.size, frames)
            if channel.again and len(frames) == channel.published:
                channel.framed = channel.repeatable(properties, header, len(frames), len(header), pending.size)
            channel.published = len(frames)
            return
        take_other(self, kind, channel.number, channel, data[at + 7 : end - 1])

    def take_content(self, kind: int, channel: Channel, payload: bytes) -> None:
        """A header or body frame, or a method where one of these is due, on an open channel. Raises AmqpError."""
        pending = channel.content
        if pending is None:
            raise errors.unexpected_frame("expected method frame, got non method frame instead")
        self.blamed = _PUBLISH
        self._took(channel, pending, pending.take(kind, payload, self.broker.config.max_message_size))

    def _took(self, channel: Channel, pending: Content, complete: bool) -> None:
        if self.blocking.alarmed:
            self.blocking.published(self)
        if complete:
            channel.content = None
            if pending.too_large:
                channel.refuse(pending.bits, pending.size)
            channel.publish(pending.address, pending.bits, pending.properties or b"", pending.pieces(), 0, None)

    # --- what is agreed on, and what changes ------------------------------------------------------------------------

    def tuned(self, channel_max: int, frame_max: int, heartbeat_s: int) -> None:
        """connection.tune-ok has settled the limits."""
        self.channel_max = channel_max
        self.frame_max = frame_max
        self._payload_max = (frame_max or 1 << 31) - 8 + TOLERANCE
        self.heartbeat.start(self, heartbeat_s)

    def alarms_changed(self) -> None:
        # While an alarm is on, messages are taken frame by frame, so that it costs nothing to ask for one otherwise.
        self.repeat = None
        for channel in self.channels.values():
            channel.repeat = channel.framed = None
        self._body_max = min(self._payload_max, self.broker.config.max_message_size)
        if self.broker.alarms.resources:
            self._body_max = 0
        self.blocking.alarms_changed(self)

    def knows(self, capability: str) -> bool:
        """Whether the client announced the capability in its client-properties."""
        return capability in self.capabilities

    # --- errors and ends --------------------------------------------------------------------------------------------

    def fail(self, error: AmqpError, number: int, ids: int) -> None:
        """Close the channel or the connection, depending on the error's scope, and report the method with these ids.

        Never raises, like every method of this class that closes the connection.
        """
        self.ending.fail(self, error, number, ids)

    def force_close(self, error: AmqpError) -> None:
        self.ending.force(self, error)

    def shutdown(self) -> None:
        """The broker stops: say goodbye with connection.close 320, or just close what is not open yet."""
        self.ending.force(self, errors.shutdown())

    def lost(self, cause: connection_log.Cause | None = None) -> None:
        """The socket is gone, or is to be given up because of `cause`."""
        self.ending.finish(self, cause)
        self.out = Output()

    # --- out --------------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Add frames that are not deliveries to the output."""
        self.out.add(data)
        self._wrote(len(data))

    def _wrote(self, size: int) -> None:
        self.room -= size + KEEPING
        if self.is_flooded():
            self.stop_reading()
        if not self.dirty:
            self.mark_dirty()

    def write_content(self, head: bytes, message: Message, channel: int) -> None:
        """`write` for a method frame with content."""
        out = self.out
        size = len(out)
        out.add(head)
        out.add_content(message, channel, self.frame_max)
        self._wrote(len(out) - size)

    def stop_reading(self) -> None:
        """Handle no further frame, until `collect` finds that nothing stands in the way."""
        self.reading = False
        self.stopped = True

    def mark_dirty(self) -> None:
        if not self.dirty:
            self.dirty = True
            self._on_dirty(self)

    def collect(self) -> Sequence[Part]:
        """The end of a turn: everything that is to be written now, in parts."""
        if not self._writable:
            self.dirty = False
            if self._paused and not self.blocking.holds and not self.is_flooded():
                self._go_on()
            return []
        if self.awaiting_sync:
            self.write_synced()
        self.dirty = False
        size = len(self.out)
        parts = self.out.take()
        self.room = ROOM
        if parts:
            self.send_oct += size
            self.send_cnt += 1
        if not self.blocking.holds:
            self._go_on()
        if len(self.line):
            feed(self)
        return parts

    def _go_on(self) -> None:
        """Read again, beginning with what is still here."""
        self.reading = True
        self._paused = False
        if self.stopped and not self.deaf:
            self._began_ms = self.clock.now_ms()
            self.stopped = False
            self._waiting_for = 0
            self._take(b"")

    def write_synced(self) -> None:
        """Write the confirms and answers that the store's progress has made due."""
        waiting = []
        for channel in self.awaiting_sync:
            frames = channel.take_synced()
            if frames:
                self.write(frames)
            if channel.awaiting_sync:
                waiting.append(channel)
        self.awaiting_sync = waiting
        if waiting:
            self.broker.awaiting_sync[self] = None

    def synced(self) -> None:
        self.blocking.caught_up(self)
        self.mark_dirty()

    def is_flooded(self) -> bool:
        """Whether so much output waits that no more should be made on others' account."""
        return self.room < -self._unread_bytes

    def set_writable(self, writable: bool) -> None:
        """Whether the socket takes output; while it does not, deliveries stop when the room is used up."""
        self._writable = writable
        if writable:
            self.mark_dirty()

    # --- what it tells of itself ------------------------------------------------------------------------------------

    def counters(self) -> tuple[int, ...]:
        return self.recv_oct, self.send_oct, self.recv_cnt, self.send_cnt

    @property
    def name(self) -> str:
        return self.peer.name

    def info(self) -> ConnectionInfo:
        return connection_info(self)

    def channel_infos(self) -> list[ChannelInfo]:
        return [channel.info() for _, channel in sorted(self.channels.items())]

    def consumer_infos(self) -> list[ConsumerInfo]:
        return [info for _, channel in sorted(self.channels.items()) for info in channel.consumer_infos()]
