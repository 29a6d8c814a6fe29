"""What a connection has yet to write: small frames in one buffer, large ones left where they are."""

from collections.abc import Sequence
from typing import Final

from amqpbroker.message.message import Message
from amqpbroker.message.pieces import Octets
from amqpbroker.octets import BytesWriter
from amqpbroker.wire.frames import BASIC_CLASS, BODY, CONTENT_HEAD, FRAME_HEAD, HEADER, OVERHEAD, content

#: Frames and bodies of so many octets are not copied into the buffer: that costs more than a part of its own does.
LARGE: Final = 16 * 1024
#: A buffer that has grown beyond this is not kept.
_KEPT: Final = 4 * 1024

#: Octets as they are handed to the socket.
Part = bytes | memoryview


class Output:
    """Octets in the order in which they are to go out. small: where frames below LARGE octets may be written to."""

    def __init__(self) -> None:
        self.small = BytesWriter()
        self._parts: list[Part] = []
        self._size: int = 0

    def __len__(self) -> int:
        """Octets."""
        return self._size + len(self.small)

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

    def take(self) -> Sequence[Part]:
        """Everything, which is no longer here; what comes from now on is not in it."""
        self._close_small()
        parts = self._parts
        self._parts = []
        self._size = 0
        return parts

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
    """The message's content for one channel, kept with the message for the next delivery if it is one body frame."""
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
    message.frames = frames
    message.frames_channel = channel
    return frames
