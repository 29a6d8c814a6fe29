"""Messages of a stream in the bytes of a chunk: written one after the other, and found there when they are read."""

from typing import Final

from mypy_extensions import i64

from amqpbroker.message.message import Message
from amqpbroker.octets import BytesWriter, read_i16_be, read_i32_be, write_i16_be, write_i64_be
from amqpbroker.store.record import DamagedError
from amqpbroker.store.stored import frames_of
from amqpbroker.wire.frames import content_properties, with_properties
from amqpbroker.wire.property_edit import set_headers, with_delivery_mode

#: Size of a message's head in bytes: size of what follows the head, size of the body, length of the address.
_HEAD: Final = 10

#: Size from which readers share the bytes of a message.
_LARGE_BYTES: Final = 1 << 16

#: Name and type of the header with the offset.
OFFSET_HEADER: Final = "x-stream-offset"
_OFFSET: Final = b"\x0fx-stream-offsetl"


class ChunkWriter:
    """Messages of one chunk, encoded as they arrive. count: number of messages. size_bytes: their encoded size."""

    def __init__(self) -> None:
        self.count: int = 0
        self.size_bytes: int = 0
        self._to = BytesWriter()

    def add(self, message: Message, offset: int) -> int:
        """Add a message with its offset in the header `x-stream-offset`; return its encoded size in bytes.

        A message without a delivery mode gets one, as in RabbitMQ (mc_amqpl:protocol_state/2).
        """
        frames = frames_of(message)
        properties = set_headers(content_properties(frames), _OFFSET + offset.to_bytes(8, "big"))
        frames = with_properties(frames, with_delivery_mode(properties))
        address = message.address
        follows: i64 = len(address) + len(frames)
        to = self._to
        write_i64_be(to, follows << 32 | i64(message.size))
        write_i16_be(to, len(address))
        to.write(address)
        to.write(frames)
        size: int = _HEAD + follows
        self.count += 1
        self.size_bytes += size
        return size

    def take(self) -> bytes:
        """Remove and return the encoded messages."""
        data = self._to.getvalue()
        self._to = BytesWriter()
        self.count = 0
        self.size_bytes = 0
        return data


class Block:
    """Messages of a chunk as they are read. Shared by all readers.

    first: offset of the first message. count: number of messages. following: position of the next chunk in the
    segment. size_bytes: memory of the block.
    """

    def __init__(self, payload: bytes, first: int, count: int, following: int) -> None:
        self.first: int = first
        self.count: int = count
        self.following: int = following
        size = len(payload)
        self.size_bytes: int = 2 * size if size > _LARGE_BYTES else size
        self._payload: bytes = payload
        #: Large messages, as they were read, by their positions: readers that are slow share them.
        self._large: dict[int, tuple[bytes, bytes, i64, i64]] = {}

    def find(self, offset: int) -> i64:
        """Return the position of the message with that offset, which the block has. Raises DamagedError."""
        at: i64 = 0
        left: i64 = offset - self.first
        while left > 0:
            at = self._end(at)
            left -= 1
        return at

    def read(self, at: i64) -> tuple[bytes, bytes, i64, i64]:
        """Return the address, the content frames and the body size of a message, and the position of the next one.

        at: as `find` or `read` returned it. Raises DamagedError.
        """
        if self._large and at in self._large:
            return self._large[at]
        payload = self._payload
        end = self._end(at)
        size: i64 = i64(read_i32_be(payload, at + 4)) & 0xFFFFFFFF
        length: i64 = i64(read_i16_be(payload, at + 8)) & 0xFFFF
        start = at + _HEAD + length
        if end > len(payload) or start > end:
            raise DamagedError(at, "a message of a stream is cut off")
        found = (payload[at + _HEAD : start], payload[start:end], size, end)
        if end - start > _LARGE_BYTES:
            self._large[at] = found
        return found

    def _end(self, at: i64) -> i64:
        """Return the position behind the message at a position."""
        payload = self._payload
        if len(payload) - at < _HEAD:
            raise DamagedError(at, "a message of a stream is cut off")
        return at + _HEAD + (i64(read_i32_be(payload, at)) & 0xFFFFFFFF)


def stored_message(address: bytes, frames: bytes, size: int) -> Message:
    """Return a message of a stream. frames: content frames. size: of the body in bytes."""
    message = Message(address, None, None, size, frames, frames[1] << 8 | frames[2])
    message.undecoded = True
    return message
