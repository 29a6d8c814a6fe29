"""A broker at work: what it recovers, how it ends, and what it does when the store fails."""

import asyncio
from pathlib import Path

import pytest

from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.server.data import Data, on_disk
from amqpbroker.server.service import Service
from amqpbroker.store.committer import InlineCommitter
from tests.fault_definitions import FaultyDefinitions
from tests.fault_files import FaultyFiles
from tests.harness import Wire
from tests.server.stand_ins import Connection, Transport

STOP_MS = 3_000


class Machine:
    """Files that outlive a service. failures: how many times one has reported that its store failed."""

    def __init__(self):
        self.files = FaultyFiles()
        self.definitions = FaultyDefinitions()
        self.clock, self.own_clock = ManualClock(), ManualClock()
        self.failures = 0

    def start(self, in_memory=False):
        config = Config()
        storage = Data(FaultyDefinitions())
        if not in_memory:
            storage, _ = on_disk(config, Path("/data"), self.files, self.definitions)
        loop = asyncio.get_running_loop()
        return Service(config, self.clock, self.own_clock, loop, storage, InlineCommitter, 2, self._on_failure)

    def _on_failure(self):
        self.failures += 1


@pytest.fixture
def machine():
    return Machine()


def come(service):
    """Connect a client, whose transport is returned."""
    service.clients.connect = lambda peer, client: Connection(peer, client.on_dirty)
    transport, client = Transport(), service.clients.come()
    client.connection_made(transport)
    return transport, client


def publish(service, *bodies):
    """Publish persistent messages to the queue q. Returns the client."""
    client = Wire(service.broker).log_in()
    client.declare("q", durable=True)
    for body in bodies:
        client.publish("q", body, delivery_mode=2)
    return client


async def test_persistent_messages_are_recovered_by_the_next_service(machine, caplog):
    caplog.set_level("INFO", "amqpbroker.server")
    first = machine.start()
    publish(first, b"a", b"b")
    await first.end(STOP_MS)
    second = machine.start()
    assert (first.recovered, second.recovered) == (0, 2)
    assert second.broker.vhosts["/"].queues["q"].ready_count == 2
    assert [record.getMessage() for record in caplog.records] == ["2 messages recovered"]


async def test_messages_in_memory_are_lost_when_the_service_ends(machine):
    first = machine.start(in_memory=True)
    publish(first, b"a")
    await first.end(STOP_MS)
    assert machine.start(in_memory=True).recovered == 0


async def test_stopping_service_waits_until_its_clients_have_closed(machine):
    service = machine.start()
    _, client = come(service)
    ending = asyncio.create_task(service.end(STOP_MS))
    await asyncio.sleep(0)
    assert come(service)[0].aborted, "a client came while the broker stopped"
    assert client._connection.calls == [("stop_deliveries",), ("shutdown",)]
    assert not ending.done()
    client.connection_lost(None)
    await ending


async def test_stop_timeout_of_clients_uses_the_clock_of_the_sockets(machine):
    service = machine.start()
    transport, client = come(service)
    ending = asyncio.create_task(service.end(STOP_MS))
    await asyncio.sleep(0)
    machine.clock.advance(2 * STOP_MS)
    await asyncio.sleep(0)
    assert not transport.aborted
    machine.own_clock.advance(STOP_MS)
    await asyncio.sleep(0)
    assert transport.aborted
    client.connection_lost(None)
    await ending


async def test_no_timer_fires_after_the_service_has_ended(machine):
    service = machine.start()
    await service.end(STOP_MS)
    assert (machine.clock.on_earlier, machine.own_clock.on_earlier) == (None, None)


async def test_store_failure_stops_the_service_and_confirms_nothing(machine, caplog):
    service = machine.start()
    client = publish(service, b"a")
    come(service)
    machine.files.fail_sync = machine.files.syncs + 1
    client.call(1, "confirm.select")
    client.publish("q", b"b", delivery_mode=2)
    service.tick.run()
    assert machine.failures == 1
    assert isinstance(service.failure, OSError)
    assert "the store failed; the broker stops" in caplog.text
    assert client.receive() == [], "it was confirmed"
    assert come(service)[0].aborted, "a client came after the failure"
    opened = dict(machine.files.open_files)
    await service.end(STOP_MS)  # nobody is waited for
    assert machine.files.open_files == opened, "the store was closed"
