import random

import pytest

from amqpbroker.wire.frames import BODY, FRAME_HEAD, HEADER, HEARTBEAT, METHOD, OVERHEAD, frame
from amqpbroker.wire.reader import FrameReader, ProtocolHeaderError
from amqpbroker.wire.values import MalformedError

FRAMES = [
    (METHOD, 1, b"method"),
    (HEADER, 1, b"header"),
    (BODY, 65535, b"\xce" * 300),
    (HEARTBEAT, 0, b""),
    (BODY, 2, b"x" * 2000),
]
DATA = b"".join(frame(*each) for each in FRAMES)


def read(reader, data):
    reader.feed(data)
    return list(reader.frames())


def test_frames_are_the_same_for_every_split():
    for split in range(len(DATA) + 1):
        reader = FrameReader(4096)
        assert read(reader, DATA[:split]) + read(reader, DATA[split:]) == FRAMES
        assert (reader.held, reader.missing) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_frames_arrive_in_pieces_of_any_size(seed):
    chance = random.Random(seed)
    reader = FrameReader(0)
    data, found = DATA * 20, []
    while data:
        size = chance.choice((0, 1, 7, 8, 9, 100, 5000))
        found += read(reader, data[:size])
        data = data[size:]
    assert found == FRAMES * 20


def test_reading_of_frames_can_be_stopped_and_resumed():
    reader = FrameReader(4096)
    reader.feed(DATA[:-1])
    found = [next(reader.frames()), next(reader.frames())]
    for each in reader.frames():
        found.append(each)
        reader.feed(DATA[-1:] if len(found) == 3 else b"")
    assert found == FRAMES


def test_reader_reports_the_missing_bytes_up_to_the_next_frame_head():
    data = frame(BODY, 1, b"x" * 100)
    reader = FrameReader(4096)
    for at in range(len(data)):
        assert reader.missing == (0 if at < OVERHEAD else len(data) - at + OVERHEAD)
        assert read(reader, data[at : at + 1]) == ([] if at < len(data) - 1 else [(BODY, 1, b"x" * 100)])
    assert reader.missing == 0


def test_reader_releases_frames_that_were_read():
    reader = FrameReader(4096)
    for _ in range(1000):
        assert len(read(reader, DATA + DATA[:20])) == len(FRAMES) + 1
        assert reader.held == 6
        assert len(read(reader, DATA[20:])) == len(FRAMES) - 1
        assert reader.held == 0


def test_reader_shows_a_frame_head_before_checking_it():
    reader = FrameReader(4096)
    reader.feed(b"\1\0\2\xff\0")
    assert reader.head() is None
    reader.feed(b"\0\0")
    assert reader.head() == (METHOD, 2, 0xFF000000)
    assert list(reader.frames()) == []


def test_reader_can_return_raw_bytes_instead_of_frames():
    reader = FrameReader(4096)
    reader.feed(b"hello")
    reader.feed(DATA[:10])
    assert reader.take(5) == b"hello"
    assert list(reader.frames()) == []
    assert reader.missing == 4 + OVERHEAD
    assert reader.take(1000) == DATA[:10]
    assert (reader.held, reader.missing) == (0, 0)
    assert read(reader, DATA) == FRAMES


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "invalid frame: type 72, 1345270062 octets"),
        (FRAME_HEAD.pack(METHOD, 1, 4089) + b"\0", "invalid frame: type 1, 4089 octets"),
        (FRAME_HEAD.pack(4, 1, 0) + b"\xce", "invalid frame: type 4, 0 octets"),
        (FRAME_HEAD.pack(METHOD, 1, 4) + b"\0\x0a\0\x0a\xcd", "invalid frame: no end octet"),
    ],
)
def test_reader_refuses_bytes_that_are_not_a_frame_and_keeps_them(data, text):
    reader = FrameReader(4096)
    reader.feed(DATA + data)
    found = []
    with pytest.raises(MalformedError) as error:
        found.extend(reader.frames())  # keeps the frames before the error
    assert (found, str(error.value)) == (FRAMES, text)
    with pytest.raises(MalformedError):
        next(reader.frames())
    assert reader.take(1000) == data


def test_protocol_header_instead_of_a_frame_is_an_error():
    reader = FrameReader(4096)
    with pytest.raises(ProtocolHeaderError, match="the broker requires another protocol version"):
        read(reader, b"AMQP\0\0\x09\x01")


def test_frame_max_limits_the_whole_frame_and_can_be_changed():
    data = frame(BODY, 1, b"x" * 4088)
    reader = FrameReader(4096)
    assert len(read(reader, data)) == 1
    reader.frame_max = 4095
    with pytest.raises(MalformedError):
        read(reader, data)
    reader.frame_max = 0
    assert len(list(reader.frames())) == 1
