import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import body as pamqp_body
from pamqp import frame as pamqp_frame
from pamqp import header as pamqp_header

from amqpbroker.wire.frames import (
    BODY,
    HEADER,
    HEARTBEAT_FRAME,
    METHOD,
    content,
    content_body,
    content_properties,
    frame,
    lone_content,
)
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.reader import FrameReader
from tests.fuzz.effort import effort


def split(data: bytes) -> list[tuple[int, int, bytes]]:
    """Return (type, channel, payload) of each frame."""
    reader = FrameReader(0)
    reader.feed(data)
    frames = list(reader.frames())
    assert reader.held == 0
    return frames


def test_frame_is_encoded_as_type_channel_size_payload_and_end() -> None:
    assert frame(METHOD, 258, b"abc") == b"\x01\x01\x02\0\0\0\x03abc\xce"
    assert HEARTBEAT_FRAME == b"\x08\0\0\0\0\0\0\xce"


@given(
    channel=st.integers(1, 65535), body=st.binary(max_size=200), limit=st.sampled_from([0, 9, 10, 57, 208, 209, 4096])
)
@effort(150)
def test_content_is_split_into_frames_of_at_most_frame_max(channel: int, body: bytes, limit: int) -> None:
    properties = encode_properties({"priority": 3, "message_id": b"m"})
    header, *parts = split(content(channel, properties, body, limit))
    assert header[:2] == (HEADER, channel)
    assert header[2] == b"\0\x3c\0\0" + len(body).to_bytes(8, "big") + properties
    assert all(part[:2] == (BODY, channel) and part[2] for part in parts)
    assert b"".join(payload for _, _, payload in parts) == body
    if limit:
        assert all(8 + len(payload) <= limit for _, _, payload in parts)
        assert len(parts) == -(-len(body) // (limit - 8))
    else:
        assert len(parts) == (1 if body else 0)


@pytest.mark.parametrize("body", [b"", b"x", b"x" * 5000])
@pytest.mark.parametrize("properties", [b"\0\0", b"\x10\0\x02", encode_properties({"headers": {}})])
def test_properties_and_body_are_extracted_from_content_frames(properties: bytes, body: bytes) -> None:
    frames = content(7, properties, body, 0)
    assert content_properties(frames) == properties
    assert content_body(frames, len(body)) == body


def test_content_frames_are_decoded_by_pamqp() -> None:
    data = content(3, encode_properties({"content_type": b"text/plain"}), b"hello", 0)
    size, channel, header = pamqp_frame.unmarshal(data)
    assert (channel, type(header), header.body_size) == (3, pamqp_header.ContentHeader, 5)
    assert header.properties.content_type == "text/plain"
    _, channel, body = pamqp_frame.unmarshal(data[size:])
    assert (channel, type(body), body.value) == (3, pamqp_body.ContentBody, b"hello")


@given(channel=st.integers(1, 65535), parts=st.lists(st.binary(max_size=50), max_size=5))
def test_body_in_several_parts_is_encoded_as_one_frame(channel: int, parts: list[bytes]) -> None:
    body = b"".join(parts)
    properties = encode_properties({"priority": 3})
    assert lone_content(channel, properties, parts, len(body)) == content(channel, properties, body, 0)
