"""Vhosts that have a storage of their own, which a broker opens and closes while it serves others."""

import pytest

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.storage import Storage
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.store.definitions.definitions import VhostDefinition
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.log import StoreError
from amqpbroker.store.persistence import Persistence
from amqpbroker.store.store import MemoryStore
from tests.broker.batches.batching import batch_headers
from tests.broker.storing import DIRECTORY, StepCommitter
from tests.fault_definitions import FaultyDefinitions
from tests.fault_files import FaultyFiles
from tests.harness import Wire, lead_elsewhere


class Kept:
    """The stored data of one vhost, which outlives brokers."""

    def __init__(self, name="v"):
        self.definition = VhostDefinition(name)
        self.files = FaultyFiles()
        self.definitions = FaultyDefinitions()

    def opened(self, broker, committer=StepCommitter, gathers_definitions=False):
        """Open the vhost; return its storage and the committer."""
        journal = Journal(DIRECTORY, self.files)
        found = journal.recover()
        writing = committer(journal)
        store = Persistence(journal, writing, pytest.fail, broker.clock, gathers_definitions=gathers_definitions)
        self.definitions.watch(store.definitions_changed)
        storage = Storage(store, self.definitions, broker.config.compat.extensions)
        self.count = broker.open_vhost(self.definition, storage, found)
        return storage, writing


@pytest.fixture
def kept():
    return Kept()


def made_broker(**settings):
    broker = Broker(Config(**settings), ManualClock(1_000), MemoryStore())
    broker.users.permit_everything("guest", "v")
    broker.users.permit_everything("guest", "w")
    return broker


def published(client, writing, *bodies):
    """Publish persistent messages with confirms; return the answers once they are written."""
    client.call(1, "confirm.select")
    for body in bodies:
        client.publish("q", body, delivery_mode=2)
    client.receive()
    writing.finish()
    return [answer.name for answer in client.receive()]


def test_another_broker_serves_a_vhost_as_it_was_left(kept):
    first = made_broker()
    storage, writing = kept.opened(first)
    client = Wire(first).log_in(vhost="v")
    client.declare("q", durable=True)
    client.call(1, "exchange.declare", exchange="x", exchange_type="direct", durable=True)
    client.call(1, "queue.bind", queue="q", exchange="x", routing_key="k")
    assert published(client, writing, b"a", b"b") == ["basic.ack"]
    client.consume("q", no_ack=False)
    closed = first.close_vhost("v")
    assert client.closed() == (
        320,
        "CONNECTION_FORCED - another broker leads vhost 'v' now; connect again",
    )
    assert closed is storage
    storage.store.close()

    second = made_broker()
    kept.opened(second)
    assert kept.count == 2
    client = Wire(second).log_in(vhost="v")
    client.publish("k", b"c", exchange="x")
    got = [client.get("q") for _ in range(3)]
    assert [each.body for each in got] == [b"a", b"b", b"c"]
    assert [each.arguments["redelivered"] for each in got] == [True, True, False]


def test_a_broker_that_closed_a_vhost_knows_it_no_longer(kept):
    broker = made_broker()
    kept.opened(broker)
    client = Wire(broker).log_in(vhost="v")
    client.declare("q", durable=True)
    client.publish("q", b"transient")
    client.receive()
    broker.close_vhost("v")
    client.receive()
    assert (list(broker.vhosts), broker.gauges(), broker.queues()) == (["/"], (0, 0), [])
    assert broker.storages == [broker.storage]
    with pytest.raises(LookupError):
        broker.close_vhost("v")


def test_clients_of_other_vhosts_notice_nothing(kept):
    broker = made_broker()
    other = Wire(broker).log_in()
    other.declare("q")
    other.consume("q")
    kept.opened(broker)
    Wire(broker).log_in(vhost="v").declare("q", durable=True)
    broker.close_vhost("v")
    other.publish("q", b"on")
    assert [answer.name for answer in other.receive()] == ["basic.deliver"]


def test_a_confirm_waits_only_for_the_storage_of_its_own_vhost():
    broker = made_broker()
    (_, slow), (_, fast) = Kept("v").opened(broker), Kept("w").opened(broker)
    clients = [Wire(broker).log_in(vhost=vhost) for vhost in ("v", "w")]
    for client in clients:
        client.send(1, "queue.declare", queue="q", durable=True)
        client.send(1, "confirm.select")
        client.publish("q", b"m", delivery_mode=2)
        client.receive()
    fast.finish()
    assert [[answer.name for answer in client.receive()] for client in clients] == [[], ["basic.ack"]]
    slow.finish()
    assert [answer.name for answer in clients[0].receive()] == ["basic.ack"]


def test_ids_of_objects_are_those_of_the_storage(kept):
    broker = made_broker()
    storages = [kept.opened(broker)[0], Kept("w").opened(broker)[0]]
    for vhost in ("v", "w"):
        Wire(broker).log_in(vhost=vhost).declare("q", durable=True)
    assert [[holder.name for holder in storage.holders().values()] for storage in storages] == [["q"], ["q"]]
    assert storages[0].holders().keys() == storages[1].holders().keys()
    assert broker.storage.holders() == {}


def test_batches_are_recovered_in_the_storage_of_their_vhost(kept):
    headers = batch_headers("b", size=2)
    first = made_broker()
    storage, writing = kept.opened(first)
    client = Wire(first).log_in(vhost="v")
    client.declare("q", durable=True)
    client.publish("q", b"1", delivery_mode=2, headers=headers)
    client.receive()
    writing.finish()
    assert storage.batch_records.stored_count() > 0
    assert first.storage.batch_records.stored_count() == 0
    stored = storage.batch_records.stored_count()
    first.close_vhost("v").store.close()
    second = made_broker()
    again, _ = kept.opened(second)
    assert again.batch_records.stored_count() == stored


def test_the_restore_of_a_vhost_is_no_event(kept):
    first = made_broker()
    kept.opened(first)
    Wire(first).log_in(vhost="v").declare("q", durable=True)
    first.close_vhost("v").store.close()
    second = made_broker()
    observer = Wire(second).log_in()
    observer.declare("events")
    observer.call(1, "queue.bind", queue="events", exchange="amq.rabbitmq.event", routing_key="queue.#")
    observer.depth("events")
    kept.opened(second)
    second.publish_pending()
    assert observer.depth("events") == 0
    Wire(second).log_in(vhost="v").declare("r", durable=True)
    second.publish_pending()
    assert observer.depth("events") == 1


def test_counters_of_a_closed_storage_stay(kept):
    broker = made_broker()
    _, writing = kept.opened(broker)
    client = Wire(broker).log_in(vhost="v")
    client.declare("q", durable=True)
    published(client, writing, b"a", b"b", b"c")
    assert broker.store_counters() == (0, 3)
    broker.close_vhost("v")
    assert broker.store_counters() == (0, 3)


def test_a_storage_that_cannot_be_recovered_leaves_no_vhost(kept):
    broker = made_broker()

    class Damaged(MemoryStore):
        def restore(self, found, holders, lost=(), keepers=()):
            raise StoreError("damaged")

    with pytest.raises(StoreError, match="damaged"):
        broker.open_vhost(kept.definition, Storage(Damaged(), kept.definitions, True), None)
    assert (list(broker.vhosts), broker.storages) == (["/"], [broker.storage])
    kept.opened(broker)
    assert list(broker.vhosts) == ["/", "v"]


def test_nobody_waits_for_a_storage_that_is_closed(kept):
    class Waiter:
        told = 0

        def synced(self):
            self.told += 1

    broker, waiter = made_broker(), Waiter()
    storage, _ = kept.opened(broker)
    storage.await_sync(waiter)
    broker.close_vhost("v")
    assert (waiter.told, storage.is_closed, storage.awaiting_sync) == (1, True, {})
    lead_elsewhere(broker, "w")
    again, _ = Kept("w").opened(broker)
    again.await_sync(waiter)
    broker.remove_vhost("w")
    assert (waiter.told, again.is_closed) == (2, True)
