"""A broker that has ended or was restarted is freed, whatever its queues held.

In compiled builds the garbage collector does not know entries and messages
(docs/decisions/0007-garbage-collector.md): every object that holds them at the end has to release them.
"""

import gc
import ssl
import time
from collections import Counter

import pytest

from amqpbroker.amqp.connection import Connection
from amqpbroker.broker import broker as domain
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.server.app import Server
from amqpbroker.server.protocols import AMQPS
from amqpbroker.testing import Broker
from amqpbroker.testing.instance import Instance
from amqpbroker.wire.frames import content
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.certificates import Authority
from tests.testing.faults.raw import Client, method

KINDS = (Server, Instance, domain.Broker, Vhost, LocalQueue, Connection)


@pytest.fixture(autouse=True)
def _frozen():
    """Exclude objects from before a test from counts and collections, which would take long."""
    gc.freeze()


def living():
    while gc.collect():
        pass  # an object that the collector does not know holds others until it is freed itself
    return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in KINDS)


def declare(client, queue, **arguments):
    client.call("queue.declare", queue=queue, durable=True, arguments=arguments)


def publish(client, routing_key, exchange="", **headers):
    properties = encode_properties({"delivery_mode": 2, "headers": headers})
    client.send(method(1, "basic.publish", exchange=exchange, routing_key=routing_key))
    client.send(content(1, properties, b"x", 131072))


def ready(client):
    declare(client, "q")
    publish(client, "q")


def quorum(client):
    declare(client, "q", **{"x-queue-type": longstr("quorum")})
    publish(client, "q")


def priorities(client):
    declare(client, "q", **{"x-max-priority": Field("I", 5)})
    publish(client, "q")


def dead_letters(client):
    declare(client, "d")
    arguments = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("d")}
    declare(client, "q", **{"x-message-ttl": Field("I", 0), **arguments})
    publish(client, "q")


def expiring(client):
    declare(client, "q", **{"x-message-ttl": Field("I", 600_000), "x-expires": Field("I", 600_000)})
    publish(client, "q")


def unacknowledged(client):
    ready(client)
    client.call("basic.consume", queue="q", consumer_tag="c")
    client.expect("basic.deliver")


def got(client):
    quorum(client)
    client.send(method(1, "basic.get", queue="q"))
    client.expect("basic.get-ok")


def in_a_transaction(client):
    got(client)
    client.read()
    client.read()
    client.call("tx.select")
    publish(client, "q")
    client.send(method(1, "basic.ack", delivery_tag=1))


def delayed(client):
    arguments = {"x-delayed-type": longstr("fanout")}
    client.call("exchange.declare", exchange="e", exchange_type="x-delayed-message", durable=True, arguments=arguments)
    declare(client, "q")
    client.call("queue.bind", queue="q", exchange="e")
    publish(client, "", "e", **{"x-delay": Field("I", 600_000)})


@pytest.fixture(scope="module", autouse=True)
def warm():
    """Create the objects that are created only once."""
    with Broker(management=True) as b:
        Client(b).close()


@pytest.fixture
def client():
    """Yield client(b), which connects and stays connected."""
    opened = []

    def connect(b, **options):
        opened.append(Client(b, **options))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


USES = [ready, quorum, priorities, dead_letters, expiring, unacknowledged, got, in_a_transaction, delayed]


@pytest.mark.parametrize("kept", [False, True], ids=["forgotten", "kept"])
@pytest.mark.parametrize("use", USES)
def test_a_broker_that_was_stopped_is_freed(client, use, kept):
    """The broker is freed even if the test keeps a reference, as a module that starts one for its tests does."""
    before = living()
    b = Broker().start()
    use(client(b))
    b.queues()
    b.stop()
    if not kept:
        b = None
    assert living() == before


def test_stopped_broker_drops_recorded_messages_before_garbage_collection(client):
    b = Broker().start()
    connected = client(b)
    ready(connected)
    publish(connected, "nowhere")
    assert len(b.published()) == 2
    recorder = b._instance.recorder
    b.stop()
    assert [*recorder.publishes, *recorder.unroutable, *recorder.refusals] == []


@pytest.mark.parametrize("use", USES)
def test_objects_of_earlier_runs_are_freed_after_a_broker_restart(client, use):
    before = living()
    with Broker() as b:
        use(client(b))
        queues = b._call(lambda instance: len(instance.broker.vhosts["/"].queues))
        for _ in range(3):
            b.restart()
        # The event loop's thread may still be busy with the broker that has just ended.
        end = time.monotonic() + 10
        while (found := living() - before)["Server"] > 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert found == {"Server": 1, "Instance": 1, "Broker": 1, "Vhost": 1, "LocalQueue": queues}


def test_injected_faults_do_not_keep_a_stopped_broker_in_memory(client):
    before = living()
    b = Broker().start()
    b.faults.nack(2)
    ready(client(b))
    b.restart()
    b.stop()
    assert living() == before


def test_tls_clients_are_closed_after_stop(client, tmp_path):
    authority = Authority(tmp_path)
    issued = authority.issue("server")
    context = ssl.create_default_context(cafile=authority.cafile)
    context.check_hostname = False
    before = living()
    b = Broker(
        listeners={"ssl": {"default": "127.0.0.1:0"}},
        ssl_options={"certfile": issued.certfile, "keyfile": issued.keyfile},
    ).start()
    port = next(each.port for each in b._host.listening if each.protocol == AMQPS)
    unacknowledged(client(b, tls=context, port=port))
    b.stop()
    assert living() == before
