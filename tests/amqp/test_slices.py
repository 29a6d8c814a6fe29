"""A client that sends many methods at once is served one slice of them per event loop iteration."""

import pytest

from amqpbroker.broker.slices import SHORT_SLICE_MS, SLICE_MS, SLICES
from amqpbroker.broker.system_exchanges.event_exchange import EventExchange
from amqpbroker.clock import ManualClock
from tests.harness import Wire, make_broker, method, published


@pytest.fixture
def broker(monkeypatch):
    """Return a broker that needs a millisecond to create anything, once it has a client."""
    clock = ManualClock()
    monkeypatch.setattr(EventExchange, "_emit", lambda *_, **__: clock.advance(1))
    return make_broker(clock)


@pytest.fixture
def client(broker):
    return Wire(broker).log_in()


def answers(client):
    """Return the number of methods answered in each event loop iteration."""
    counts = []
    while client.dirty:
        client.dirty = False
        data = b"".join(client.connection.collect())
        counts.append(data.count(b"\0\x32\0\x0b"))
    return counts


def declares(first, count):
    return b"".join([method("queue.declare", queue=f"q.{number:03}") for number in range(first, first + count)])


def test_declarations_sent_at_once_are_handled_in_slices(client):
    client.feed(declares(0, 100))
    counts = answers(client)
    assert sum(counts) == 100
    assert max(counts) <= SLICE_MS
    assert client.connection.reading


def test_input_during_a_slice_waits_for_the_next_iteration(client, broker):
    client.feed(declares(0, 100))
    client.feed(declares(100, 50) + method("queue.delete", queue="q.149"))
    assert sum(answers(client)) == 150
    assert list(broker.vhost("/").queues) == [f"q.{number:03}" for number in range(149)]


@pytest.mark.parametrize("size", [1, 7, 30, 1000])
def test_methods_are_handled_in_slices_however_the_input_is_split(client, broker, size):
    data = declares(0, 40) + published("q.007", b"a body") + declares(40, 10)
    counts = []
    for at in range(0, len(data), size):
        client.connection.feed(data[at : at + size])
        if at % 3 == 0:
            counts += answers(client)
    counts += answers(client)
    assert sum(counts) == 50
    assert broker.vhost("/").queues["q.007"].ready_count == 1


def test_other_clients_are_served_between_slices(client, broker):
    other = Wire(broker).log_in()
    client.feed(declares(0, 100))
    client.dirty = False
    client.connection.collect()
    assert 0 < len(broker.vhost("/").queues) < 20
    assert other.declare("mine") == "mine"
    assert sum(answers(client)) > 80


def test_slices_of_many_clients_are_shorter(broker):
    clients = [Wire(broker).log_in() for _ in range(3 * SLICES)]
    broker.sync()
    counts = []
    for number, each in enumerate(clients):
        before = len(broker.vhost("/").queues)
        each.feed(declares(100 * number, 50))
        counts.append(len(broker.vhost("/").queues) - before)
    assert counts == [SLICE_MS] * SLICES + [SHORT_SLICE_MS] * 2 * SLICES
    broker.sync()
    for each in clients:
        before = len(broker.vhost("/").queues)
        each.dirty = False
        each.connection.collect()
        counts.append(len(broker.vhost("/").queues) - before)
    assert counts == 2 * ([SLICE_MS] * SLICES + [SHORT_SLICE_MS] * 2 * SLICES)
    for each in clients:
        answers(each)
    assert len(broker.vhost("/").queues) == 50 * len(clients)


def test_channels_opened_at_once_are_opened_in_slices(client):
    client.feed(b"".join([method("channel.open", number) for number in range(2, 100)]))
    opened = []
    while client.dirty:
        client.dirty = False
        client.connection.collect()
        opened.append(len(client.connection.channels))
    assert opened[-1] == 99
    assert len(opened) > 10


def test_requests_of_a_client_that_does_not_read_are_handled_in_slices(client, broker):
    client.connection.set_writable(False)
    client.feed(declares(0, 100))
    while client.dirty:
        client.dirty = False
        assert client.connection.collect() == []
    assert len(broker.vhost("/").queues) == 100
    client.connection.set_writable(True)
    assert sum(answers(client)) == 100


def test_an_error_within_a_slice_ends_the_channel_only(client, broker):
    client.feed(
        declares(0, 20) + method("queue.delete", queue="q.000", if_empty=True) + method("basic.ack", delivery_tag=9)
    )
    client.feed(declares(20, 20))
    assert "channel.close" in [got.name for got in client.receive()]
    assert len(broker.vhost("/").queues) == 19


def test_connection_close_is_handled_after_all_earlier_slices(client, broker):
    client.feed(declares(0, 100) + method("connection.close", 0, reply_code=200, reply_text=""))
    assert client.receive()[-1].name == "connection.close-ok"
    assert len(broker.vhost("/").queues) == 100
    client.feed(b"more")
    client.connection.lost()
    assert not broker.sessions
