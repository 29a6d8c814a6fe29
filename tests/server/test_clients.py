"""Admission and shutdown of clients. Their protocol handlers are stand-ins, so that a test says when they end."""

import asyncio
import logging

import pytest

from amqpbroker.amqp.peer import encryption
from amqpbroker.amqp.state import HANDING_OVER
from amqpbroker.broker.users.users import User
from amqpbroker.clock import ManualClock
from amqpbroker.server.clients import Clients
from amqpbroker.server.tick import Tick
from tests.harness import lead_elsewhere, make_broker, method
from tests.server.stand_ins import Connection, Transport

STOP_MS = 3_000
GUEST = User("guest")


class Clientele:
    """Clients of whom `most` may be there."""

    def __init__(self, most=2):
        self.clock = ManualClock()
        tick = Tick(lambda _: None, lambda: None, pytest.fail)
        self.clients = Clients(make_broker(), self.clock, tick, asyncio.get_running_loop(), most)
        self.clients.connect = lambda peer, client: Connection(peer, client.on_dirty)

    def come(self):
        """One more: its transport, and the protocol that it was given."""
        transport, protocol = Transport(), self.clients.come()
        protocol.connection_made(transport)
        return transport, protocol

    async def stop(self):
        """Close, and return the task that drains."""
        self.clients.close()
        drained = asyncio.create_task(self.clients.drain(STOP_MS))
        await asyncio.sleep(0)
        return drained


async def test_clients_are_listed_in_order_of_connection():
    clientele = Clientele(most=3)
    protocols = [clientele.come()[1] for _ in range(3)]
    assert clientele.clients.there() == protocols
    protocols[1].connection_lost(None)
    assert clientele.clients.there() == [protocols[0], protocols[2]]


async def test_clients_above_the_limit_are_dropped_until_another_disconnects(caplog):
    clientele = Clientele(most=2)
    first, _ = clientele.come(), clientele.come()
    refused = [clientele.come()[0] for _ in range(3)]
    assert [transport.aborted for transport in refused] == [True] * 3
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "refusing clients: 2 are connected, and no more files may be open"
    ]
    first[1].connection_lost(None)
    assert not clientele.come()[0].aborted


@pytest.mark.parametrize(("coming", "full"), [(0, False), (1, False), (2, True)])
async def test_clients_in_a_tls_handshake_count_towards_the_limit(coming, full):
    clientele = Clientele(most=3)
    clientele.come()
    assert clientele.clients.is_full(coming) == full


class Relaying:
    """Stands in for cluster.relaying.relaying.Relaying: relayed connections have so many files open."""

    def __init__(self, files=0):
        self.files = files
        self.handed = []
        self.waiting = []
        self.closed = False

    def hand_over(self, client, peer, handover):
        self.handed.append((client, peer.host, handover))

    def wait(self, handover):
        self.waiting.append(handover)

    async def close(self):
        self.closed = True


@pytest.mark.parametrize(("files", "full"), [(2, False), (3, True)])
async def test_files_of_relayed_connections_count_towards_the_limit(files, full):
    clientele = Clientele(most=4)
    clientele.clients.relaying = Relaying(files)
    clientele.come()
    assert clientele.clients.is_full() == full


async def test_relayed_connections_end_when_the_broker_stops():
    clientele = Clientele()
    relaying = clientele.clients.relaying = Relaying()
    await (await clientele.stop())
    assert relaying.closed


async def test_a_relayed_client_has_the_address_and_the_tls_parameters_of_its_greeting():
    clientele = Clientele()
    tls = encryption("TLS_AES_256_GCM_SHA384", "TLSv1.3")
    clientele.clients.come_relayed("10.0.0.7", 4711, tls).connection_made(Transport())
    peer = clientele.clients.there()[0]._connection.peer
    assert (peer.host, peer.port, peer.local_host, peer.tls, peer.relayed) == ("10.0.0.7", 4711, "10.0.0.1", tls, True)


@pytest.mark.parametrize(
    ("come", "handed"),
    [
        (lambda clients: clients.come(), 1),
        (lambda clients: clients.come_relayed("10.0.0.7", 4711, None), 0),
        (lambda clients: clients.come_relayed("10.0.0.7", 4711, None, GUEST), 0),
        (lambda clients: clients.come_inside(GUEST), 1),
    ],
)
async def test_connections_that_another_broker_relays_are_not_handed_over(come, handed):
    broker = make_broker(loopback_users=frozenset())
    lead_elsewhere(broker, "x")
    tick = Tick(lambda _: None, lambda: None, pytest.fail)
    clients = Clients(broker, ManualClock(), tick, asyncio.get_running_loop(), 2)
    relaying = clients.relaying = Relaying()
    client = come(clients)
    client.connection_made(Transport())
    mechanism = "PLAIN" if client._connection.peer.user is None else "EXTERNAL"
    login = {"client_properties": {}, "mechanism": mechanism, "response": b"\0guest\0guest", "locale": "en_US"}
    for data in (
        b"AMQP\0\0\x09\x01",
        method("connection.start-ok", 0, **login),
        method("connection.tune-ok", 0, channel_max=10, frame_max=4096, heartbeat=0),
        method("connection.open", 0, virtual_host="x"),
    ):
        client._connection.feed(data)
    assert len(relaying.handed) == handed
    assert len(relaying.waiting) == 1 - handed
    assert client._connection.status.state is HANDING_OVER


async def test_internal_clients_have_consecutive_numbers_as_ports():
    clients = Clientele().clients
    for _ in range(2):
        clients.come_inside(GUEST).connection_made(Transport())
    assert [client._connection.peer.port for client in clients.there()] == [1, 2]
    assert clients.there()[0]._connection.peer.user is GUEST


async def test_new_clients_are_dropped_after_closing():
    clientele = Clientele()
    clientele.clients.close()
    assert clientele.come()[0].aborted


async def test_drain_without_clients_returns_at_once():
    clientele = Clientele()
    await (await clientele.stop())


async def test_all_clients_are_shut_down_and_waited_for():
    clientele = Clientele()
    came = [clientele.come() for _ in range(2)]
    told = [protocol._connection for _, protocol in came]
    drained = await clientele.stop()
    assert [connection.calls[-1:] for connection in told] == [[("shutdown",)]] * 2
    came[0][1].connection_lost(None)
    await asyncio.sleep(0)
    assert (clientele.clients.gone, drained.done()) == (False, False)
    came[1][1].connection_lost(None)
    await drained
    assert clientele.clients.gone
    assert [transport.aborted for transport, _ in came] == [False, False]


async def test_clients_that_do_not_disconnect_in_time_are_dropped():
    clientele = Clientele()
    transport, _ = clientele.come()
    drained = await clientele.stop()
    clientele.clock.advance(STOP_MS - 1)
    await asyncio.sleep(0)
    assert not transport.aborted
    clientele.clock.advance(1)
    await drained
    assert transport.aborted


async def test_all_clients_are_dropped_at_once_when_waiting_is_stopped():
    clientele = Clientele()
    transport, _ = clientele.come()
    drained = await clientele.stop()
    clientele.clients.stop_waiting()
    await drained
    assert transport.aborted
