"""Brokers whose database waits for a standby that does not answer: publishers wait, and nothing is restarted."""

import time

import pytest

from amqpbroker.cluster.leadership.sessions import DEADLINE_S
from tests.failover.cluster import LEASE_S, Brokers, Databases
from tests.server.test_full_disk import WINDOW, Publisher, everything


@pytest.fixture
def databases():
    made = Databases(standbys=1)
    yield made
    made.close()


@pytest.fixture
def brokers(databases, tmp_path):
    made = Brokers(tmp_path, databases, 2)
    yield made
    made.close()


def test_publishers_wait_while_no_standby_answers_for_longer_than_a_call(databases, brokers):
    leader = brokers.settled()["/"]
    epochs = brokers.epochs()
    with Publisher(leader.port()) as publisher:
        publisher.send()
        publisher.hear()
        databases.servers[1].pause()
        end = time.monotonic() + DEADLINE_S + LEASE_S
        for _ in range(WINDOW):
            publisher.send()
        while time.monotonic() < end:
            publisher.hears()
        assert len(publisher.confirmed) == 1
        # The session whose commit waits was ended when the call was repeated.
        sessions = "SELECT application_name FROM pg_stat_activity WHERE starts_with(application_name, 'amqpbroker ')"
        found = [name for (name,) in databases.primary.execute(sessions)]
        assert len(found) == len(set(found)), found
        databases.servers[1].resume()
        while publisher.outstanding():
            publisher.hear()
        assert publisher.refused == set()
    assert brokers.epochs() == epochs
    assert everything(leader.port()) == list(range(publisher.sent))
