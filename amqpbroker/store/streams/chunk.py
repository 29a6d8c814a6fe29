"""Messages of a stream in the bytes of a chunk: written one after the other, and decoded when they are read."""

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

#: Name and type of the header with the offset.
OFFSET_HEADER: Final = "x-stream-offset"
_OFFSET: Final = b"\x0fx-stream-offsetl"

#: Memory of a decoded message besides its bytes.
_DECODED: Final = 500


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
    segment. size_bytes: memory that the block may take, with all messages decoded.
    """

    def __init__(self, payload: bytes, first: int, count: int, following: int) -> None:
        self.first: int = first
        self.count: int = count
        self.following: int = following
        self.size_bytes: int = 2 * len(payload) + _DECODED * count
        self._payload: bytes = payload
        self._at: i64 = 0
        self._address: bytes = b""
        self._messages: list[Message | None] = []

    def message(self, offset: int) -> Message:
        """Return the message with that offset, which the block has. Raises DamagedError."""
        index: i64 = offset - self.first
        while index > len(self._messages):
            self._skip()
            self._messages.append(None)
        if index == len(self._messages):
            self._messages.append(self._decode())
        found = self._messages[index]
        return self._decode_again(index) if found is None else found

    def _skip(self) -> None:
        """Pass over the next message without decoding it."""
        payload = self._payload
        if len(payload) - self._at < _HEAD:
            raise DamagedError(self._at, "a message of a stream is cut off")
        self._at += _HEAD + (i64(read_i32_be(payload, self._at)) & 0xFFFFFFFF)

    def _decode(self) -> Message:
        """Decode the next message."""
        at = self._at
        self._skip()
        payload = self._payload
        end = self._at
        size: i64 = i64(read_i32_be(payload, at + 4)) & 0xFFFFFFFF
        length: i64 = i64(read_i16_be(payload, at + 8)) & 0xFFFF
        start = at + _HEAD + length
        if end > len(payload) or start > end:
            raise DamagedError(at, "a message of a stream is cut off")
        address = payload[at + _HEAD : start]
        if address == self._address:
            # A consumer repeats the bytes of a delivery that has the same address object as the one before.
            address = self._address
        else:
            self._address = address
        frames = payload[start:end]
        message = Message(address, None, None, size, frames, frames[1] << 8 | frames[2])
        message.undecoded = True
        return message

    def _decode_again(self, index: i64) -> Message:
        """Decode a message that was passed over, because readers behind its reader need it."""
        behind, self._at = self._at, 0
        passed: i64 = 0
        while passed < index:
            self._skip()
            passed += 1
        message = self._decode()
        self._messages[index] = message
        self._at = behind
        return message
