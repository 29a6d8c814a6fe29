"""Messages in the bytes of a chunk."""

import pytest

from amqpbroker.message.message import Message
from amqpbroker.store.record import DamagedError
from amqpbroker.store.streams.chunk import Block, ChunkWriter, stored_message
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.values import Field
from tests.store.streams.logs import message, message_in


def block(*messages: Message, first: int = 10) -> Block:
    writer = ChunkWriter()
    sizes = [writer.add(each, first + number) for number, each in enumerate(messages)]
    assert (writer.count, writer.size_bytes) == (len(messages), sum(sizes))
    payload = writer.take()
    assert (writer.count, writer.size_bytes, len(payload)) == (0, 0, sum(sizes))
    return Block(payload, first, len(messages), 0)


def test_messages_are_read_in_any_order():
    found = block(*[message(str(number)) for number in range(5)])
    for offset in (12, 10, 14, 13, 11, 12):
        each = message_in(found, offset)
        assert each.body == str(offset - 10).encode()
        assert each.headers == {"x-stream-offset": Field("l", offset)}


def test_messages_are_read_one_after_the_other():
    found = block(message("a"), message(""), message("c", key=b"other"))
    at = found.find(11)
    read = []
    for _ in range(2):
        address, frames, size, at = found.read(at)
        read.append(stored_message(address, frames, size))
    assert [(each.routing_key, each.body) for each in read] == [(b"key", b""), (b"other", b"c")]


def test_message_with_an_empty_body_or_a_large_one():
    found = block(message(""), message("x" * 200_000), message("last"))
    assert [message_in(found, offset).size for offset in (10, 11, 12)] == [0, 200_000, 4]
    assert message_in(found, 11).body == b"x" * 200_000


def test_readers_share_a_large_message():
    found = block(message("x" * 100), message("y" * 200_000), message("z" * 100))
    small, large = found.find(10), found.find(11)
    assert found.read(large)[1] is found.read(large)[1]
    assert found.read(small)[1] is not found.read(small)[1]
    # The cache counts what it shares.
    assert found.size_bytes > 400_000


def test_delivery_mode_is_added_only_if_there_is_none():
    def mode(properties: bytes) -> int:
        found = block(Message(b"\0\0", properties, b"body"))
        mode: int = decode_properties(message_in(found, 10).properties)["delivery_mode"]
        return mode

    assert mode(b"\0\0") == 1
    assert mode(b"\x10\0\x02") == 2


@pytest.mark.parametrize("size", [1, 9, 20, -1])
def test_message_that_is_cut_off_is_damage(size):
    writer = ChunkWriter()
    writer.add(message("body"), 0)
    with pytest.raises(DamagedError, match="is cut off"):
        message_in(Block(writer.take()[:size], 0, 1, 0), 0)
