"""A database that is away for long: publishers wait, and go on by themselves."""

import time

import pytest

from tests.failover.operating import Publisher, asked, bodies, until

VHOSTS = ("/", "v1", "v2", "v3")
OUTAGE_S = 60.0
#: Time from the outage's end in which all publishers go on; sessions try again every three seconds.
CONFIRMED_S = 20.0


@pytest.fixture
def publishers(brokers):
    """A publisher for each vhost, at either broker."""
    first = brokers.all[0]
    for vhost in VHOSTS[1:]:
        assert asked(first, "PUT", f"vhosts/{vhost}", {})[0] == 201
    brokers.settled()
    made = [Publisher(vhost, brokers.all[number % 2]) for number, vhost in enumerate(VHOSTS)]
    for each in made:
        each.start()
    yield made
    for each in made:
        each.stop()


def counts(publishers):
    return [len(each.confirmed) for each in publishers]


def test_publishers_wait_while_the_database_is_away_for_a_minute(server, brokers, publishers):
    until(lambda: min(counts(publishers)) > 20)
    processes = [broker.process_id for broker in brokers]
    server.primary.stop()
    time.sleep(1)
    before = counts(publishers)
    time.sleep(OUTAGE_S - 1)
    assert counts(publishers) == before
    assert all("Publishers are blocked" in broker.log for broker in brokers)
    assert [asked(broker, "GET", "health/checks/is-in-service")[0] for broker in brokers] == [503, 503]
    # Nobody else leads a vhost, and nobody believes that.
    assert "its connections are closed" not in brokers.logs
    server.primary.start()
    until(lambda: all(now > then + 20 for now, then in zip(counts(publishers), before, strict=True)), CONFIRMED_S)
    assert [broker.process_id for broker in brokers] == processes
    for each in publishers:
        each.stop()
        # Another broker may have taken the vhost over, if the processors are busy.
        assert {code for code, _ in each.closed} <= {320}
    for each in publishers:
        assert sorted(set(bodies(brokers.all[0], each.vhost))) == each.confirmed
    assert "Traceback" not in brokers.logs
