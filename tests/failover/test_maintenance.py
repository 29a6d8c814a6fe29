"""Several brokers with one database, as an operator sees and changes them."""

import json
import subprocess
import sys
import threading
import time
from base64 import b64encode
from contextlib import suppress
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pika
import pytest

from amqpbroker.server.control import NAME as CONTROL_FILE
from amqpbroker.store.database.members import YIELD_S
from tests.failover.cluster import PATIENCE_S, Broker, Brokers
from tests.failover.test_takeover import PERSISTENT, bodies, channel_of, follower, until
from tests.process import ENVIRONMENT

#: Limit of the time in which a client has a confirm of the next leader.
RECONNECTED_S = 2.0


def asked(broker, method, path, body=None):
    """Return the status and the body of a request of the HTTP API."""
    login = b64encode(b"guest:guest").decode()
    request = Request(
        f"http://127.0.0.1:{broker.port('http')}/api/{path}",
        None if body is None else json.dumps(body).encode(),
        {"authorization": f"Basic {login}"},
        method=method,
    )
    try:
        with urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except HTTPError as error:
        return error.code, json.load(error)


def ctl(broker, *words):
    """Return the exit status and the output of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "amqpbroker", "ctl", "-q", "--url", f"http://127.0.0.1:{broker.port('http')}", *words],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).strip()


def ctl_on_machine(broker, *words):
    """Return the exit status and the output of a command on the broker's machine, without a login."""
    done = subprocess.run(
        [sys.executable, "-m", "amqpbroker", "ctl", "-q", "--data-dir", str(broker.directory / "data"), *words],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).strip()


def nodes(broker):
    """Return the nodes by the names of their brokers."""
    _, found = asked(broker, "GET", "nodes")
    return {each["name"].partition("@")[0]: each for each in found}


def node_of(broker):
    return f"{broker.name}@localhost"


@pytest.fixture
def pair(brokers):
    """The leader and the broker that waits, which know each other."""
    leader = brokers.leader()
    other = follower(brokers, leader)
    until(lambda: "waiting, since" in other.log)
    until(lambda: all(each["running"] for each in nodes(leader).values()) and len(nodes(leader)) == 2)
    # A broker that waits looks for the leader twice a second, and then writes the file for commands on its machine.
    until((other.directory / "data" / CONTROL_FILE).exists)
    return leader, other


class Publisher(threading.Thread):
    """Publishes numbers until `stop`, each after the confirm of the last one, and connects again to any broker.

    confirmed: the numbers. closed: codes and texts with which connections were closed. longest_s: between two confirms.
    """

    def __init__(self, *brokers):
        super().__init__()
        self.confirmed = []
        self.closed = []
        self.longest_s = 0.0
        self._brokers = brokers
        self._ending = threading.Event()
        self._last = None

    def run(self):
        while not self._ending.is_set():
            for broker in self._brokers:
                with suppress(OSError, ValueError, pika.exceptions.AMQPError):
                    connection = pika.BlockingConnection(
                        pika.ConnectionParameters("127.0.0.1", broker.port(), heartbeat=0)
                    )
                    try:
                        self._publish(connection.channel())
                        connection.close()
                    except pika.exceptions.ConnectionClosedByBroker as error:
                        self.closed.append((error.reply_code, error.reply_text))

    def _publish(self, channel):
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True)
        while not self._ending.is_set():
            number = len(self.confirmed) + 1
            channel.basic_publish("", "q", b"%d" % number, PERSISTENT)
            self.confirmed.append(number)
            now = time.monotonic()
            if self._last is not None:
                self.longest_s = max(self.longest_s, now - self._last)
            self._last = now

    def stop(self):
        self._ending.set()
        self.join(PATIENCE_S)


@pytest.fixture
def publisher(pair):
    made = Publisher(*pair)
    made.start()
    until(lambda: len(made.confirmed) > 50)
    yield made
    made.stop()


def assert_nothing_lost(publisher, broker):
    """Check that the clients went on with the next leader in time, and that it has all confirmed messages."""
    count = len(publisher.confirmed)
    until(lambda: len(publisher.confirmed) > count + 50)
    publisher.stop()
    assert {code for code, _ in publisher.closed} == {320}, publisher.closed
    assert all(text.startswith("CONNECTION_FORCED") for _, text in publisher.closed)
    assert publisher.longest_s < RECONNECTED_S
    # A message whose confirm was lost is published again.
    assert sorted(set(bodies(broker))) == publisher.confirmed


def test_all_brokers_are_listed(pair):
    leader, other = pair
    found = nodes(other)
    assert asked(leader, "GET", "nodes")[1][0]["name"] == node_of(leader)
    assert [(found[one.name]["running"], found[one.name]["leader"]) for one in pair] == [(True, True), (True, False)]
    assert not any(each["drained"] or each["being_drained"] for each in found.values())
    assert found[other.name]["address"] == f"127.0.0.1:{other.port()}"
    assert found[leader.name]["mem_used"] > 0
    until(lambda: nodes(leader)[other.name]["lag"] is not None)
    assert asked(leader, "GET", f"nodes/{node_of(other)}")[1]["name"] == node_of(other)
    assert asked(leader, "GET", f"nodes/{node_of(leader)}/memory")[0] == 200
    assert asked(leader, "GET", f"nodes/{node_of(other)}/memory")[0] == 404
    assert asked(leader, "GET", "overview")[1]["node"] == node_of(leader)
    assert ctl(leader, "await_online_nodes", "2") == (0, "")
    other.kill()
    until(lambda: not nodes(leader)[other.name]["running"])
    assert "1 of 2 nodes run after 0.5 s" in ctl(leader, "-t", "0.5", "await_online_nodes", "2")[1]


def test_cluster_status_shows_all_brokers(pair):
    leader, other = pair
    status, text = ctl(other, "cluster_status")
    assert status == 0, text
    assert f"Leader\n\n{node_of(leader)}" in text
    assert f"Node: {node_of(leader)}, leads, address: 127.0.0.1:{leader.port()}" in text
    assert f"Node: {node_of(other)}, status: not under maintenance" in text
    status, text = ctl(leader, "cluster_status", "--formatter", "json")
    found = json.loads(text)
    assert found["leader"] == node_of(leader)
    assert sorted(found["running_nodes"]) == sorted(node_of(one) for one in pair)


def test_brokers_with_the_same_name_have_their_addresses_in_the_list(server, tmp_path):
    server.primary.execute("DROP SCHEMA IF EXISTS amqpbroker CASCADE")
    brokers = Brokers(tmp_path, server, 0)
    brokers.all += [Broker(tmp_path / str(number), "same") for number in range(2)]
    try:
        brokers.start_missing()
        leader = brokers.leader()
        other = follower(brokers, leader)
        until(lambda: len(nodes(leader)) == 1 and len(asked(leader, "GET", "nodes")[1]) == 2)
        names = [each["name"] for each in asked(leader, "GET", "nodes")[1]]
        assert names == [f"same@127.0.0.1:{leader.port()}", f"same@127.0.0.1:{other.port()}"]
        assert asked(leader, "GET", "nodes/same@localhost")[1]["name"] == names[0]
        assert ctl(leader, "memory_breakdown")[0] == 0
        assert ctl(leader, "drain", names[1]) == (0, f"{names[1]} is drained")
    finally:
        brokers.close()


def test_a_transfer_under_load_loses_nothing(pair, publisher):
    leader, other = pair
    # A client that does not answer connection.close is not waited for.
    with channel_of(leader):
        status, answer = asked(leader, "POST", "leadership/transfer", {"broker": node_of(other)})
        assert (status, answer) == (200, {"broker": node_of(other), "hands_over": True, "epoch": 1})
        until(lambda: other.leads)
    assert_nothing_lost(publisher, other)
    assert leader.is_running
    # The old leader waits in the same process.
    until(lambda: "waiting, since" in leader.log)
    assert nodes(leader)[leader.name]["running"]
    # It takes over when the new leader fails.
    other.kill()
    until(lambda: leader.leads)


def test_a_leader_that_is_stopped_while_it_hands_over_ends(pair):
    leader, other = pair
    assert asked(leader, "POST", "leadership/transfer", {})[0] == 200
    assert leader.stop() == 0, leader.log
    until(lambda: other.leads)
    assert "waiting, since" not in leader.log


def test_a_leadership_is_transferred_back_and_forth(pair):
    leader, other = pair
    for _ in range(3):
        start = time.monotonic()
        assert ctl(other, "transfer_leadership") == (0, f"{node_of(other)} leads now")
        assert other.leads
        # The next leader has yielded the leadership before, and does not do that any more.
        assert time.monotonic() - start < YIELD_S
        assert ctl(other, "transfer_leadership", node_of(other)) == (0, f"{node_of(other)} leads already")
        leader, other = other, leader
        until(lambda: all(each["running"] for each in nodes(leader).values()))  # noqa: B023 - called at once


def test_a_transfer_without_another_broker_is_refused(pair):
    leader, other = pair
    for broker in pair:
        assert ctl(broker, "check_if_node_is_quorum_critical") == (0, "Another broker could lead if this one ended")
    other.kill()
    until(lambda: not nodes(leader)[other.name]["running"])
    status, answer = asked(leader, "POST", "leadership/transfer", {})
    assert (status, answer["error"]) == (409, "conflict")
    assert answer["reason"].startswith("no other broker can lead: start another one with the same database")
    status, answer = asked(leader, "POST", "leadership/transfer", {"broker": node_of(other)})
    assert (status, answer["reason"]) == (409, f"{node_of(other)} cannot lead, since it does not run: start it first")
    status, answer = asked(leader, "POST", "leadership/transfer", {"broker": "nobody@nowhere"})
    assert status == 404
    assert node_of(leader) in answer["reason"]
    assert leader.leads
    assert asked(leader, "POST", "maintenance/drain", {})[0] == 409
    assert ctl(leader, "check_if_node_is_quorum_critical")[0] == 69
    assert leader.leads
    assert not nodes(leader)[leader.name]["drained"]


def test_a_drained_leader_hands_over_and_does_not_lead_until_it_is_revived(pair, publisher):
    leader, other = pair
    status, answer = asked(leader, "POST", "maintenance/drain", {})
    assert (status, answer) == (200, {"broker": node_of(leader), "hands_over": True, "epoch": 1})
    until(lambda: other.leads)
    assert_nothing_lost(publisher, other)
    until(lambda: "waiting, since" in leader.log)
    until(lambda: nodes(other)[leader.name]["running"])
    assert nodes(other)[leader.name]["drained"]
    assert "status: marked for maintenance" in ctl(other, "cluster_status")[1]
    status, answer = asked(other, "POST", "maintenance/drain", {})
    assert (status, answer["error"]) == (409, "conflict")
    status, text = ctl(other, "transfer_leadership", node_of(leader))
    assert (status, "revive it first" in text) == (69, True)
    other.kill()
    until(lambda: "no broker leads, and this one is drained; start it again, or another one" in leader.log)
    assert not leader.leads
    # Another process of the other broker may lead.
    other.start([int(next(iter(other.proxies)))])
    until(lambda: other.leads)
    # The request goes through the drained broker, which is the default.
    assert ctl(leader, "revive") == (0, f"{node_of(leader)} may lead again")
    other.kill()
    until(lambda: leader.leads)


def test_a_drained_waiting_broker_does_not_take_over_until_its_process_is_another_one(brokers, pair):
    leader, other = pair
    assert ctl(other, "drain") == (0, f"{node_of(other)} is drained")
    assert nodes(leader)[other.name]["drained"]
    assert leader.leads
    leader.kill()
    until(lambda: "no broker leads, and this one is drained; start it again, or another one" in other.log)
    assert not other.leads
    other.kill()
    other.start(brokers.databases.ports)
    until(lambda: other.leads)
    (row,) = [each for each in asked(other, "GET", "nodes")[1] if each["leader"]]
    assert not row["drained"]


def test_commands_on_the_machine_of_each_broker_need_no_login(pair):
    leader, other = pair
    assert ctl_on_machine(other, "drain") == (0, f"{node_of(other)} is drained")
    assert ctl_on_machine(leader, "revive", node_of(other)) == (0, f"{node_of(other)} may lead again")
    assert ctl_on_machine(other, "transfer_leadership") == (0, f"{node_of(other)} leads now")
    # The files of both have the token of the new leader.
    until(lambda: ctl_on_machine(leader, "drain") == (0, f"{node_of(leader)} is drained"))
    assert ctl_on_machine(other, "ping")[0] == 0


def test_only_administrators_change_the_leadership(pair):
    leader, _ = pair
    assert asked(leader, "PUT", "users/m", {"password": "m", "tags": "monitoring"})[0] in (201, 204)
    login = b64encode(b"m:m").decode()
    for path in ("leadership/transfer", "maintenance/drain", "maintenance/revive"):
        request = Request(
            f"http://127.0.0.1:{leader.port('http')}/api/{path}", b"{}", {"authorization": f"Basic {login}"}
        )
        with pytest.raises(HTTPError, match="401"):
            urlopen(request, timeout=PATIENCE_S)
    assert leader.leads


def test_a_broker_that_stops_is_not_listed(pair):
    leader, other = pair
    assert other.stop() == 0
    assert list(nodes(leader)) == [leader.name]
