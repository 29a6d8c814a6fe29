"""Brokers with one database: who leads a vhost, what survives, and what a broker that was replaced may not do."""

import json
import signal
import threading
import time
from base64 import b64encode
from contextlib import contextmanager, suppress
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pika
import pytest

from amqpbroker.cluster.shared_database import STEP_S
from tests.failover.cluster import PATIENCE_S


def until(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@contextmanager
def channel_of(broker, vhost="/"):
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", broker.port(), vhost, heartbeat=0))
    yield connection.channel()
    # It is broken if the test has killed the broker.
    with suppress(pika.exceptions.AMQPError):
        connection.close()


PERSISTENT = pika.BasicProperties(delivery_mode=2)


def publish(channel, *numbers):
    channel.confirm_delivery()
    for number in numbers:
        channel.basic_publish("", "q", b"%d" % number, PERSISTENT)


def bodies(broker, vhost="/"):
    """Consume and acknowledge everything."""
    found = []
    with channel_of(broker, vhost) as channel:
        while True:
            method, _, body = channel.basic_get("q")
            if method is None:
                return found
            found.append(int(body))
            channel.basic_ack(method.delivery_tag)


def follower(brokers, leader):
    return next(broker for broker in brokers if broker is not leader)


def answered(broker, path):
    """Return the status and the body of an HTTP request."""
    login = b64encode(b"guest:guest").decode()
    request = Request(f"http://127.0.0.1:{broker.port('http')}{path}", headers={"authorization": f"Basic {login}"})
    try:
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def test_another_broker_takes_over_from_one_that_died(brokers):
    leader = brokers.settled()["/"]
    with channel_of(leader) as channel:
        channel.queue_declare("q", durable=True)
        publish(channel, *range(100))
        leader.kill()
    other = brokers.leader(leader)
    assert bodies(other) == list(range(100))
    with channel_of(other) as channel:
        # A vhost with clients stays where it is.
        brokers.start_missing()
        until(lambda: answered(leader, "/leader/%2F")[1]["leader"] == {"node": other.node})
        time.sleep(1)
        publish(channel, *range(5))
    # Without clients, it goes to the broker that leads nothing.
    assert brokers.settled()["/"] is leader
    assert bodies(other) == list(range(5))


def test_what_was_declared_and_reported_survives_without_any_message(brokers):
    leader = brokers.settled()["/"]
    with channel_of(leader) as channel:
        channel.exchange_declare("x", "topic", durable=True)
        channel.queue_declare("q", durable=True)
        channel.queue_bind("q", "x", "a.*")
        leader.kill()
    other = brokers.leader(leader)
    with channel_of(other) as channel:
        channel.queue_declare("q", passive=True)
        channel.exchange_declare("x", passive=True)
        channel.confirm_delivery()
        channel.basic_publish("x", "a.b", b"7", PERSISTENT, mandatory=True)
    assert bodies(other) == [7]


def test_a_leader_that_is_stopped_hands_over_at_once(brokers):
    leader = brokers.settled()["/"]
    with channel_of(leader) as channel:
        channel.queue_declare("q", durable=True)
        publish(channel, 1, 2)
    assert leader.stop() == 0, leader.log
    assert bodies(brokers.leader(leader)) == [1, 2]


def test_a_late_write_of_a_replaced_leader_fails_and_is_not_confirmed(brokers):
    leader = brokers.settled()["/"]
    other = follower(brokers, leader)
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", leader.port(), heartbeat=0))
    channel = connection.channel()
    channel.queue_declare("q", durable=True)
    publish(channel, 1)
    leader.signal(signal.SIGSTOP)
    until(lambda: other.leads)
    assert bodies(other) == [1]
    with channel_of(other):
        leader.signal(signal.SIGCONT)
        # Not confirmed: the connection ends instead.
        with pytest.raises(pika.exceptions.AMQPConnectionError):
            publish(channel, *range(2, 1000))
        until(lambda: "vhost '/': Another broker leads now; its connections are closed" in leader.log)
        assert not leader.leads
    assert bodies(other) == []
    # It takes part again in the same process.
    assert brokers.settled()["/"] is leader
    other.kill()
    with channel_of(leader) as channel:
        publish(channel, 7)
    assert bodies(leader) == [7]
    assert "Traceback" not in leader.log


def test_a_broker_whose_connections_to_the_database_were_lost_for_long_takes_part_again(brokers):
    leader = brokers.settled()["/"]
    other = follower(brokers, leader)
    with channel_of(leader) as channel:
        channel.queue_declare("q", durable=True)
        publish(channel, 1)
        for proxy in leader.proxies.values():
            proxy.cut()
        until(lambda: other.leads)
        for proxy in leader.proxies.values():
            proxy.heal()
        with pytest.raises(pika.exceptions.AMQPError):
            publish(channel, *range(2, 1000))
    assert bodies(other) == [1]
    assert brokers.settled()["/"] in brokers.all
    assert leader.is_running
    other.kill()
    until(lambda: leader.leads)
    with channel_of(leader) as channel:
        publish(channel, 7)
    assert bodies(leader) == [7]
    assert "Traceback" not in leader.log


def test_a_broker_that_is_cut_off_from_the_database_leaves_vhosts_to_those_that_lead_them(brokers):
    leader = brokers.settled()["/"]
    other = follower(brokers, leader)
    with channel_of(leader) as channel:
        channel.queue_declare("q", durable=True)
        publish(channel, 1)
        for proxy in leader.proxies.values():
            proxy.cut()
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
            publish(channel, *range(2, 1000))
    assert closed.value.reply_code == 320
    until(lambda: other.leads)
    assert not leader.leads
    assert "vhost '/': broker" in leader.log
    # It is still cut off, and passes clients on.
    assert bodies(leader) == [1]
    assert answered(leader, "/leader/%2F")[1]["leader"] == {"node": other.node}
    assert answered(leader, "/api/health/checks/is-in-service")[0] == 503
    with channel_of(leader) as channel:
        publish(channel, 5)
    assert bodies(other) == [5]
    for proxy in leader.proxies.values():
        proxy.heal()
    until(lambda: answered(leader, "/api/health/checks/is-in-service")[0] == 200)
    brokers.settled()
    assert "Traceback" not in leader.log


def test_any_broker_passes_clients_on(brokers):
    leader = brokers.settled()["/"]
    with channel_of(follower(brokers, leader)) as channel:
        channel.queue_declare("q", durable=True)
        publish(channel, *range(10))
        assert bodies(leader) == list(range(10))


def test_requests_are_passed_on_to_leaders_of_an_earlier_version(server, brokers):
    leader = brokers.settled()["/"]
    with channel_of(leader) as channel:
        channel.queue_declare("q", durable=True)
    # These write no ports into the table of brokers, only into that of leaderships.
    server.primary.execute("UPDATE amqpbroker.brokers SET host = '', port = 0, secret = ''")
    time.sleep(2 * STEP_S)
    assert answered(follower(brokers, leader), "/api/queues/%2F/q")[0] == 200


def test_load_balancers_are_told_which_broker_leads(brokers):
    leader = brokers.settled()["/"]
    assert answered(leader, "/leader/%2F") == (200, {"node": leader.node})
    other = follower(brokers, leader)
    # It learns the leader with its next step.
    until(lambda: answered(other, "/leader/%2F")[1]["leader"] is not None)
    status, answer = answered(other, "/leader/%2F")
    assert (status, answer["error"], answer["leader"]) == (503, "not_leader", {"node": leader.node})
    assert answer["reason"] == f"{leader.node} leads vhost '/'"
    assert answered(leader, "/leader/unknown")[0] == 404


def test_publishers_wait_while_the_database_is_away(server, brokers):
    leader = brokers.settled()["/"]
    follower(brokers, leader).kill()
    states = []
    with channel_of(leader) as channel:
        connection = channel.connection
        connection.add_on_connection_blocked_callback(lambda *_: states.append("blocked"))
        connection.add_on_connection_unblocked_callback(lambda *_: states.append("unblocked"))
        channel.queue_declare("q", durable=True)
        publish(channel, 1)
        server.primary.stop()
        with channel_of(leader) as other:
            other.basic_publish("", "q", b"2", PERSISTENT)
            until(lambda: "Publishers are blocked" in leader.log)
        returning = threading.Timer(1.0, server.primary.start)
        returning.start()
        # A client is told when it publishes.
        publish(channel, 3)
        until(lambda: connection.process_data_events(0.05) or len(states) == 2)
        returning.join()
    assert states == ["blocked", "unblocked"]
    assert bodies(leader) == [1, 2, 3]


def test_broker_waits_for_a_database_that_is_not_there_yet(server, brokers):
    for broker in brokers:
        broker.kill()
    server.primary.stop()
    brokers.start_missing()
    until(lambda: all("retrying until the database answers" in broker.log for broker in brokers))
    server.primary.start()
    assert brokers.settled()["/"].leads


def test_streams_survive(brokers):
    leader = brokers.settled()["/"]
    with channel_of(leader) as channel:
        channel.queue_declare("q", durable=True, arguments={"x-queue-type": "stream"})
        publish(channel, *range(50))
        leader.kill()
    with channel_of(brokers.leader(leader)) as channel:
        channel.basic_qos(prefetch_count=100)
        found = []
        for method, _, body in channel.consume("q", arguments={"x-stream-offset": "first"}, inactivity_timeout=30):
            assert method is not None, found
            found.append(int(body))
            channel.basic_ack(method.delivery_tag)
            if len(found) == 50:
                break
        assert found == list(range(50))
