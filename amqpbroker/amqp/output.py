"""The output of a connection: small frames in one buffer, large ones left where they are."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, final

from mypy_extensions import i64

from amqpbroker.amqp.round_robin import Line
from amqpbroker.amqp.state import Status
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.message.message import Message
from amqpbroker.message.pieces import Octets
from amqpbroker.octets import BytesWriter
from amqpbroker.wire.frames import BASIC_CLASS, BODY, CONTENT_HEAD, FRAME_HEAD, HEADER, OVERHEAD, content

#: Frames and bodies of so many octets are not copied into the buffer: that costs more than a part of its own does.
LARGE: Final = 16 * 1024
#: Frames with a body of fewer octets are surely not LARGE.
SMALL: Final = LARGE // 2
#: A buffer that has grown beyond this is not kept.
_KEPT: Final = 4 * 1024
#: Memory that an answer takes besides its own octets: most are short.
KEEPING: Final = 48

#: Octets as they are handed to the socket.
Part = bytes | memoryview


class AwaitingSync(metaclass=ABCMeta):
    """The answers of a channel, as far as confirms and others of them wait for the store.

    awaiting_sync: there are some, or will be at the end of the event loop iteration.
    """

    def __init__(self) -> None:
        self.awaiting_sync: bool = False

    @abstractmethod
    def take_synced(self) -> bytes:
        """Return the confirms and answers that are due by now."""


@final
class Output:
    """Octets in the order in which they are to go out, and the limits for adding some.

    small: the buffer that frames below LARGE octets may be written to. room: octets of deliveries that may still be
    added. line: consumers that found no room. dirty: `on_dirty` was called, and `take` was not yet. writable: the
    socket takes output. send_oct, send_cnt: octets taken, and how often. awaiting_sync: channels whose confirms and
    answers wait for the store. status: of the connection.
    """

    def __init__(self, status: Status, on_dirty: Callable[[], None], bounds: Bounds = BOUNDS) -> None:
        self.small = BytesWriter()
        self.room: int = bounds.room_bytes
        self.dirty: bool = False
        self.line = Line()
        self.writable: bool = True
        self.send_oct: int = 0
        self.send_cnt: int = 0
        self.awaiting_sync: list[AwaitingSync] = []
        self._frame_max: int = 0
        self._parts: list[Part] = []
        self._size: int = 0
        self.status = status
        self._on_dirty = on_dirty
        self._room_bytes: int = bounds.room_bytes
        self._unread_bytes: int = bounds.unread_bytes

    def __len__(self) -> int:
        """Octets."""
        return self._size + len(self.small)

    def limit_frames(self, frame_max: int) -> None:
        """Make no frame larger than `frame_max` octets from now on (0: no limit)."""
        self._frame_max = frame_max

    # --- frames -----------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Add frames that are not deliveries."""
        self.add(data)
        self._wrote(len(data))

    def write_content(self, head: bytes, message: Message, channel: int) -> None:
        """Add a method frame and the content that follows it, which is no delivery."""
        size = len(self)
        self.add(head)
        self.add_content(message, channel, self._frame_max)
        self._wrote(len(self) - size)

    def deliver(self, message: Message, channel: int, largest: int, head: i64) -> None:
        """Add the content of a delivery. head: size of its method, which is in `small`.

        largest: size of a body that fits in a frame.
        """
        if message.size < SMALL:
            frames = message.frames
            if frames is None or message.frames_channel != channel or message.size > largest:
                frames = content_frames(message, channel, self._frame_max)
            self.small.write(frames)
            self.room -= len(frames) + head
        else:
            self.add_content(message, channel, self._frame_max)
            self.room -= message.size + head
        if not self.dirty:
            self.mark_dirty()

    def _wrote(self, size: int) -> None:
        self.room -= size + KEEPING
        if self.is_flooded():
            self.status.pause()
        if not self.dirty:
            self.mark_dirty()

    def mark_dirty(self) -> None:
        """Ask for a call of `take` at the end of the event loop iteration."""
        if not self.dirty:
            self.dirty = True
            self._on_dirty()

    def is_flooded(self) -> bool:
        """Return whether so much output waits that no more should be made for other clients."""
        return self.room < -self._unread_bytes

    def close_room(self) -> None:
        """Leave no room for deliveries, up to the next `take`."""
        self.room = min(self.room, 0)

    def add(self, data: Part) -> None:
        if len(data) >= LARGE:
            self._close_small()
            self._parts.append(data)
            self._size += len(data)
        else:
            self.small.write(bytes(data))

    def add_content(self, message: Message, channel: int, frame_max: int) -> None:
        """A message's content header and body frames, none larger than `frame_max` octets (0: no limit)."""
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

    def _add_body(self, parts: Sequence[Octets], size: int, channel: int, limit: int) -> None:
        """Body frames of `limit` octets each, but for the last; they are cut out of the parts as these come."""
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
        """Take note of whether the socket takes output. While it does not, deliveries stop when the room is used up."""
        self.writable = writable
        if writable:
            self.mark_dirty()

    def postpone(self) -> None:
        """Keep everything until the socket takes output."""
        self.dirty = False

    def take(self) -> Sequence[Part]:
        """Return everything, which is written now; make room for deliveries again."""
        self.dirty = False
        self._close_small()
        parts = self._parts
        if parts:
            self.send_oct += self._size
            self.send_cnt += 1
        self._parts = []
        self._size = 0
        self.room = self._room_bytes
        return parts

    def serve_line(self) -> None:
        """Deliver to the consumers that found no room, until there is none again."""
        line = self.line
        while len(line) and self.room > 0:
            line.serve()

    def discard(self) -> None:
        """Forget everything: the socket is gone."""
        self.small = BytesWriter()
        self._parts = []
        self._size = 0

    # --- confirms and answers that wait for the store ----------------------------------------------------------------

    def await_sync(self, channel: AwaitingSync) -> None:
        """Ask the channel for what is due at the end of each event loop iteration, until it awaits no more."""
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
        """Ask the channel for nothing more."""
        self.awaiting_sync = [channel for channel in self.awaiting_sync if channel is not gone]

    def cancel_all_syncs(self) -> None:
        """Ask no channel for anything more."""
        self.awaiting_sync.clear()

    def _close_small(self) -> None:
        """Make what is in the buffer a part."""
        size = len(self.small)
        if size:
            self._parts.append(self.small.getvalue())
            self._size += size
            if size > _KEPT:
                self.small = BytesWriter()
            else:
                self.small.truncate(0)


def content_frames(message: Message, channel: int, frame_max: int) -> bytes:
    """The message's content for one channel, which the message has for the next delivery if it is one body frame."""
    size = message.size
    if frame_max and size > frame_max - OVERHEAD:
        return content(channel, message.properties, message.body, frame_max)
    frames = message.frames
    if frames is not None and message.frames_channel == channel:
        return frames
    if frames is None:
        frames = content(channel, message.properties, message.body, 0)
    else:
        number = channel.to_bytes(2, "big")
        if size:
            body = len(frames) - size - OVERHEAD
            frames = b"\2%b%b\3%b%b" % (number, frames[3:body], number, frames[body + 3 :])
        else:
            frames = b"\2%b%b" % (number, frames[3:])
    message.set_frames(frames, channel)
    return frames
