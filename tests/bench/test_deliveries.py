"""Deliveries are counted by their tags, however the received data are divided."""

import random
import socket

import pytest

from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, content, frame
from amqpbroker.wire.properties import encode_properties
from tests.bench import deliveries
from tests.bench.application import messages
from tests.bench.deliveries import Deliveries, acknowledge, consumer_tag, reject, requeue


class Client:
    """A client of the load whose broker is the other end of a socket pair."""

    def __init__(self, sock, unread=b""):
        self.socket = sock
        self.unread = unread

    def take_unread(self):
        return self.unread


@pytest.fixture
def pair():
    ends = socket.socketpair()
    with ends[0], ends[1]:
        yield ends


def delivered(count, first=1, consumers=1):
    """Return the frames of messages that are delivered to consumers in rotation."""
    parts = []
    for tag, (properties, body) in enumerate(messages(count), first):
        values = {name: value.encode() if isinstance(value, str) else value for name, value in properties.items()}
        method = methods.encode(
            "basic.deliver",
            consumer_tag=consumer_tag(tag % consumers),
            delivery_tag=tag,
            redelivered=False,
            exchange="e",
            routing_key=f"key.{tag}",
        )
        parts.append(frame(METHOD, 1, method) + content(1, encode_properties(values), body, 131072))
    return parts


def test_every_delivery_is_counted_once_however_input_is_split(pair):
    broker, client = pair
    parts = delivered(40, consumers=3)
    chance = random.Random(1)
    counted = Deliveries(Client(client))
    sent = b""
    data = b"".join(parts)
    while len(sent) < len(data):
        piece = data[len(sent) : len(sent) + chance.randint(1, 700)]
        broker.sendall(piece)
        sent += piece
        assert counted.receive() == len(piece)
        begun = sum(1 for tag in range(1, 41) if tag_end(parts, tag) <= len(sent))
        assert counted.count == begun


def tag_end(parts, tag):
    """Return the position after the delivery tag of a message in the bytes of all messages."""
    return sum(map(len, parts[: tag - 1])) + 7 + 4 + 1 + len(consumer_tag(0)) + 8


def test_delivery_received_byte_by_byte_is_counted(pair):
    broker, client = pair
    counted = Deliveries(Client(client))
    (part,) = delivered(1)
    for byte in part:
        assert counted.count in (0, 1)
        broker.sendall(bytes((byte,)))
        counted.receive()
    assert counted.count == 1


def test_deliveries_received_together_with_a_method_reply_are_counted(pair):
    broker, client = pair
    data = b"".join(delivered(3))
    counted = Deliveries(Client(client, data[:1_500]))
    broker.sendall(data[1_500:])
    counted.receive()
    assert counted.count == 3


def test_large_deliveries_are_counted(pair, monkeypatch):
    monkeypatch.setattr(deliveries, "BUFFER_BYTES", 128)
    broker, client = pair
    counted = Deliveries(Client(client))
    for part in delivered(3):
        broker.sendall(part)
    broker.close()
    while counted.receive():
        pass
    assert counted.count == 3


def test_acks_and_rejects_of_the_bench_include_all_earlier_tags():
    assert acknowledge(7) == frame(METHOD, 1, methods.encode("basic.ack", delivery_tag=7, multiple=True))
    for made, back in ((reject(7), False), (requeue(7), True)):
        decoded = methods.decode(methods.METHODS[int.from_bytes(made[7:11], "big")], made[7:-1])
        assert decoded == {"delivery_tag": 7, "multiple": True, "requeue": back}


def test_bench_consumer_tags_are_as_long_as_rabbitmq_generated_tags():
    assert {len(consumer_tag(number)) for number in (0, 9, 10, 99_999)} == {len("amq.ctag-0123456789abcdefghijAB")}
    assert consumer_tag(1) != consumer_tag(10)
