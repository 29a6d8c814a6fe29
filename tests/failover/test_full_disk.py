"""Brokers whose database has a full disk: publishers wait, and everything goes on by itself when there is room."""

import pytest

from amqpbroker.wire.values import longstr
from tests.disk import reason_against
from tests.failover.conftest import OneDatabase
from tests.seeds import sampled
from tests.server.test_full_disk import WINDOW, Publisher, check, everything, read

#: More messages than what the last file of the write-ahead log can take.
MOST = 3_000


@pytest.fixture
def server(request):
    if reason := reason_against():
        pytest.skip(reason)
    database = OneDatabase(disk_for=request.param)
    yield database
    database.primary.close()


def publish_until_blocked(publisher):
    while not publisher.told:
        assert publisher.sent < MOST, "the disk is not full at all"
        if len(publisher.outstanding()) < WINDOW or not publisher.hears():
            publisher.send()


@pytest.mark.parametrize(
    ("server", "kind"),
    sampled([("data", "classic"), ("wal", "classic"), ("data", "stream")], 1),
    indirect=["server"],
)
def test_publishers_wait_until_the_full_disk_of_the_database_has_free_space(server, brokers, kind):
    leader = brokers.settled()["/"]
    epochs = brokers.epochs()
    primary = server.primary
    with Publisher(leader.port(), {"x-queue-type": longstr(kind)}) as publisher:
        for _ in range(2 * WINDOW):
            publisher.send()
        while publisher.outstanding():
            publisher.hear()
        primary.disk.fill()
        publish_until_blocked(publisher)
        assert publisher.told == [("connection.blocked", "low on disk")]
        assert "No space left on device" in primary.log
        confirmed = len(publisher.confirmed)
        # Nothing is confirmed, and nobody takes over, for longer than the lease.
        assert not any(publisher.hears() for _ in range(5))
        assert len(publisher.confirmed) == confirmed
        primary.disk.free()
        if not primary.is_running:
            # The server ends if it cannot write its log; whatever started it starts it again.
            assert "PANIC" in primary.log
            primary.start()
        while publisher.told[-1][0] != "connection.unblocked" or publisher.outstanding():
            publisher.hear()
        for _ in range(WINDOW):
            publisher.send()
        while publisher.outstanding():
            publisher.hear()
        assert publisher.refused == set()
    assert brokers.epochs() == epochs
    leader.kill()
    numbers = (read if kind == "stream" else everything)(brokers.leader(leader).port())
    check(numbers, publisher)
    assert numbers == list(range(publisher.sent))
    assert "Traceback" not in brokers.logs


@pytest.mark.parametrize("server", ["data"], indirect=True)
def test_a_broker_takes_over_while_the_disk_of_the_database_is_full(server, brokers):
    leader = brokers.settled()["/"]
    other = next(broker for broker in brokers if broker is not leader)
    with Publisher(leader.port()) as publisher:
        for _ in range(3 * WINDOW):
            publisher.send()
        while publisher.outstanding():
            publisher.hear()
        server.primary.disk.fill()
        publish_until_blocked(publisher)
        leader.kill()
    assert brokers.leader() is other
    # Consumers get what is stored, and their acks wait in memory.
    check(everything(other.port()), publisher)
    with Publisher(other.port()) as following:
        publish_until_blocked(following)
        server.primary.disk.free()
        while following.outstanding():
            following.hear()
    assert everything(other.port()) == list(range(following.sent))
    assert "Traceback" not in other.log
