"""What the near-free clients send, and how they share the work."""

import pytest

from amqpbroker.wire import methods
from amqpbroker.wire.frames import FRAME_HEAD
from tests.bench.clients import Publishing, ack_up_to, acks


def decoded(data):
    while data:
        kind, channel, size = FRAME_HEAD.unpack_from(data)
        assert (kind, channel, data[size + 7]) == (1, 1, 0xCE)
        method = methods.decode(methods.METHODS[int.from_bytes(data[7:11], "big")], data[7 : 7 + size])
        yield method["delivery_tag"], method["multiple"]
        data = data[size + 8 :]


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 255), (255, 256), (250, 1030), (65_530, 65_540)])
def test_each_tag_is_acknowledged_once(first, last):
    assert list(decoded(acks(first, last))) == [(tag, False) for tag in range(first, last + 1)]


def test_all_up_to_a_tag_are_acknowledged_at_once():
    assert list(decoded(ack_up_to(70_000))) == [(70_000, True)]


def test_chunks_take_the_keys_in_turn():
    one = Publishing(("a",)).chunks()
    assert [messages for _, messages in one] == [500]
    many = Publishing(tuple(f"q{i:04}" for i in range(1200))).chunks()
    assert [messages for _, messages in many] == [500, 500, 200]
    assert b"q0499" in many[0][0]
    assert b"q0500" in many[1][0]


def test_a_chunk_is_neither_large_nor_more_than_may_be_in_flight():
    assert [messages for _, messages in Publishing(("a",), size=1 << 20).chunks()] == [1]
    assert [messages for _, messages in Publishing(("a",), in_flight=100).chunks()] == [25]
