"""Brokers that share the vhosts of one database: clients and requests at any of them, and the death of one."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter

import pika
import pytest

from tests.failover.cluster import Brokers

LEASE_S = 1.5
VHOSTS = [f"v{number}" for number in range(6)]
BODIES = [b"%d" % number for number in range(20)]
PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.fixture
def brokers(server, tmp_path):
    server.primary.execute("DROP SCHEMA IF EXISTS amqpbroker CASCADE")
    made = Brokers(tmp_path, server, 3, LEASE_S, settings=("store.shared=true",))
    yield made
    made.close()


def api(broker, method, path, body=None):
    """Return the answer of a broker's management API, once it answers with success."""
    url = f"http://127.0.0.1:{broker.port('http')}/api/{path}"
    request = urllib.request.Request(url, None if body is None else json.dumps(body).encode(), method=method)
    request.add_header("authorization", "Basic Z3Vlc3Q6Z3Vlc3Q=")
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=20) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def channel(broker, vhost):
    """Return a channel in a vhost, after as many attempts as a client makes that reconnects."""
    address = pika.ConnectionParameters("127.0.0.1", broker.port(), vhost, connection_attempts=40, retry_delay=0.25)
    return pika.BlockingConnection(address).channel()


def publish(broker, vhost):
    there = channel(broker, vhost)
    there.queue_declare("q", durable=True)
    there.confirm_delivery()
    for body in BODIES:
        there.basic_publish("", "q", body, PERSISTENT)
    there.connection.close()


def received(broker, vhost):
    there = channel(broker, vhost)
    got = []
    while (body := there.basic_get("q", auto_ack=True)[2]) is not None:
        got.append(body)
    there.connection.close()
    return got


def leaders(server):
    rows = server.primary.execute(
        "SELECT vhost, holder FROM amqpbroker.vhost_log JOIN amqpbroker.leadership"
        " ON log = 'v' || number WHERE NOT released"
    )
    return dict(rows)


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_vhosts_are_spread_and_reached_at_any_broker_and_survive_the_death_of_one(server, brokers):
    a, b, c = brokers
    for number, vhost in enumerate(VHOSTS):
        api(brokers.all[number % 3], "PUT", f"vhosts/{vhost}", {})
    until(lambda: leaders(server).keys() >= set(VHOSTS))
    assert sorted(Counter(leaders(server).values()).values()) in ([2, 2, 3], [1, 3, 3])
    for number, vhost in enumerate(VHOSTS):
        publish(brokers.all[number % 3], vhost)
    for broker in brokers:
        found = {row["vhost"]: row["messages"] for row in api(broker, "GET", "queues")}
        assert found == dict.fromkeys(VHOSTS, len(BODIES))
        assert api(broker, "GET", "overview")["queue_totals"]["messages"] == len(VHOSTS) * len(BODIES)

    api(a, "PUT", "users/ann", {"password": "secret", "tags": "administrator"})
    dead = a.name
    a.kill()
    for number, vhost in enumerate(VHOSTS):
        assert received((b, c)[number % 2], vhost) == BODIES
    assert f"{dead}@localhost" not in leaders(server).values()
    assert {row["name"] for row in api(c, "GET", "users")} == {"guest", "ann"}

    api(b, "DELETE", "vhosts/v0")
    until(lambda: "v0" not in leaders(server))
    assert b.stop() == 0
    for vhost in VHOSTS[1:]:
        publish(c, vhost)
    assert set(leaders(server).values()) == {f"{c.name}@localhost"}
    brokers.start_missing()
    until(lambda: len(set(leaders(server).values())) == 3)
    for number, vhost in enumerate(VHOSTS[1:]):
        assert received(brokers.all[number % 3], vhost) == BODIES


def test_publishers_wait_while_the_database_is_away_and_vhosts_stay_or_move(server, brokers):
    for broker in brokers:
        broker.port()
    for vhost in VHOSTS:
        api(brokers.all[0], "PUT", f"vhosts/{vhost}", {})
    until(lambda: leaders(server).keys() >= set(VHOSTS))
    states = []
    there = channel(brokers.all[0], "v1")
    there.queue_declare("q", durable=True)
    there.confirm_delivery()
    there.connection.add_on_connection_blocked_callback(lambda *_: states.append("blocked"))
    server.primary.stop()
    returning = threading.Timer(3.0, server.primary.start)
    returning.start()
    try:
        there.basic_publish("", "q", b"1", PERSISTENT)
    except pika.exceptions.AMQPError:
        # The leader was replaced meanwhile, so that nothing was confirmed.
        states.append("closed")
    returning.join()
    if there.connection.is_open:
        there.connection.close()
    assert states or received(brokers.all[1], "v1") == [b"1"]
    for number, vhost in enumerate(VHOSTS):
        publish(brokers.all[number % 3], vhost)
        assert received(brokers.all[(number + 1) % 3], vhost)[-len(BODIES) :] == BODIES


def test_a_broker_that_shares_nothing_does_not_start_with_a_shared_database(server, brokers, tmp_path):
    for broker in brokers:
        broker.port()
    until(lambda: leaders(server) != {})
    for broker in brokers:
        broker.kill()
    other = Brokers(tmp_path / "other", server, 1, LEASE_S)
    until(lambda: not other.all[0].is_running)
    assert "brokers share the vhosts of this database" in other.all[0].log
    other.close()
