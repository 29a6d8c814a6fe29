import random

import pytest

from amqpbroker.amqp.output import LARGE, Output
from amqpbroker.amqp.state import Status
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.message import Message
from amqpbroker.message.pieces import Pieces
from amqpbroker.wire.frames import content


def make_output():
    return Output(Status(), lambda: None, BOUNDS._replace(unread_bytes=0))


def test_small_frames_are_joined_and_large_ones_are_not_copied():
    output = make_output()
    large = b"L" * LARGE
    for data in (b"one", b"two", large, b"three"):
        output.add(data)
    assert len(output) == LARGE + 11
    parts = output.take()
    assert parts == [b"onetwo", large, b"three"]
    assert parts[1] is large
    assert (len(output), output.take()) == (0, [])


def test_output_can_be_added_after_take():
    output = make_output()
    for data in (b"x" * 10_000, b"short", b""):
        output.add(data)
        output.small.write(b"!")
        assert output.take() == [data + b"!"]
        assert len(output) == 0


def test_output_added_after_take_is_not_in_its_result():
    output = make_output()
    taken = output.take()
    output.add(b"L" * LARGE)
    assert taken == []
    assert output.take() == [b"L" * LARGE]


@pytest.mark.parametrize("frame_max", [131072, 50_000, 4096, 0])
def test_a_body_in_pieces_is_sent_in_frames_of_the_consumers_size(frame_max):
    choose = random.Random(frame_max)
    body = choose.randbytes(300_000)
    pieces = Pieces()
    at = 0
    while at < len(body):
        size = choose.choice([1, 5000, 50_000, 131_064])
        pieces.add(body[at : at + size])
        at += size
    output = make_output()
    output.add_content(Message(b"\0\1q", b"\0\0", pieces), 7, frame_max)
    assert b"".join(output.take()) == content(7, b"\0\0", body, frame_max)


def test_large_pieces_of_a_body_are_not_copied():
    piece = b"p" * LARGE
    pieces = Pieces()
    pieces.add(piece)
    pieces.add(piece)
    output = make_output()
    output.add_content(Message(b"\0\1q", b"\0\0", pieces), 1, 131072)
    assert [part.obj is piece for part in output.take() if isinstance(part, memoryview)] == [True, True]


@pytest.mark.parametrize("channel", [7, 300])
@pytest.mark.parametrize("body", [b"", b"body"])
def test_stored_frames_are_sent_on_the_channel_of_the_consumer(channel, body):
    output = make_output()
    output.deliver_frames(content(7, b"\x80\0\4type", body, 0), len(body), channel, head=10)
    assert output.take() == [content(channel, b"\x80\0\4type", body, 0)]


def test_stored_frames_use_up_the_space_for_deliveries():
    output = make_output()
    frames = content(7, b"\0\0", b"body", 0)
    before = output.space
    output.deliver_frames(frames, 4, 7, head=10)
    assert before - output.space == len(frames) + 10
    assert output.dirty
