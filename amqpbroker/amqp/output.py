"""The output of a connection: small frames are copied into one buffer, large ones are not copied."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, final

from mypy_extensions import i64

from amqpbroker.amqp.round_robin import Line
from amqpbroker.amqp.state import Status
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.message.message import Message
from amqpbroker.message.pieces import BytesLike
from amqpbroker.octets import BytesWriter
from amqpbroker.wire.frames import BASIC_CLASS, BODY, CONTENT_HEAD, FRAME_HEAD, HEADER, OVERHEAD, content

#: Frames and bodies of this many bytes or more are not copied into the buffer: copying would cost more than a separate
#: part.
LARGE: Final = 16 * 1024
#: A frame with a body smaller than this is certainly smaller than LARGE.
SMALL: Final = LARGE // 2
#: A buffer that has grown beyond this size is not reused.
_KEPT: Final = 4 * 1024
#: Memory that an answer takes besides its own bytes; most answers are short.
KEEPING: Final = 48

#: Bytes as they are passed to the socket.
Part = bytes | memoryview


class AwaitingSync(metaclass=ABCMeta):
    """A channel whose confirms or other answers may wait for the store.

    awaiting_sync: some are waiting, or will be at the end of the event loop iteration.
    """

    def __init__(self) -> None:
        self.awaiting_sync: bool = False

    @abstractmethod
    def take_synced(self) -> bytes:
        """Return the confirms and answers that are due by now."""


@final
class Output:
    """Bytes in the order in which they are sent, and the limits for adding more.

    small: the buffer for frames smaller than LARGE bytes. space: bytes of deliveries that may still be added. waiting:
    consumers that wait for space. dirty: `on_dirty` was called, and `take` has not been called since. writable: the
    socket accepts output. send_oct, send_cnt: number of bytes and of calls of `take`. awaiting_sync: channels whose
    confirms and answers wait for the store. status: of the connection.
    """

    def __init__(self, status: Status, on_dirty: Callable[[], None], bounds: Bounds = BOUNDS) -> None:
        self.small = BytesWriter()
        self.space: int = bounds.room_bytes
        self.dirty: bool = False
        self.waiting = Line()
        self.writable: bool = True
        self.send_oct: int = 0
        self.send_cnt: int = 0
        self.awaiting_sync: list[AwaitingSync] = []
        self._frame_max: int = 0
        self._parts: list[Part] = []
        self._size: int = 0
        self.status = status
        self._on_dirty = on_dirty
        self._space_bytes: int = bounds.room_bytes
        self._unread_bytes: int = bounds.unread_bytes

    def __len__(self) -> int:
        """Return the number of bytes waiting."""
        return self._size + len(self.small)

    def limit_frames(self, frame_max: int) -> None:
        """Limit the size of frames from now on to `frame_max` bytes (0: no limit)."""
        self._frame_max = frame_max

    # --- frames -----------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Add frames that are not deliveries."""
        self.add(data)
        self._wrote(len(data))

    def write_content(self, head: bytes, message: Message, channel: int) -> None:
        """Add a method frame, which is not a delivery, and its content."""
        size = len(self)
        self.add(head)
        self.add_content(message, channel, self._frame_max)
        self._wrote(len(self) - size)

    def deliver(self, message: Message, channel: int, largest: int, head: i64) -> None:
        """Add the content of a delivery. head: size of its method frame, which is already in `small`.

        largest: maximum size of a body in one frame.
        """
        if message.size < SMALL:
            frames = message.frames
            if frames is None or message.frames_channel != channel or message.size > largest:
                frames = content_frames(message, channel, self._frame_max)
            self.small.write(frames)
            self.space -= len(frames) + head
        else:
            self.add_content(message, channel, self._frame_max)
            self.space -= message.size + head
        if not self.dirty:
            self.mark_dirty()

    def deliver_frames(self, frames: bytes, size: int, channel: int, head: i64) -> None:
        """Add the content of a delivery, which is smaller than SMALL bytes and has one body frame at most.

        frames: its content frames, for any channel. size: of the body. head: as in `deliver`.
        """
        small = self.small
        if frames[1] << 8 | frames[2] == channel:
            small.write(frames)
        else:
            small.write(_for_channel(frames, size, channel))
        self.space -= len(frames) + head
        if not self.dirty:
            self.mark_dirty()

    def _wrote(self, size: int) -> None:
        self.space -= size + KEEPING
        if self.is_flooded():
            self.status.pause()
        if not self.dirty:
            self.mark_dirty()

    def mark_dirty(self) -> None:
        """Request a call of `take` at the end of the event loop iteration."""
        if not self.dirty:
            self.dirty = True
            self._on_dirty()

    def is_flooded(self) -> bool:
        """Return whether so much output waits that the connection should make no more of it until the socket accepts
        some.
        """
        return self.space < -self._unread_bytes

    def stop_deliveries(self) -> None:
        """Allow no further deliveries until the next `take`."""
        self.space = min(self.space, 0)

    def add(self, data: Part) -> None:
        if len(data) >= LARGE:
            self._close_small()
            self._parts.append(data)
            self._size += len(data)
        else:
            self.small.write(bytes(data))

    def add_content(self, message: Message, channel: int, frame_max: int) -> None:
        """Add a message's content header and body frames, none larger than `frame_max` bytes (0: no limit)."""
        size = message.size
        limit = frame_max - OVERHEAD if frame_max else size
        frames = message.frames
        if frames is not None and message.frames_channel == channel and size <= limit:
            self.add(frames)
        elif size < LARGE:
            self.small.write(content_frames(message, channel, frame_max))
        else:
            properties = message.properties
            small = self.small
            small.write(CONTENT_HEAD.pack(HEADER, channel, len(properties) + 12, BASIC_CLASS, 0, size))
            small.write(properties)
            small.write(b"\xce")
            self._add_body(message.body_parts(), size, channel, limit)

    def _add_body(self, parts: Sequence[BytesLike], size: int, channel: int, limit: int) -> None:
        """Add body frames of `limit` bytes each, except for the last; they are cut from the parts in order."""
        missing = 0
        for part in parts:
            view = memoryview(part)
            end = len(view)
            at = 0
            while at < end:
                if missing == 0:
                    missing = min(limit, size)
                    self.small.write(FRAME_HEAD.pack(BODY, channel, missing))
                taken = min(missing, end - at)
                self.add(view[at : at + taken])
                at += taken
                size -= taken
                missing -= taken
                if missing == 0:
                    self.small.write(b"\xce")

    # --- the end of an event loop iteration -------------------------------------------------------------------------

    def set_writable(self, writable: bool) -> None:
        """Record whether the socket accepts output.

        If it does not, deliveries stop once the allowed bytes are used up.
        """
        self.writable = writable
        if writable:
            self.mark_dirty()

    def postpone(self) -> None:
        """Keep all output until the socket accepts it."""
        self.dirty = False

    def take(self) -> Sequence[Part]:
        """Remove and return all output, to be written now; allow deliveries again."""
        self.dirty = False
        self._close_small()
        parts = self._parts
        if parts:
            self.send_oct += self._size
            self.send_cnt += 1
        self._parts = []
        self._size = 0
        self.space = self._space_bytes
        return parts

    def serve_waiting(self) -> None:
        """Deliver to the consumers that wait for space, until it is used up again."""
        waiting = self.waiting
        while len(waiting) and self.space > 0:
            waiting.serve()

    def discard(self) -> None:
        """Discard all output: the socket is lost."""
        self.small = BytesWriter()
        self._parts = []
        self._size = 0

    # --- confirms and answers that wait for the store ----------------------------------------------------------------

    def await_sync(self, channel: AwaitingSync) -> None:
        """Collect due answers from the channel at the end of each event loop iteration, until it has none waiting."""
        self.awaiting_sync.append(channel)
        self.mark_dirty()

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

    def cancel_sync(self, gone: AwaitingSync) -> None:
        """Stop collecting answers from the channel."""
        self.awaiting_sync = [channel for channel in self.awaiting_sync if channel is not gone]

    def cancel_all_syncs(self) -> None:
        """Stop collecting answers from all channels."""
        self.awaiting_sync.clear()

    def _close_small(self) -> None:
        """Move the contents of the buffer to a part of their own."""
        size = len(self.small)
        if size:
            self._parts.append(self.small.getvalue())
            self._size += size
            if size > _KEPT:
                self.small = BytesWriter()
            else:
                self.small.truncate(0)


def content_frames(message: Message, channel: int, frame_max: int) -> bytes:
    """Return the message's content frames for one channel.

    A single body frame is cached in the message for its next delivery.
    """
    size = message.size
    if frame_max and size > frame_max - OVERHEAD:
        return content(channel, message.properties, message.body, frame_max)
    frames = message.frames
    if frames is not None and message.frames_channel == channel:
        return frames
    if frames is None:
        frames = content(channel, message.properties, message.body, 0)
    else:
        frames = _for_channel(frames, size, channel)
    message.set_frames(frames, channel)
    return frames


def _for_channel(frames: bytes, size: int, channel: int) -> bytes:
    """Return content frames for another channel. size: of the body, which is in one frame."""
    number = channel.to_bytes(2, "big")
    if not size:
        return b"\2%b%b" % (number, frames[3:])
    body = len(frames) - size - OVERHEAD
    return b"\2%b%b\3%b%b" % (number, frames[3:body], number, frames[body + 3 :])
