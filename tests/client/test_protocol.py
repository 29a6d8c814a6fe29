"""The client against the broker's side of the protocol, without sockets."""

import asyncio
import random

import pytest

from amqpbroker.amqp.connection import Connection
from amqpbroker.amqp.peer import Peer
from amqpbroker.broker.users.users import BROKER
from amqpbroker.client.login import PROTOCOL_HEADER, LinkError
from amqpbroker.client.protocol import ChannelClosedError, Client, Delivery, Receiver
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field
from tests.harness import make_broker


class Recorder(Receiver):
    def __init__(self):
        self.deliveries, self.confirms, self.blocks, self.failures = [], [], [], []

    def delivered(self, delivery):
        self.deliveries.append(delivery)

    def confirmed(self, tag, multiple, taken):
        self.confirms.append((tag, multiple, taken))

    def blocked(self, blocked):
        self.blocks.append(blocked)

    def failed(self, error):
        self.failures.append(str(error))


class Pair:
    """A client, and the broker's connection for it."""

    def __init__(self, chance=None):
        self.broker = make_broker()
        self.dirty = False
        self.connection = Connection(self.broker, Peer("127.0.0.1", 1, "127.0.0.1", 0, user=BROKER), self.on_dirty)
        self.client = Client(self.connection.feed)
        self.client.receiver = self.seen = Recorder()
        self._chance = chance

    def on_dirty(self):
        if not self.dirty:
            self.dirty = True
            asyncio.get_running_loop().call_soon(self.turn)

    def turn(self):
        self.dirty = False
        self.broker.sync()
        data = b"".join(self.connection.collect())
        while data:
            size = self._chance.choice((1, 7, 8, 100, 5000)) if self._chance else len(data)
            self.client.feed(data[:size])
            data = data[size:]

    async def open(self):
        client = self.client
        self.connection.feed(PROTOCOL_HEADER)
        assert (await client.wait("connection.start", 0))["mechanisms"] == b"EXTERNAL"
        client.send("connection.start-ok", 0, mechanism="EXTERNAL", locale="en_US")
        tune = await client.wait("connection.tune", 0)
        client.send("connection.tune-ok", 0, **tune)
        client.send("connection.open", 0, virtual_host="/")
        await client.wait("connection.open-ok", 0)
        await client.call("channel.open")
        return client

    async def settle(self):
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def pair():
    pair = Pair()
    await pair.open()
    return pair


@pytest.mark.parametrize("seed", [None, 1, 2])
async def test_messages_are_published_and_delivered_unchanged(seed):
    pair = Pair(None if seed is None else random.Random(seed))
    client = await pair.open()
    assert (await client.call("queue.declare", queue="q"))["message_count"] == 0
    await client.call("confirm.select")
    headers = {"a": Field("B", 1), "b": Field("x", b"\xff"), "c": Field("T", 7), "d": Field("s", -2)}
    properties = encode_properties({"headers": headers, "priority": 3, "correlation_id": b"\xff"})
    bodies = [b"", b"one", b"x" * 300_000]
    for body in bodies:
        client.publish(1, b"", b"q", properties, body)
    await client.call("basic.consume", queue="q")
    await pair.settle()
    assert pair.seen.deliveries == [Delivery(tag, b"", b"q", properties, body) for tag, body in enumerate(bodies, 1)]
    assert pair.seen.confirms[-1][0] == 3
    assert all(taken for _, _, taken in pair.seen.confirms)
    client.ack(1, 3, True)
    await pair.settle()
    assert pair.broker.gauges() == (0, 0)


async def test_a_closed_channel_fails_only_its_own_call(pair):
    with pytest.raises(ChannelClosedError, match="no queue 'nix'") as error:
        await pair.client.call("queue.declare", queue="nix", passive=True)
    assert error.value.code == 404
    assert pair.seen.failures == []
    await pair.client.call("channel.open", 2)


async def test_a_channel_closed_without_a_pending_call_is_reported(pair):
    pair.client.publish(1, b"nix", b"", b"\0\0", b"")
    await pair.settle()
    assert pair.seen.failures == ["NOT_FOUND - no exchange 'nix' in vhost '/'"]


async def test_a_deleted_queue_is_reported_as_cancelled_consumer(pair):
    await pair.client.call("queue.declare", queue="q")
    pair.connection.client.capabilities = frozenset({"consumer_cancel_notify"})
    await pair.client.call("basic.consume", queue="q")
    vhost = pair.broker.vhosts["/"]
    vhost.delete_queue(vhost.queues["q"])
    await pair.settle()
    assert len(pair.seen.failures) == 1
    assert "cancelled" in pair.seen.failures[0]


async def test_closed_connection_fails_pending_and_later_calls(pair):
    waiting = asyncio.ensure_future(pair.client.wait("nothing", 1))
    await pair.settle()
    pair.broker.delete_vhost("/")
    with pytest.raises(LinkError, match="vhost '/' is deleted"):
        await waiting
    with pytest.raises(LinkError, match="vhost '/' is deleted"):
        await pair.client.call("channel.open", 5)
    assert len(pair.seen.failures) == 1


def told(name, channel=0, **arguments):
    return frame(METHOD, channel, methods.encode(name, **arguments))


async def test_client_reports_blocked_and_answers_channel_flow():
    sent = []
    client = Client(sent.append)
    client.receiver = seen = Recorder()
    client.feed(told("connection.blocked", reason="low on memory") + told("connection.unblocked"))
    client.feed(told("channel.flow", 1, active=True))
    assert seen.blocks == [True, False]
    assert sent == [told("channel.flow-ok", 1, active=True)]


@pytest.mark.parametrize(
    "data",
    [
        b"AMQP\0\0\x09\x01",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x01\0\0\xff\xff\xff\xff\0",
        b"\x01\0\0\0\0\0\x04\0\x0a\0\x0a\xcd",
        b"\x01\0\0\0\0\0\x04\0\x0a\0\x0a\xce",
        b"\x01\0\0\0\0\0\x04\0\xff\0\xff\xce",
        b"\x01\0\x01\0\0\0\x06\0\x3c\0\x3c\xff\0\xce",
        frame(METHOD, 1, methods.encode("basic.deliver")) + frame(3, 1, b"x"),
        frame(METHOD, 1, methods.encode("basic.deliver")) + frame(2, 1, b"\0\x3c\0\0"),
    ],
)
async def test_input_that_is_not_amqp_ends_the_connection(data):
    client = Client(lambda data: None)
    client.receiver = seen = Recorder()
    client.feed(data)
    assert len(seen.failures) == 1
    assert "does not speak AMQP" in seen.failures[0]
    client.feed(data)
    assert len(seen.failures) == 1


async def test_frames_after_the_end_of_the_connection_are_ignored():
    client = Client(lambda data: None)
    client.receiver = seen = Recorder()
    client.feed(told("connection.close", reply_text="bye") + told("connection.blocked", reason="late") + b"\1\0\0")
    assert (seen.failures, seen.blocks, client.missing) == (["bye"], [], 0)
