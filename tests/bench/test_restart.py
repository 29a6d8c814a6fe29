"""A broker that is killed and restarted while clients reconnect: this one, with a small backlog."""

import pytest

from tests.bench import restart
from tests.bench.restart import Backlog, restarted
from tests.bench.restartable import own_broker
from tests.load.client import LoadClient

BACKLOG = Backlog(messages=400, queues=4, publishers=3, consumers=2)


@pytest.mark.alone
def test_clients_are_served_again_and_messages_are_restored(monkeypatch):
    monkeypatch.setattr(restart, "AFTER_S", 0.2)
    with own_broker() as broker:
        found = restarted(broker, BACKLOG)
        with LoadClient(broker.port) as client:
            left = client.depth("bench.00003")
    assert 0 < found.first_s <= found.all_s
    assert found.first_s < found.received_s
    assert 0 < found.p99_ms <= found.longest_ms
    assert found.cpu_s > 0
    assert found.memory_bytes > 10_000_000
    assert left < 200


def test_client_that_is_not_served_again_is_reported(monkeypatch):
    monkeypatch.setattr(restart, "RECONNECT_WITHIN_S", 0.0)
    said = "1 publishers and 0 consumers had not logged in again, and 2 consumers had no message"
    with pytest.raises(TimeoutError, match=said):
        restart._wait_until_all_are_set([0, 5], [5, 5], [0, 0])


def test_bench_broker_that_was_never_started_can_be_killed():
    with own_broker() as broker:
        assert broker.port
