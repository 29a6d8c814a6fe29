"""Frames as bytes: AMQP 0-9-1 section 4.2.3."""

import struct
from collections.abc import Sequence
from typing import Final

from amqpbroker.octets import read_i32_be

METHOD: Final = 1
HEADER: Final = 2
BODY: Final = 3
HEARTBEAT: Final = 8
END: Final = 0xCE
#: Octets around a payload: type, channel and size before it, the end octet after it.
OVERHEAD: Final = 8

FRAME_HEAD = struct.Struct(">BHI")
#: type, channel, payload size, class, weight, body size: the fields of a content header before the properties.
CONTENT_HEAD = struct.Struct(">BHIHHQ")
#: Size of `CONTENT_HEAD` in octets, which is the start of the properties.
PROPERTIES_AT: Final = 19

HEARTBEAT_FRAME = FRAME_HEAD.pack(HEARTBEAT, 0, 0) + b"\xce"

BASIC_CLASS: Final = 60


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """Return one whole frame."""
    return FRAME_HEAD.pack(kind, channel, len(payload)) + payload + b"\xce"


def content(channel: int, properties: bytes, body: bytes, frame_max: int) -> bytes:
    """Return the content header frame and the body frames, none larger than `frame_max` octets (0: no limit)."""
    size = len(body)
    limit = frame_max - OVERHEAD if frame_max else size
    if size <= limit:
        return lone_content(channel, properties, [body], size)
    parts = [CONTENT_HEAD.pack(HEADER, channel, len(properties) + 12, BASIC_CLASS, 0, size), properties, b"\xce"]
    for start in range(0, size, limit):
        chunk = body[start : start + limit]
        parts += [FRAME_HEAD.pack(BODY, channel, len(chunk)), chunk, b"\xce"]
    return b"".join(parts)


def lone_content(channel: int, properties: bytes, parts: Sequence[bytes | bytearray | memoryview], size: int) -> bytes:
    """Return the content header frame and, if there is a body, one body frame.

    The parts have `size` octets together.
    """
    head = CONTENT_HEAD.pack(HEADER, channel, len(properties) + 12, BASIC_CLASS, 0, size)
    if size == 0:
        return b"%b%b\xce" % (head, properties)
    return b"".join([head, properties, b"\xce", FRAME_HEAD.pack(BODY, channel, size), *parts, b"\xce"])


def with_properties(frames: bytes, properties: bytes) -> bytes:
    """Return content frames with other properties. The frames begin with the header frame."""
    end = 7 + read_i32_be(frames, 3)
    size = (len(properties) + 12).to_bytes(4, "big")
    return b"".join([frames[:3], size, frames[7:PROPERTIES_AT], properties, frames[end:]])


def content_properties(frames: bytes) -> bytes:
    """Return the properties of content frames that begin with the header frame."""
    return frames[PROPERTIES_AT : 7 + read_i32_be(frames, 3)]


def content_body(frames: bytes, size: int) -> bytes:
    """Return the body of `size` octets of content frames that end with the only body frame."""
    return frames[len(frames) - 1 - size : -1] if size else b""
