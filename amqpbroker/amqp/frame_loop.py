"""The frame loop: divides input into frames, and handles publishes and acknowledgements itself."""

from typing import Final, cast, final

from mypy_extensions import i64

from amqpbroker import errors
from amqpbroker.amqp.body_stream import STREAMED, BodyStream
from amqpbroker.amqp.channel import Channel
from amqpbroker.amqp.channel_zero import ChannelZero
from amqpbroker.amqp.channels import Channels
from amqpbroker.amqp.client import TOLERANCE, Client
from amqpbroker.amqp.closing import Closing
from amqpbroker.amqp.connection_log import log_failure
from amqpbroker.amqp.content import Content, undecodable
from amqpbroker.amqp.decoding import unusable
from amqpbroker.amqp.dispatch import Dispatch
from amqpbroker.amqp.heartbeat import Heartbeat
from amqpbroker.amqp.output import Output
from amqpbroker.amqp.publishing import Publishing
from amqpbroker.amqp.repeated_publish import Repeat
from amqpbroker.amqp.state import HEADER as HEADER_AWAITED
from amqpbroker.amqp.state import Status
from amqpbroker.broker.slices import Slices
from amqpbroker.clock import Clock
from amqpbroker.errors import AmqpError
from amqpbroker.octets import read_i32_be, read_i64_be
from amqpbroker.wire.frames import BASIC_CLASS, BODY, HEADER, METHOD, OVERHEAD
from amqpbroker.wire.values import MalformedError

#: Size in bytes of a frame with basic.ack.
ACK_BYTES: Final = 21

#: Size in bytes of a frame with basic.publish whose exchange and routing key are empty.
_SHORTEST_PUBLISH: Final = 17
#: Empty properties.
_NONE: Final = b"\0\0"

_PUBLISH: Final = 60 << 16 | 40
_ACK: Final = 60 << 16 | 80


@final
class FrameLoop:
    """Handles frames until the connection's status forbids to handle another.

    recv_cnt, recv_oct: number of reads and of bytes received. published: number of messages received.
    """

    def __init__(
        self,
        clock: Clock,
        slices: Slices,
        status: Status,
        client: Client,
        output: Output,
        heartbeat: Heartbeat,
        channels: Channels,
        closing: Closing,
        channel_zero: ChannelZero,
        dispatch: Dispatch,
    ) -> None:
        self.recv_oct: int = 0
        self.recv_cnt: int = 0
        self.published: int = 0
        self._clock = clock
        self._slices = slices
        self._status = status
        self._client = client
        self._output = output
        self._heartbeat = heartbeat
        self._channels: dict[int, Channel] = channels.by_number
        self._closing = closing
        self._channel_zero = channel_zero
        self._dispatch = dispatch
        #: The publish that the next one is expected to repeat, and the publishing part of its channel.
        self._repeat: Repeat | None = None
        self._repeating: Publishing | None = None
        self._waiting: list[bytes] = []
        self._waiting_size: int = 0
        self._waiting_for: int = 8
        self._stream: BodyStream | None = None
        self._began_ms: int = 0

    def feed(self, data: bytes) -> None:
        """Handle bytes from the client. Never raises: an error closes the channel or the connection."""
        self._began_ms = self._clock.now_ms()
        self._heartbeat.hear()
        if self.recv_cnt == 0:
            self._status.enter(HEADER_AWAITED)
        self.recv_oct += len(data)
        self.recv_cnt += 1
        self._handle(data)

    def read_on(self) -> None:
        """Resume reading, and first handle the frames that had to wait."""
        if self._status.read_on():
            self._began_ms = self._clock.now_ms()
            self._waiting_for = 0
            self._handle(b"")

    def forget_repeats(self) -> None:
        """Parse the next publish completely."""
        self._repeat = self._repeating = None

    def discard(self) -> None:
        """Discard unhandled bytes, and all references to the connection, so that it is freed immediately."""
        self.forget_repeats()
        self._waiting = []
        self._waiting_size = 0
        self._stream = None

    def _handle(self, data: bytes) -> None:
        """Handle new input together with the unhandled rest of earlier input."""
        status = self._status
        if self._waiting or status.stopped:
            self._waiting.append(data)
            self._waiting_size += len(data)
            if status.stopped or self._waiting_size < self._waiting_for:
                return
            data = b"".join(self._waiting)
            self._waiting = []
            self._waiting_size = 0
        try:
            if status.state is HEADER_AWAITED:
                left = self._greet(data)
            else:
                left = self._streamed(data, 0)
                if not status.stopped:
                    left = self._frames(data, left)
        except Exception:
            log_failure("on connection", self._client.name)
            self._closing.fail(errors.unforeseen(), 0, 0)
            return
        if left < len(data) and not status.state.deaf:
            rest = data[left:] if left else data
            self._waiting = [rest]
            self._waiting_size = len(rest)
            if status.state is HEADER_AWAITED:
                self._waiting_for = 8
            else:
                self._waiting_for = 7 if len(rest) < 7 else 8 + int.from_bytes(rest[3:7], "big")

    def _greet(self, data: bytes) -> int:
        """Handle the protocol header and the frames after it; return the same as `_frames`."""
        start = self._channel_zero.greet(data)
        return start if self._status.state.deaf or not start else self._frames(data, start)

    def _frames(self, data: bytes, pos: int) -> int:
        """Handle every complete frame; return the start of the first incomplete frame.

        Handling stops if output piles up (a short request may have a long answer), if the connection is blocked, and if
        methods take long. `collect` continues from that position.
        """
        status, client = self._status, self._client
        end_of_data: i64 = len(data)
        end: i64
        at: i64 = pos
        while at + 7 <= end_of_data:
            head = read_i64_be(data, at) if at + 8 <= end_of_data else read_i64_be(data[at:] + b"\0", 0)
            repeat = self._repeat
            if repeat is not None and head == repeat.first:
                end = self._repeats(repeat, cast(Publishing, self._repeating), data, at, end_of_data)
                if end > at:
                    at = end
                    continue
            kind = head >> 56 & 0xFF
            number = head >> 40 & 0xFFFF
            size = head >> 8 & 0xFFFFFFFF
            end = at + 8 + size
            if size > client.payload_max:
                reason = f"{{frame_too_large,{size},{client.payload_max - TOLERANCE}}}"
                self._closing.tear(unusable(status.state, kind, b"", reason))
                return end_of_data
            if kind == BODY and size >= STREAMED:
                self._stream = BodyStream(number, size)
                at = self._streamed(data, at + 7)
                if status.stopped:
                    return end_of_data if status.state.deaf else at
                continue
            if end > end_of_data:
                return at
            if data[end - 1] != 0xCE:
                reason = f"{{invalid_frame_end_marker,{data[end - 1]}}}"
                self._closing.tear(unusable(status.state, kind, data[at + 7 : end - 1], reason))
                return end_of_data
            channel = self._channels.get(number)
            if kind == METHOD and channel is not None and channel.publishing.content is None and size >= 4:
                ids: int = read_i32_be(data, at + 7)
                if ids == _PUBLISH:
                    end = self._publish(channel, data, at, end, end_of_data)
                elif ids == _ACK and size == 13:
                    end = self._acks(channel, data, at, end_of_data)
                else:
                    self._dispatch.method(channel, ids & 0xFFFFFFFF, data[at + 7 : end - 1])
                    self._pause_if_long()
            elif (
                channel is not None and channel.publishing.content is not None and kind != METHOD and status.state.open
            ):
                self._handle_content(channel, channel.publishing.content, kind, data, at, end)
            else:
                self._dispatch.other(kind, number, channel, data[at + 7 : end - 1])
                if channel is None:
                    self._pause_if_long()
            if status.stopped:
                return end_of_data if status.state.deaf else end
            at = end
        return at

    def _pause_if_long(self) -> None:
        """If this slice has lasted long enough, continue in the next event loop iteration, so that other clients are
        served.
        """
        if self._clock.now_ms() - self._began_ms >= self._slices.length_ms:
            self._slices.use()
            self._status.pause()
            self._output.mark_dirty()

    def _streamed(self, data: bytes, start: int) -> int:
        """Handle the part of a streamed body frame in `data` from `start` on; return the start of the next frame."""
        stream = self._stream
        if stream is None:
            return start
        channel = self._channels.get(stream.channel)
        pending = None if channel is None else channel.publishing.content
        if pending is not None and pending.too_large:
            end = stream.skip(data, start)
        else:
            rest = len(data) - start
            may_retain = pending is not None and pending.may_retain(
                data, min(stream.left, rest), min(self.wanted, rest)
            )
            end = stream.feed(data, start, may_retain)
        if end == len(data):
            return end
        self._stream = None
        if data[end] != 0xCE:
            reason = f"{{invalid_frame_end_marker,{data[end]}}}"
            self._closing.tear(unusable(self._status.state, BODY, stream.pieces.join(), reason))
            return len(data)
        if channel is not None and pending is not None and pending.properties is not None:
            self._dispatch.body(channel, pending, stream.pieces, stream.size)
        else:
            self._dispatch.other(BODY, stream.channel, channel, stream.pieces.join())
        return len(data) if self._status.state.deaf else end + 1

    @property
    def wanted(self) -> int:
        """Number of bytes missing of a large body, up to the next frame's payload; 0 if no large body is arriving."""
        stream = self._stream
        if stream is None:
            return 0
        channel = self._channels.get(stream.channel)
        pending = None if channel is None else channel.publishing.content
        # The frame still has to arrive completely, even if it exceeds the rest of the body.
        return max(stream.left, 0 if pending is None else pending.left - stream.size + stream.left) + OVERHEAD

    def take_unhandled(self) -> tuple[bytes, int]:
        """Remove and return the bytes that are not handled yet, which are to be fed again.

        Also return the number of bytes, of these and those that follow, that belong to a partly handled frame.
        """
        data = b"".join(self._waiting)
        self._waiting = []
        self._waiting_size = 0
        self.recv_oct -= len(data)
        stream = self._stream
        return data, 0 if stream is None else stream.left + 1

    def _acks(self, channel: Channel, data: bytes, at: i64, end_of_data: i64) -> i64:
        """Handle a run of basic.ack frames on one channel; return the end of the last.

        An error closes the channel, which ends the run.
        """
        head, ids = read_i64_be(data, at), read_i32_be(data, at + 7)
        unacked = channel.unacked
        try:
            while True:
                tag: int = read_i64_be(data, at + 11)
                multiple = data[at + 19] & 1 == 1
                at += ACK_BYTES
                unacked.ack(tag if tag >= 0 else tag + (1 << 64), multiple)
                if multiple and self._status.stopped:
                    return at
                if (
                    at + ACK_BYTES > end_of_data
                    or read_i64_be(data, at) != head
                    or read_i32_be(data, at + 7) != ids
                    or data[at + ACK_BYTES - 1] != 0xCE
                ):
                    return at
        except AmqpError as error:
            self._closing.fail(error, channel.number, _ACK)
            return at

    def _repeats(self, repeat: Repeat, publishing: Publishing, data: bytes, pos: i64, end_of_data: i64) -> i64:
        """Handle a run of publishes that may repeat earlier ones; return the end of the handled data."""
        start = pos
        prefix = repeat.prefix
        total, content = repeat.total, repeat.content
        length: i64 = len(prefix)
        end = pos + total
        while (
            end <= end_of_data
            and read_i64_be(data, pos) == repeat.first
            and read_i64_be(data, pos + content - 8) == repeat.last
            and data[pos : pos + length] == prefix
            and data[end - 1] == 0xCE
            and publishing.republish(repeat, data[pos + content : end])
        ):
            pos = end
            end += total
        count = (pos - start) // total
        repeat.outlet.count_single(count)
        self.published += count
        return pos

    def _publish(self, channel: Channel, data: bytes, pos: i64, end: i64, end_of_data: i64) -> i64:
        """Handle basic.publish; return the end of the handled data.

        If `data` also has the header and the only body frame, all three frames are handled together, without splitting
        them into copies.
        """
        publishing = channel.publishing
        repeat = publishing.repeat
        if repeat is not None and repeat is not self._repeat:
            stop = self._repeats(repeat, publishing, data, pos, end_of_data)
            if stop > pos:
                self._repeat = repeat
                self._repeating = publishing
                return stop
        bits_at = end - 2
        key: i64 = 0
        if end - pos >= _SHORTEST_PUBLISH:
            key = pos + 14 + i64(data[pos + 13])
        if not key or key >= bits_at or key + 1 + i64(data[key]) != bits_at:
            self._closing.fail(undecodable(data[pos + 11 : end - 1]), channel.number, _PUBLISH)
            return end
        address = data[pos + 13 : bits_at]
        bits = data[bits_at]
        if end + 22 <= end_of_data:
            body_max: i64 = 0 if self._status.state.alarmed else self._client.body_max
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
                and 14 <= size <= self._client.payload_max
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
                    publishing.publish(address, bits, properties, None, body_size, data[end:stop])
                except AmqpError as error:
                    self._closing.fail(error, channel.number, _PUBLISH)
                    return stop
                except MalformedError as error:
                    self._closing.fail(errors.syntax_error(str(error)), channel.number, _PUBLISH)
                    return end
                if publishing.is_again(stop - pos) and body_size:
                    prefix = data[pos : body + 7]
                    self._repeat = publishing.remember(properties, prefix, stop - pos, end - pos, body_size)
                    self._repeating = publishing
                return stop
        publishing.begin_content(address, bits)
        self.published += 1
        return end

    def _handle_content(self, channel: Channel, pending: Content, kind: int, data: bytes, at: i64, end: i64) -> None:
        """Handle a header or body frame of a message whose frames do not arrive together."""
        body_max: i64 = 0 if self._status.state.alarmed else self._client.body_max
        if kind == HEADER and end - at >= 22 and pending.properties is None:
            size: i64 = read_i64_be(data, at + 11)
            if read_i32_be(data, at + 7) == BASIC_CLASS << 16 and 0 < size <= body_max:
                pending.begin(data[at:end], size)
                return
        elif (
            # The size fits into 64 bits if `begin` accepted the header.
            kind == BODY
            and pending.header
            and end - at - OVERHEAD == pending.size
            and pending.left == pending.size
            and body_max
        ):
            # The body is complete: handle the message as if its frames had arrived one after the other.
            publishing = channel.publishing
            publishing.end_content()
            header = pending.header
            frames = header + data[at:end]
            repeat = publishing.framed
            if repeat is not None and pending.repeats(repeat) and publishing.republish(repeat, frames):
                repeat.outlet.count_single(1)
                return
            properties = pending.properties or _NONE
            try:
                publishing.publish(pending.address, pending.bits, properties, None, pending.size, frames)
            except AmqpError as error:
                self._closing.fail(error, channel.number, _PUBLISH)
                return
            except MalformedError as error:
                self._closing.fail(errors.syntax_error(str(error)), channel.number, _PUBLISH)
                return
            if publishing.is_again(len(frames)):
                publishing.remember_framed(properties, header, len(frames), pending.size)
            return
        self._dispatch.other(kind, channel.number, channel, data[at + 7 : end - 1])
