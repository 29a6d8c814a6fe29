"""Regression tests for bugs found by random input and by review; each of them failed before its fix."""

import itertools

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.values import Field
from tests.broker.queueing import clock_of, declare, make_vhost
from tests.harness import LaggingStore, Wire, make_broker, published


@pytest.mark.parametrize("split", [1, 6, 7])
def test_protocol_header_in_two_pieces_is_accepted(split):
    client = Wire(make_broker())
    client.connection.feed(b"AMQP\0\0\x09\x01"[:split])
    client.connection.feed(b"AMQP\0\0\x09\x01"[split:])
    assert [got.name for got in client.receive()] == ["connection.start"]


def test_too_large_frame_is_refused_if_its_header_arrives_in_two_pieces():
    client = Wire(make_broker()).log_in()
    client.connection.feed(b"\x03\0")
    client.connection.feed(b"\x01\xff\xff\xff\xff")
    assert [got.name for got in client.receive()] == ["connection.close"]


def test_long_chain_of_auto_delete_exchanges_is_deleted():
    vhost = make_vhost()
    chain = [vhost.declare_exchange(f"x{i}", "fanout", False, True, False, {}) for i in range(1000)]
    for source, destination in itertools.pairwise(chain):
        vhost.bind(source, destination, b"", {})
    queue = declare(vhost)
    vhost.bind(chain[-1], queue, b"", {})
    vhost.delete_queue(queue)
    assert not any(exchange.name in vhost.exchanges for exchange in chain)


def test_consumers_use_a_global_prefetch_in_turn():
    client, other = Wire(broker := make_broker()).log_in(), Wire(broker).log_in()
    client.declare("q")
    client.call(1, "basic.qos", prefetch_count=1, global_=True)
    client.consume("q", "one")
    client.consume("q", "two")
    for _ in range(6):
        other.publish("q", b"x")
    got = []
    for _ in range(6):
        (each,) = client.receive()
        got.append(each.arguments["consumer_tag"])
        client.send(1, "basic.ack", delivery_tag=each.arguments["delivery_tag"])
    assert got == ["one", "two"] * 3


def test_global_prefetch_serves_the_consumer_of_higher_priority_first():
    client, other = Wire(broker := make_broker()).log_in(), Wire(broker).log_in()
    client.declare("q")
    client.call(1, "basic.qos", prefetch_count=1, global_=True)
    client.consume("q", "low")
    other.publish("q", b"x")
    client.receive()
    client.consume("q", "high", arguments={"x-priority": Field("I", 10)})
    for _ in range(3):
        other.publish("q", b"x")
    got = []
    for tag in (1, 2, 3):
        client.send(1, "basic.ack", delivery_tag=tag)
        (each,) = client.receive()
        got.append(each.arguments["consumer_tag"])
    assert got == ["high"] * 3


def test_consumer_priorities_apply_when_output_is_possible_again():
    client, other = Wire(broker := make_broker()).log_in(), Wire(broker).log_in()
    client.declare("q")
    client.consume("q", "low", no_ack=True)
    client.consume("q", "high", no_ack=True, arguments={"x-priority": Field("I", 10)})
    for _ in range(20):
        other.publish("q", b"x" * 50_000)
    assert {got.arguments["consumer_tag"] for got in client.receive()} == {"high"}


@pytest.mark.parametrize("error", [False, True])
def test_reopened_channel_gets_no_confirms_of_the_closed_one(error):
    store = LaggingStore()
    client = Wire(Broker(Config(), ManualClock(), store)).log_in()
    client.declare("q")
    client.call(1, "confirm.select")
    for _ in range(5):
        client.publish("q", b"x")
        store.appended += 1
    assert client.receive() == []
    if error:
        client.send(1, "basic.ack", delivery_tag=9)
        client.send(1, "channel.close-ok")
    else:
        client.send(1, "channel.close")
    client.send(1, "channel.open")
    client.send(1, "confirm.select")
    client.receive()
    client.publish("q", b"x")
    store.appended += 1
    assert client.receive() == []
    store.synced = store.appended - 1
    client.connection.output.mark_dirty()
    assert client.receive() == []


def test_message_is_not_delivered_to_a_lost_connection():
    client, other = Wire(broker := make_broker()).log_in(), Wire(broker).log_in()
    client.call(2, "channel.open")
    client.declare("q", arguments={"x-single-active-consumer": Field("t", True)})
    client.call(1, "basic.qos", prefetch_count=1)
    client.consume("q", "active")
    client.consume("q", "waiting", channel=2, no_ack=True)
    for _ in range(5):
        other.publish("q", b"x")
    client.receive()
    client.connection.lost()
    assert other.depth("q") == 5


def test_shorter_queue_expiry_by_policy_applies_immediately():
    vhost = make_vhost()
    queue = declare(vhost, expires=3_600_000)
    queue.apply_settings(QueueSettings(expires_ms=1000))
    clock_of(vhost).advance(1000)
    assert "q" not in vhost.queues


def test_no_heartbeat_is_sent_after_the_end_of_a_closed_connection():
    client = Wire(make_broker()).log_in(heartbeat=10)
    client.call(0, "connection.close")
    client.broker.clock.advance(10_000)
    client.receive()
    client.heartbeats = 0
    assert client.connection.closing
    client.broker.clock.advance(60_000)
    client.receive()
    assert client.heartbeats == 0


def test_reply_texts_are_utf_8():
    client = Wire(make_broker()).log_in()
    client.broker.users.set_permissions("guest", "/", ".*", "^$", ".*")
    client.call(2, "channel.open")
    client.send(2, "queue.declare", queue="q", arguments={"x-dead-letter-exchange": Field("S", b"\xff")})
    (got,) = client.receive()
    assert got.arguments["reply_code"] == 403


def test_routing_key_that_is_not_utf_8_is_accepted():
    client = Wire(make_broker()).log_in()
    client.call(1, "confirm.select")
    client.feed(published(b"\xff", b"x"))
    assert [got.name for got in client.receive()] == ["basic.ack"]


@pytest.mark.explore
def test_output_of_many_gets_is_bounded():
    client = Wire(make_broker()).log_in()
    client.declare("q")
    client.publish("q", b"x" * 1_000_000)
    data = b""
    for tag in range(1, 201):
        data += frame(METHOD, 1, methods.encode("basic.get", queue="q"))
        data += frame(METHOD, 1, methods.encode("basic.nack", delivery_tag=tag, requeue=True))
    client.connection.feed(data)
    assert len(client.connection.output) < 12_000_000
    assert len(client.receive()) == 200
