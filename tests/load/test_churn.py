"""Connections, channels, queues and bindings that are created and deleted repeatedly leave nothing behind."""

import time

import pytest

from amqpbroker.wire.values import Field
from tests.harness import published
from tests.load.client import LoadClient, request
from tests.load.memory import MB, resident_bytes

WARM_UP_S = 1.0
DURATION_S = 2.0


def connections(client, port):
    def one_more(count):
        with LoadClient(port) as client:
            client.declare("mine", exclusive=True)
            client.call("queue.bind", "queue.bind-ok", queue="mine", exchange="amq.topic", routing_key="a.*")
            client.call("basic.consume", "basic.consume-ok", queue="mine")
            client.send(published("a.b", b"unacknowledged", "amq.topic") * 3)
            client.expect("basic.deliver")
            if count % 2:
                client.close()

    return one_more


def channels(client, port):
    def one_more(count):
        channel = 2 + count % 100
        client.call("channel.open", "channel.open-ok", channel)
        client.call("confirm.select", "confirm.select-ok", channel)
        client.send(published("kept", b"x", channel=channel))
        client.expect("basic.ack")
        client.call("basic.get", "basic.get-ok", channel, queue="kept")
        client.send(request("basic.ack", channel, delivery_tag=1))
        if count % 2:
            client.call("channel.close", "channel.close-ok", channel, reply_code=200, class_id=0, method_id=0)
        else:
            client.send(request("queue.declare", channel, queue="missing", passive=True))
            client.expect("channel.close")
            client.send(request("channel.close-ok", channel))

    return one_more


def queues(client, port):
    def one_more(count):
        name, routing_key = f"q.{count}", f"{count}.#"
        arguments = {"x-expires": Field("I", 60_000), "x-message-ttl": Field("I", 60_000)}
        client.call("exchange.declare", "exchange.declare-ok", exchange=name, exchange_type="topic", auto_delete=True)
        client.declare(name, arguments=arguments)
        client.call("queue.bind", "queue.bind-ok", queue=name, exchange=name, routing_key=routing_key)
        client.send(published(f"{count}.x", b"x" * 100, name))
        client.call("queue.delete", "queue.delete-ok", queue=name)

    return one_more


@pytest.mark.parametrize("kind", [connections, channels, queues])
def test_memory_does_not_grow_while_objects_are_created_and_deleted(broker, kind):
    pid = broker.process.pid
    with LoadClient(broker.port) as client:
        client.declare("kept")
        one_more = kind(client, broker.port)
        count = 0
        for duration_s in (WARM_UP_S, DURATION_S):
            before, first, until = resident_bytes(pid), count, time.monotonic() + duration_s
            while time.monotonic() < until:
                one_more(count)
                count += 1
        grown = resident_bytes(pid) - before
        print(f"{count - first} {kind.__name__}; grew by {grown / 1000:.0f} kB")
        assert grown < 1.5 * MB
        client.close()
