"""Several vhosts of one database: clients and requests at any broker, and the death of one."""

import threading
import urllib.request
from collections import Counter

import pika
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.crash import http_api
from tests.failover.cluster import PATIENCE_S, Brokers
from tests.failover.conftest import LEASE_S
from tests.failover.test_takeover import PERSISTENT, bodies, channel_of, publish, until

VHOSTS = [f"v{number}" for number in range(6)]
NUMBERS = list(range(20))


@pytest.fixture
def brokers(server, tmp_path):
    server.primary.execute("DROP SCHEMA IF EXISTS amqpbroker CASCADE")
    made = Brokers(tmp_path, server, 3, LEASE_S)
    yield made
    made.close()


def ask(broker, method, path, body=None):
    """Return the answer of a broker's management API."""
    return http_api.call(broker.port("http"), method, f"/api/{path}", body)


def metrics_of(broker):
    """Return the metrics without labels, by their names."""
    with urllib.request.urlopen(f"http://127.0.0.1:{broker.port('http/prometheus')}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
        return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def fill(broker, vhost):
    """Declare a queue and publish to it, at a broker that may have to wait for the vhost's leader."""
    with channel_of(broker, vhost) as channel:
        channel.queue_declare("q", durable=True)
        publish(channel, *NUMBERS)


def test_vhosts_are_spread_and_reached_at_any_broker_and_survive_the_death_of_one(brokers):
    a, b, c = brokers
    brokers.settled()
    for number, vhost in enumerate(VHOSTS):
        ask(brokers.all[number % 3], "PUT", f"vhosts/{vhost}", {})
    leaders = brokers.settled()
    # One of them also leads the definitions of all vhosts.
    assert sorted(Counter(leaders.values()).values()) in ([2, 2, 3], [1, 3, 3])
    for number, vhost in enumerate(VHOSTS):
        fill(brokers.all[number % 3], vhost)
    for broker in brokers:
        found = {row["vhost"]: row["messages"] for row in ask(broker, "GET", "queues")}
        assert found == dict.fromkeys(VHOSTS, len(NUMBERS))
        assert ask(broker, "GET", "overview")["queue_totals"]["messages"] == len(VHOSTS) * len(NUMBERS)

    ask(a, "PUT", "users/ann", {"password": "secret", "tags": "administrator"})
    a.kill()
    leaders = brokers.settled()
    assert set(leaders.values()) == {b, c}
    for number, vhost in enumerate(VHOSTS):
        assert bodies((b, c)[number % 2], vhost) == NUMBERS
    assert {row["name"] for row in ask(c, "GET", "users")} == {"guest", "ann"}

    ask(b, "DELETE", "vhosts/v0")
    until(lambda: "v0" not in brokers.settled())
    assert b.stop() == 0
    for vhost in VHOSTS[1:]:
        fill(c, vhost)
    assert set(brokers.settled().values()) == {c}
    brokers.start_missing()
    leaders = brokers.settled()
    assert set(leaders.values()) == {a, b, c}
    for number, vhost in enumerate(VHOSTS[1:]):
        assert bodies(brokers.all[number % 3], vhost) == NUMBERS


def test_publishers_wait_while_the_database_is_away_and_vhosts_stay_or_move(server, brokers):
    brokers.settled()
    for vhost in VHOSTS:
        ask(brokers.all[0], "PUT", f"vhosts/{vhost}", {})
    brokers.settled()
    states = []
    with channel_of(brokers.all[0], "v1") as channel:
        channel.queue_declare("q", durable=True)
        channel.connection.add_on_connection_blocked_callback(lambda *_: states.append("blocked"))
        server.primary.stop()
        returning = threading.Timer(3.0, server.primary.start)
        returning.start()
        try:
            channel.confirm_delivery()
            channel.basic_publish("", "q", b"1", PERSISTENT)
        except pika.exceptions.AMQPError:
            # The leader was replaced meanwhile, so that nothing was confirmed.
            states.append("closed")
        returning.join()
    brokers.settled()
    assert states or bodies(brokers.all[1], "v1") == [1]
    for number, vhost in enumerate(VHOSTS):
        fill(brokers.all[number % 3], vhost)
        assert bodies(brokers.all[(number + 1) % 3], vhost)[-len(NUMBERS) :] == NUMBERS


def test_each_broker_shows_whether_commits_wait_for_a_standby_now(server, brokers):
    a = brokers.all[0]
    brokers.settled()

    def waits():
        return ask(a, "GET", "overview")["amqpbroker"]["database"]["synchronous"]

    assert not waits()
    try:
        server.primary.execute("ALTER SYSTEM SET synchronous_standby_names TO 'ANY 1 (*)'")
        server.primary.execute("SELECT pg_reload_conf()")
        until(waits)
    finally:
        server.primary.execute("ALTER SYSTEM RESET synchronous_standby_names")
        server.primary.execute("SELECT pg_reload_conf()")
    until(lambda: not waits())
    assert a.log.count("no commit waits for a standby") == 2


def test_metrics_show_how_many_vhosts_each_broker_leads_and_how_far_it_is_behind(brokers):
    for vhost in VHOSTS:
        ask(brokers.all[0], "PUT", f"vhosts/{vhost}", {})
    leaders = Counter(brokers.settled().values())
    found = {broker: metrics_of(broker) for broker in brokers}
    assert {broker: each["rabbitmq_led_vhosts"] for broker, each in found.items()} == leaders
    assert {each["rabbitmq_database_synchronous"] for each in found.values()} == {0}
    lag = "rabbitmq_followed_vhosts_lag_seconds"
    until(lambda: any(lag in metrics_of(broker) for broker in brokers))
    assert max(metrics_of(broker).get(lag, 0) for broker in brokers) < PATIENCE_S
