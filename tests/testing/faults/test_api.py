"""The API of faults: affected connections, duration and reports."""

import inspect
import re
import threading

import httpx
import pika
import pytest

from amqpbroker.amqp.connection import Connection
from amqpbroker.testing import Broker, Vhost
from amqpbroker.testing.faults import kinds
from amqpbroker.testing.faults.api import Faults
from amqpbroker.testing.faults.line import Line
from tests.testing.faults.raw import Client, publish

LOST = pika.exceptions.AMQPConnectionError


def test_connection_has_a_fault_line_only_while_faults_are_active(b, dial, queue):
    b.faults.clear()
    dial()
    server = b._instance.server
    assert isinstance(server.clients.there()[-1]._connection, Connection)
    with b.faults.duplicate():
        assert isinstance(server.clients.there()[-1]._connection, Line)
        dial().call("basic.qos")
        assert isinstance(server.clients.there()[-1]._connection, Line)
    dial().call("basic.qos")
    assert isinstance(server.clients.there()[-1]._connection, Connection)


@pytest.mark.parametrize(
    ("only", "struck"),
    [
        ({}, ["guest", "shop", "other"]),
        ({"user": "shop"}, ["shop"]),
        ({"vhost": "other"}, ["other"]),
        ({"connection": "the shop"}, ["shop"]),
        ({"connection": "the shop", "vhost": "other"}, []),
    ],
)
def test_only_limits_faults_to_matching_connections(b, connect, only, struck):
    def connections():
        yield "guest", b.url, {}
        yield "shop", b.url_of(user="shop"), {"client_properties": {"connection_name": "the shop"}}
        yield "other", b.url_of("other"), {}

    before = {name: connect(url, **options).channel() for name, url, options in connections()}
    b.faults.only(**only).drop(on="queue.declare", times=None)
    after = {name: connect(url, **options).channel() for name, url, options in connections()}
    for channels in (before, after):
        lost = []
        for name, channel in channels.items():
            try:
                channel.queue_declare("mine", exclusive=True)
                channel.queue_delete("mine")
            except LOST:
                lost.append(name)
        assert lost == struck


def test_faults_do_not_affect_internal_connections_such_as_shovels():
    """A shovel within the broker is such a connection."""
    with Broker(management=True) as b:
        client = Client(b)
        client.call("queue.declare", queue="q")
        value = {"src-uri": "amqp://", "src-queue": "p", "dest-uri": "amqp://", "dest-queue": "q"}
        value |= {"src-protocol": "amqp091", "dest-protocol": "amqp091"}
        url = f"{b.http_url}/api/parameters/shovel/%2F/s"
        httpx.put(url, json={"value": value}, auth=("guest", "guest")).raise_for_status()
        b.wait_until(queue="p", consumers=1)
        b.faults.reset()
        b.faults.nack(times=None)
        assert client.end() is ConnectionResetError
        client.close()
        client = Client(b)
        client.send(publish(b"x", "p"))
        b.wait_until(queue="q", ready=1)
        assert len(b.faults.happened) == 1
        client.close()


def test_fault_report_suggests_existing_names_for_untriggered_faults(b, dial, queue):
    client = dial()
    client.call("queue.declare", queue="orders")
    b.faults.nack(routing_key="ordres")
    b.faults.duplicate(queue="Orders")
    b.faults.refuse_declare(exchange="amq.topc")
    b.faults.refuse_declare(queue="orders")
    assert b.faults.report() == (
        "active faults: nack(routing_key='ordres') (has not triggered; did you mean routing_key='orders'?), "
        "duplicate(queue='Orders') (has not triggered; did you mean queue='orders'?), "
        "refuse_declare(exchange='amq.topc') (has not triggered; did you mean exchange='amq.topic'?), "
        "refuse_declare(queue='orders')"
    )
    b.faults.clear()
    client.call("queue.delete", queue="orders")


def test_happened_lists_every_triggered_fault_with_its_connection_and_time(b, connect):
    b.clock.freeze()
    at = b.clock.now()
    channel = connect(b.url_of(user="shop"), client_properties={"connection_name": "till"}).channel()
    b.faults.block()
    b.faults.only(user="shop").refuse_declare(queue="x", times=1)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        channel.queue_declare("x")
    b.clock.resume()
    struck = b.faults.happened[-1]
    assert struck.fault == "only(user='shop').refuse_declare(queue='x', times=1)"
    assert re.fullmatch(r"connection \d+ \(till, [^,]+ -> [^,]+, user shop\)", struck.connection)
    assert (struck.what, struck.at) == ("at frame 1 received, queue.declare on channel 1", at)
    assert b.faults.active == ["block()"]
    with pytest.raises(AssertionError) as raised:
        b.wait_until(queue="nowhere", timeout=0)
    assert f"active faults: block()\nfaults that triggered:\n  {b.faults.happened[0]}\n  {struck}" in str(raised.value)


def test_faults_survive_a_restart_without_withheld_confirms():
    b = Broker()
    with b:
        b.faults.withhold_confirms()
        client = Client(b)
        client.call("queue.declare", queue="q")
        client.call("confirm.select")
        client.send(publish(b"x"))
        assert client.told() == []
    client.close()
    with b:
        assert b.faults.active == ["withhold_confirms()"]
        client = Client(b)
        client.call("queue.declare", queue="q")
        client.call("confirm.select")
        client.send(publish(b"x"))
        assert client.told() == []
        b.faults.clear()
        assert client.told() == [("basic.ack", 1)]
        client.close()
    with pytest.raises(RuntimeError, match="the broker is not running"):
        b.faults.block()


def test_faults_are_injected_from_any_thread(b, client):
    """Injection works on other threads while a client is busy."""
    client.call("confirm.select")
    stop = threading.Event()

    def order():
        while not stop.is_set():
            with b.faults.withhold_confirms(), b.faults.duplicate():
                pass

    thread = threading.Thread(target=order)
    thread.start()
    try:
        for _ in range(300):
            client.send(publish(b"x") * 3)
    finally:
        stop.set()
        thread.join()
    numbers = [number for _, number in client.told()]
    # Coalesced while there was no fault, so some may be missing, but none comes twice or out of turn.
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 900


def test_only_can_be_chained_on_the_faults_of_a_vhost(b):
    faults = Vhost(b, "v").faults
    faults.only(user="shop").nack()
    faults.only(connection="till").only(user="shop").nack()
    assert b.faults.active == [
        "only(user='shop', vhost='v').nack()",
        "only(connection='till', user='shop', vhost='v').nack()",
    ]


def test_every_kind_of_fault_has_a_method_of_its_name():
    for name, kind in kinds.KINDS.items():
        assert kind.kind == name
        assert callable(getattr(Faults, name))
        assert set(kind.names()) - set(inspect.signature(getattr(Faults, name)).parameters) <= {"times"}


def test_wrong_names_and_arguments_of_fault_kinds_are_errors():
    with pytest.raises(
        ValueError, match="kind = 'rest': there is no such fault; did you mean reset\\? Accepted: reset, drop"
    ):
        kinds.make("rest", {}, {})
    with pytest.raises(ValueError, match="reset has no argument 'until'; accepted: on, instead_of"):
        kinds.make("reset", {"until": 3}, {})
    with pytest.raises(
        ValueError, match="only has no argument 'host'; did you mean vhost\\? Accepted: connection, user, vhost"
    ):
        kinds.make("reset", {}, {"host": "x"})
