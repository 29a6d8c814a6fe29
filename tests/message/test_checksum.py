import pytest

from amqpbroker.message.checksum import content_checksum
from amqpbroker.message.message import Message, encode_address
from amqpbroker.message.pieces import Pieces

BASE = Message(encode_address("e", b"k"), b"\0\0", b"body")


@pytest.mark.parametrize(
    "other",
    [
        Message(encode_address("f", b"k"), b"\0\0", b"body"),
        Message(encode_address("e", b"l"), b"\0\0", b"body"),
        Message(encode_address("e", b"k"), b"\x08\0\1", b"body"),
        Message(encode_address("e", b"k"), b"\0\0", b"bodz"),
        Message(encode_address("e", b"k"), b"\0\0", b"body" + b"x" * 100_000),
    ],
    ids=["exchange", "routing key", "properties", "body", "size"],
)
def test_checksum_depends_on_every_part_of_a_message(other):
    assert content_checksum(other) != content_checksum(BASE)


def test_checksum_does_not_depend_on_the_pieces_of_a_body():
    body = bytes(range(256)) * 600
    whole = Message(encode_address("e", b"k"), b"\0\0", body)
    for cut in (1, 1000, 65536, 70_000):
        parts = [body[start : start + cut] for start in range(0, len(body), cut)]
        pieces = Pieces()
        for part in parts:
            pieces.add(part)
        assert content_checksum(Message(encode_address("e", b"k"), b"\0\0", pieces)) == content_checksum(whole)
