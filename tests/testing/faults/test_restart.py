"""Restarts of the broker at a given method or frame."""

import time

import pika
import pytest

from amqpbroker.testing import Broker
from tests.testing.faults.raw import Client, publish


@pytest.fixture
def b():
    with Broker() as broker:
        yield broker


def again(b):
    """Return a client once the broker is back."""
    end = time.monotonic() + 60
    while True:
        try:
            return Client(b)
        except (OSError, EOFError):
            assert time.monotonic() < end
            time.sleep(0.005)


def test_restart_fault_triggers_before_the_publish_is_handled(b):
    properties = pika.BasicProperties(delivery_mode=2)
    channel = pika.BlockingConnection(pika.URLParameters(b.url)).channel()
    channel.confirm_delivery()
    channel.queue_declare("q", durable=True)
    b.faults.restart(on="basic.publish", nth=2)
    channel.basic_publish("", "q", b"1", properties)
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        channel.basic_publish("", "q", b"2", properties)
    client = again(b)
    assert client.call("queue.declare", queue="q", durable=True)["message_count"] == 1
    assert [struck.fault for struck in b.faults.happened] == ["restart(on='basic.publish', nth=2)"]
    client.close()


def test_confirms_withheld_during_a_restart_are_never_sent(b):
    b.faults.withhold_confirms()
    b.faults.delay_confirms(10)
    b.faults.block()
    b.faults.unblock()
    client = Client(b)
    client.call("queue.declare", queue="q", durable=True)
    client.call("confirm.select")
    client.send(publish(b"x") * 3)
    assert client.told() == []
    b.restart()
    assert client.read()[0] == "connection.close"
    assert client.end() in (EOFError, ConnectionResetError)
    client.close()
    client = again(b)
    client.call("queue.declare", queue="q", durable=True)
    client.call("confirm.select")
    client.send(publish(b"x"))
    assert client.told() == []
    b.faults.clear()
    assert client.told() == [("basic.ack", 1)]
    client.close()


def test_an_alarm_survives_a_restart(b):
    b.faults.block("disk")
    b.restart()
    assert b._instance.broker.alarms.reason == "low on disk"
    b.faults.unblock()
    assert b._instance.broker.alarms.reason == ""
