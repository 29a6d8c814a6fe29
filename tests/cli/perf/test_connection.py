import socket
from types import SimpleNamespace

import pytest

from amqpbroker.cli.perf.access import Uri
from amqpbroker.cli.perf.connection import Link, ReadBuffer
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.wire import frames
from amqpbroker.wire.frames import HEARTBEAT_FRAME
from amqpbroker.wire.reader import FrameReader


@pytest.fixture
def ends():
    """A link, and the broker's socket."""
    ours, theirs = socket.socketpair()
    access = SimpleNamespace(uri=Uri())
    client = SimpleNamespace(
        socket=ours, reader=FrameReader(0), heartbeat_s=10, access=access, close=lambda timeout_s: True, drop=ours.close
    )
    with ours, theirs:
        theirs.settimeout(1)
        yield Link(client), theirs


def everything(theirs, size):
    data = b""
    while len(data) < size:
        data += theirs.recv(1 << 20)
    return data


def test_unsent_data_is_sent_later_in_order(ends):
    link, theirs = ends
    data = bytes(range(256)) * 40_000
    assert not link.send(memoryview(data))
    assert 0 < link.unsent < len(data)
    link.queue(b"behind")
    got = b""
    while not link.flush():
        got += theirs.recv(1 << 20)
    got += everything(theirs, len(data) + 6 - len(got))
    assert got == data + b"behind"
    assert (link.unsent, link.is_idle) == (0, True)


def test_queued_data_is_not_counted_as_unsent(ends):
    link, _ = ends
    link.queue(b"x" * 10_000_000)
    assert (link.unsent, link.is_idle) == (0, False)


def test_input_of_the_set_up_is_read_first(ends):
    link, theirs = ends
    link.client.reader.feed(b"abc")
    theirs.sendall(b"def")
    space = memoryview(bytearray(2))
    assert link.has_more
    read = [bytes(space[: link.receive_into(space)]) for _ in range(5)]
    assert read == [b"ab", b"c", b"de", b"f", b""]
    assert not link.has_more


def test_connection_closed_by_the_broker_is_an_error(ends):
    link, theirs = ends
    theirs.close()
    with pytest.raises(PerfError, match=r"127.0.0.1:5672: the broker closed the connection without a word"):
        link.receive_into(memoryview(bytearray(2)))
    with pytest.raises(PerfError, match=r"127.0.0.1:5672: the connection is lost: broken pipe"):
        link.send(memoryview(b"x"))


def test_heartbeats_are_sent_while_nothing_else_is(ends):
    link, theirs = ends
    start = link._wrote_at
    theirs.sendall(b"something")
    link.receive_into(memoryview(bytearray(10)))
    for second in range(1, 11):
        link.beat(start + second, is_reading=True)
    assert theirs.recv(100) == HEARTBEAT_FRAME * 2
    link.send(memoryview(b"data"))
    for second in range(11, 15):
        link.beat(start + second, is_reading=True)
    assert theirs.recv(100) == b"data"


def test_heartbeats_are_sent_each_half_of_the_interval(ends):
    link, theirs = ends
    start = link._wrote_at
    for beat in range(1, 41):
        theirs.sendall(b"x")
        link.receive_into(memoryview(bytearray(10)))
        link.beat(start + beat / 2, is_reading=True)
    assert theirs.recv(100) == HEARTBEAT_FRAME * 4


def test_broker_that_sends_no_heartbeats_is_an_error(ends):
    link, _ = ends
    start = link._heard_at
    link.beat(start + 21, is_reading=True)
    with pytest.raises(PerfError, match="the broker has sent nothing for two heartbeats"):
        link.beat(start + 22, is_reading=True)


def test_heartbeat_timeout_does_not_run_while_the_client_does_not_read(ends):
    link, _ = ends
    start = link._heard_at
    link.beat(start + 100, is_reading=False)
    link.beat(start + 110, is_reading=True)


def test_finish_sends_all_queued_data(ends):
    link, theirs = ends
    link.send(memoryview(b"abc"))
    link.queue(b"def")
    assert link.finish(1.0, b"rest")
    assert theirs.recv(100) == b"abcdef"
    assert link.client.reader.take(100) == b"rest"


def test_finishing_gives_up_on_a_broker_that_does_not_read(ends):
    link, _ = ends
    link.send(memoryview(b"x" * 10_000_000))
    assert not link.finish(0.05, b"")


FRAMES = [(1, 1, b"method"), (2, 1, b"header"), (8, 0, b""), (3, 300, b"body" * 9)]
DATA = b"".join(frames.frame(*one) for one in FRAMES)


def taken(read_buffer, data):
    space = read_buffer.space()
    space[: len(data)] = data
    read_buffer.came(len(data))
    return [
        (kind, channel, bytes(read_buffer.view[at : at + length])) for kind, channel, at, length in read_buffer.frames()
    ]


def test_frames_are_the_same_for_every_split():
    for split in range(len(DATA) + 1):
        read_buffer = ReadBuffer(100)
        assert taken(read_buffer, DATA[:split]) + taken(read_buffer, DATA[split:]) == FRAMES
        assert read_buffer.rest() == b""


def test_read_buffer_is_reused():
    read_buffer = ReadBuffer(50)
    found = [one for at in range(0, 10 * len(DATA), 7) for one in taken(read_buffer, (DATA * 10)[at : at + 7])]
    assert found == FRAMES * 10


def test_read_buffer_grows_when_it_is_full_and_keeps_its_contents():
    read_buffer = ReadBuffer(1 << 15)
    body = bytes(range(256)) * 100
    data = frames.frame(3, 1, body) * 3
    at, sizes, found = 0, [], []
    while at < len(data):
        sizes.append(len(read_buffer.space()))
        piece = data[at : at + sizes[-1]]
        found += taken(read_buffer, piece)
        at += len(piece)
    assert sizes[0] == 1 << 13
    assert len(read_buffer.buffer) == 1 << 15
    assert found == [(3, 1, body)] * 3


def test_a_buffer_that_is_not_filled_stays_small():
    read_buffer = ReadBuffer()
    for _ in range(1000):
        taken(read_buffer, DATA)
    assert len(read_buffer.buffer) == 1 << 13


def test_incomplete_frame_stays_in_the_read_buffer():
    read_buffer = ReadBuffer(100)
    assert taken(read_buffer, DATA[:20]) == FRAMES[:1]
    assert read_buffer.rest() == DATA[14:20]


def test_invalid_frames_are_reported():
    with pytest.raises(PerfError, match="end byte"):
        taken(ReadBuffer(100), DATA[:13] + b"\0")
    with pytest.raises(PerfError, match="frame of 93 bytes, which is more than was negotiated"):
        taken(ReadBuffer(100), frames.FRAME_HEAD.pack(3, 1, 93) + b"x")
