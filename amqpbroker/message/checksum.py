"""Checksum by which clients name the content of a message."""

import zlib
from typing import Final

from amqpbroker.message.message import Message

#: Number of bytes of a body that count: a body may have hundreds of megabytes, and all clients wait meanwhile.
_BODY_BYTES: Final = 65536


def content_checksum(message: Message) -> int:
    """Return a checksum of exchange, routing key, properties, size of the body, and the first 64 KiB of the body."""
    value = zlib.crc32(message.properties, zlib.crc32(message.address, message.size & 0xFFFFFFFF))
    left = _BODY_BYTES
    for part in message.body_parts():
        value = zlib.crc32(memoryview(part)[:left], value)
        left -= len(part)
        if left <= 0:
            break
    return value
