import pytest

from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.inflow import Inflow
from amqpbroker.wire import frames

FRAMES = [(1, 1, b"method"), (2, 1, b"header"), (8, 0, b""), (3, 300, b"body" * 9)]
DATA = b"".join(frames.frame(*one) for one in FRAMES)


def taken(inflow, data):
    space = inflow.space()
    space[: len(data)] = data
    inflow.came(len(data))
    return [(kind, channel, bytes(inflow.view[at : at + length])) for kind, channel, at, length in inflow.frames()]


def test_frames_are_the_same_for_every_split():
    for split in range(len(DATA) + 1):
        inflow = Inflow(100)
        assert taken(inflow, DATA[:split]) + taken(inflow, DATA[split:]) == FRAMES
        assert inflow.rest() == b""


def test_the_buffer_is_used_again():
    inflow = Inflow(50)
    found = [one for at in range(0, 10 * len(DATA), 7) for one in taken(inflow, (DATA * 10)[at : at + 7])]
    assert found == FRAMES * 10


def test_a_buffer_grows_when_it_is_filled_and_keeps_what_is_in_it():
    inflow = Inflow(1 << 15)
    body = bytes(range(256)) * 100
    data = frames.frame(3, 1, body) * 3
    at, sizes, found = 0, [], []
    while at < len(data):
        sizes.append(len(inflow.space()))
        piece = data[at : at + sizes[-1]]
        found += taken(inflow, piece)
        at += len(piece)
    assert sizes[0] == 1 << 13
    assert len(inflow.buffer) == 1 << 15
    assert found == [(3, 1, body)] * 3


def test_one_that_is_not_filled_stays_small():
    inflow = Inflow()
    for _ in range(1000):
        taken(inflow, DATA)
    assert len(inflow.buffer) == 1 << 13


def test_a_part_of_a_frame_is_left():
    inflow = Inflow(100)
    assert taken(inflow, DATA[:20]) == FRAMES[:1]
    assert inflow.rest() == DATA[14:20]


def test_what_is_no_frame_is_told():
    with pytest.raises(PerfError, match="end octet"):
        taken(Inflow(100), DATA[:13] + b"\0")
    with pytest.raises(PerfError, match="frame of 93 octets, more than was agreed on"):
        taken(Inflow(100), frames.FRAME_HEAD.pack(3, 1, 93) + b"x")
