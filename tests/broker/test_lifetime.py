"""Entries are released when their owner ends.

In compiled builds the garbage collector does not see entries. Objects that an unreleased entry refers to would never be
freed; see Entry.
"""

import gc
from collections import Counter

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.compat import COMPATS
from amqpbroker.config import Config
from amqpbroker.config.bounds import Bounds
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import message, table
from tests.broker.storing import LaterCommitter, Node
from tests.harness import Wire, make_broker

KINDS = (Broker, Vhost, LocalQueue)

QUEUES = {
    "classic": {},
    "quorum": {"queue_type": "quorum"},
    "strict": {"queue_type": "quorum", "delivery_limit": -1},
    "priorities": {"max_priority": 5},
    "expiring": {"message_ttl": 600_000, "expires": 600_000},
    "dead-lettering": {"message_ttl": 0, "dead_letter_exchange": "", "dead_letter_routing_key": "d"},
    "delaying": {"queue_type": "quorum", "delayed_retry_type": "all", "delayed_retry_min": 600_000},
    "full": {"max_length": 2, "dead_letter_exchange": "", "dead_letter_routing_key": "d"},
}


@pytest.fixture
def living():
    """Yield living(), which counts objects without the garbage collector; living(True) runs the collector first.

    Objects that existed before the test are frozen: they are neither counted nor collected, which would take long.
    """

    def living(collected=False):
        while collected and gc.collect():
            pass  # an object unknown to the collector holds others until it is freed
        return Counter(type(each).__name__ for each in gc.get_objects() if type(each) in KINDS)

    gc.freeze()
    gc.disable()
    yield living
    gc.enable()


@pytest.fixture(params=QUEUES)
def arguments(request):
    return table(**QUEUES[request.param])


@pytest.fixture
def compat(arguments, monkeypatch):
    """Configure a release in which these arguments have a meaning and the queue d may be transient."""
    series = "4.3" if "x-delayed-retry-type" in arguments else "4.0"
    compat = COMPATS[series].configured({"transient_nonexcl_queues": True})
    monkeypatch.setattr(Node, "config", Config(compat=compat))
    return compat


def fill(client, count=5):
    """Fill the queue q with messages that are ready, unacknowledged and returned."""
    for number in range(count):
        client.publish("q", b"%d" % number, delivery_mode=2, priority=number % 5)
    client.call(1, "basic.qos", prefetch_count=2)
    client.consume("q")
    for _ in range(2):
        client.send(1, "basic.get", queue="q")
    got = client.receive()[0]
    if got.name == "basic.get-ok":
        client.send(1, "basic.nack", delivery_tag=got.arguments["delivery_tag"], requeue=True)
        client.receive()


def test_deleted_queue_is_freed(living, arguments, compat):
    client = Wire(make_broker(compat=compat)).log_in()
    client.declare("d")
    before = living()
    client.declare("q", durable=True, arguments=arguments)
    fill(client)
    client.send(1, "basic.recover", requeue=True)
    client.receive()
    client.call(1, "queue.purge", queue="d")
    client.send(1, "queue.delete", queue="q")
    client.receive()
    client.connection.lost()  # the connection caches the route of its last publish
    client.connection = None
    assert living() == before


def test_closed_connection_releases_its_messages(living, arguments, compat):
    broker = make_broker(compat=compat)
    before = living()
    client, other = Wire(broker).log_in(), Wire(broker).log_in()
    client.declare("d")
    client.declare("q", durable=True, arguments=arguments)
    fill(client)
    client.call(1, "tx.select")
    client.send(1, "basic.ack", delivery_tag=1)
    client.receive()
    for queue in ("q", "d"):
        other.send(1, "queue.delete", queue=queue)
        other.receive()
    assert living() - before
    client.connection.lost()
    client.connection = None
    assert living() == before


def test_deleted_vhost_is_freed(living, arguments, compat):
    broker = make_broker(compat=compat)
    before = living()
    broker.add_vhost("v")
    broker.users.set_permissions("guest", "v", ".*", ".*", ".*")
    client = Wire(broker).log_in(vhost="v")
    client.declare("d")
    client.declare("q", durable=True, arguments=arguments)
    client.call(1, "queue.bind", queue="q", exchange="amq.headers", routing_key="")
    client.consume("amq.rabbitmq.reply-to", "r", no_ack=True)
    fill(client)
    delayed = {"x-delayed-type": longstr("direct")}
    client.call(1, "exchange.declare", exchange="e", exchange_type="x-delayed-message", arguments=delayed)
    client.publish("q", exchange="e", headers={"x-delay": Field("I", 600_000)})
    client.turn()
    broker.delete_vhost("v")
    client.connection.lost()
    client.connection = None
    assert living() == before


@pytest.fixture
def node(arguments, compat):
    return Node(committer=LaterCommitter, q=arguments, d={})


def test_deleted_stored_queue_is_freed(living, node):
    """The queue is freed once it is written; until then, gathered operations are pending."""
    queue = node.broker.vhosts["/"].queues["q"]
    for number in range(5000):  # pages leave memory once they are written
        queue.publish(message(b"%d" % number))
        made = message(b"persistent")
        made.persistent = True
        queue.publish(made)
    before = living()
    queue = None
    node.broker.vhosts["/"].delete_queue(node.broker.vhosts["/"].queues["q"])
    node.clock.advance(0)
    for _ in range(3):
        node.broker.sync()
        node.committer.finish()
    assert living() == before - Counter(LocalQueue=1)


@pytest.mark.parametrize("written", [True, False])
def test_ended_broker_is_freed(living, arguments, compat, written):
    before = living()
    node = Node(committer=LaterCommitter, q=arguments, d={})
    client = node.client()
    fill(client, 5000)
    delayed = {"x-delayed-type": longstr("direct")}
    client.call(1, "exchange.declare", exchange="e", durable=True, exchange_type="x-delayed-message", arguments=delayed)
    client.publish("q", exchange="e", headers={"x-delay": Field("I", 600_000)}, delivery_mode=2)
    client.turn()
    if written:
        node.broker.sync()
        node.committer.finish()
    client.connection.lost()
    node.committer.finish()
    node.persistence.close()
    node.broker.discard()
    client = node = None
    assert living(True) == before


def test_content_of_an_ended_broker_is_freed_at_once(living, arguments, compat):
    """The broker itself is still referenced and the collector does not run, but the broker is empty."""
    before = living()["LocalQueue"]
    broker = make_broker(compat=compat)
    client = Wire(broker).log_in()
    client.declare("d")
    client.declare("q", durable=True, arguments=arguments)
    fill(client)
    client.connection.lost()
    client = None
    broker.discard()
    assert living()["LocalQueue"] == before


def test_a_broker_that_ends_while_it_frees_purged_messages_is_freed(living):
    before = living()
    broker = make_broker(bounds=Bounds(deferred_free=1))
    client = Wire(broker).log_in()
    client.declare("q")
    fill(client)
    client.call(1, "queue.purge", queue="q")
    client.connection.lost()
    broker.discard()
    client = broker = None
    assert living(True) == before
