"""A broker that has followed a vhost with many messages takes it over by reading only what came last."""

import re
import time
import urllib.error
import urllib.request

import pika
import pytest

from tests.failover.cluster import PATIENCE_S, Brokers

LEASE_S = 1.5
MESSAGES = 100_000
LATE = 100
PERSISTENT = pika.BasicProperties(delivery_mode=2)
SERVED = re.compile(r"serves vhost 'v', with (\d+) messages, and had followed (\d+) of its (\d+) batches")


@pytest.fixture
def brokers(server, tmp_path):
    server.primary.execute("DROP SCHEMA IF EXISTS amqpbroker CASCADE")
    made = Brokers(tmp_path, server, 2, LEASE_S, settings=("log.console.level=info",))
    yield made
    made.close()


def makes_vhost(broker):
    """Return whether a vhost was created: the answer is 503 while no broker can create it."""
    url = f"http://127.0.0.1:{broker.port('http')}/api/vhosts/v"
    request = urllib.request.Request(url, b"{}", method="PUT")
    request.add_header("authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=")
    try:
        urllib.request.urlopen(request, timeout=PATIENCE_S).close()
    except urllib.error.HTTPError as error:
        if error.code != 503:
            raise
        return False
    return True


def channel(broker):
    """Return a channel in the vhost, after as many attempts as a client makes that reconnects."""
    address = pika.ConnectionParameters(
        "127.0.0.1", broker.port(), "v", heartbeat=0, connection_attempts=40, retry_delay=0.25
    )
    return pika.BlockingConnection(address).channel()


def publish(broker, numbers):
    """Publish messages, and wait for the confirm of the last one, which comes after all are stored."""
    there = channel(broker)
    there.queue_declare("q", durable=True)
    *most, last = numbers
    for number in most:
        there.basic_publish("", "q", b"%d" % number, PERSISTENT)
    there.confirm_delivery()
    there.basic_publish("", "q", b"%d" % last, PERSISTENT)
    there.connection.close()


def received(broker, count):
    there = channel(broker)
    found = []
    for _, _, body in there.consume("q", auto_ack=True, inactivity_timeout=PATIENCE_S):
        assert body is not None, len(found)
        found.append(int(body))
        if len(found) == count:
            break
    there.connection.close()
    return found


def until(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def leader_of(server, brokers):
    rows = server.primary.execute(
        "SELECT holder FROM amqpbroker.vhost_log JOIN amqpbroker.leadership ON log = 'v' || number"
        " WHERE vhost = 'v' AND NOT released"
    )
    return next((broker for broker in brokers if rows == [(f"{broker.name}@localhost",)]), None)


def lag_s(server, broker):
    rows = server.primary.execute(f"SELECT lag FROM amqpbroker.brokers WHERE node = '{broker.name}@localhost'")
    return rows[0][0] if rows else None


def test_a_takeover_of_a_followed_vhost_reads_only_what_came_last(server, brokers):
    a, b = brokers
    b.port()
    until(lambda: makes_vhost(a))
    until(lambda: leader_of(server, brokers) is not None)
    publish(a, range(MESSAGES))
    leader = leader_of(server, brokers)
    standby = b if leader is a else a
    reported_s = time.monotonic() + LEASE_S
    until(lambda: time.monotonic() > reported_s and (lag_s(server, standby) or PATIENCE_S) < 2 * LEASE_S)
    publish(standby, range(MESSAGES, MESSAGES + LATE))
    leader.kill()
    until(lambda: SERVED.search(standby.log))
    messages, followed, batches = map(int, SERVED.findall(standby.log)[-1])
    assert messages == MESSAGES + LATE
    assert 0.9 * batches < followed <= batches
    assert "read again" not in standby.log
    assert received(standby, MESSAGES + LATE) == list(range(MESSAGES + LATE))
