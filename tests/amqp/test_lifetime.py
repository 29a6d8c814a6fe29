"""A connection that has ended is freed immediately: in a broker full of messages the garbage collector seldom runs."""

import gc

import pytest

from amqpbroker.amqp.channel import Channel
from amqpbroker.amqp.connection import Connection
from tests.harness import Wire, make_broker


def living(kind):
    """Return the number of living objects; compiled classes have no weak references."""
    return sum([type(each) is kind for each in gc.get_objects()])


def _nothing(wire):
    pass


def _handshake_only(wire):
    wire.feed(b"AMQP\0\0\x09\x01")


def _publishes_and_consumes(wire):
    wire.log_in(heartbeat=10)
    wire.declare("q")
    wire.consume("q")
    for _ in range(4):
        wire.publish("q", b"same")


def _transaction(wire):
    wire.log_in()
    wire.call(1, "tx.select")
    wire.declare("q")
    wire.publish("q", b"never committed")


def _confirms(wire):
    wire.log_in()
    wire.call(1, "confirm.select")
    wire.publish("nowhere", b"x")


def _direct_reply(wire):
    wire.log_in()
    wire.consume("amq.rabbitmq.reply-to", no_ack=True)
    wire.publish("amq.rabbitmq.reply-to", reply_to="amq.rabbitmq.reply-to")


def _exclusive_queue(wire):
    wire.log_in()
    wire.declare("q", exclusive=True)
    wire.call(1, "queue.bind", queue="q", exchange="amq.topic", routing_key="a.#")


def _channel_error(wire):
    wire.log_in()
    wire.call(1, "queue.declare", queue="nowhere", passive=True)


def _connection_error(wire):
    wire.log_in()
    wire.send(0, "connection.tune-ok", channel_max=0, frame_max=0, heartbeat=0)


@pytest.mark.parametrize(
    "use",
    [
        _nothing,
        _handshake_only,
        _publishes_and_consumes,
        _transaction,
        _confirms,
        _direct_reply,
        _exclusive_queue,
        _channel_error,
        _connection_error,
    ],
)
def test_a_connection_that_ended_is_freed_without_the_garbage_collector(use):
    broker = make_broker()
    gc.disable()
    try:
        before = living(Connection)
        wire = Wire(broker)
        use(wire)
        wire.turn()
        wire.connection.lost()
        assert living(Connection) == before + 1
        wire.connection = None
        assert living(Connection) == before
    finally:
        gc.enable()


def test_a_channel_that_was_closed_is_freed_without_the_garbage_collector():
    wire = Wire(make_broker()).log_in()
    gc.disable()
    try:
        wire.call(1, "tx.select")
        wire.consume("amq.rabbitmq.reply-to", no_ack=True)
        before = living(Channel)
        wire.call(1, "channel.close", reply_code=200, reply_text="", class_id=0, method_id=0)
        assert living(Channel) == before - 1
    finally:
        gc.enable()
