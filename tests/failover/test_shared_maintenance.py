"""Brokers that share vhosts, as an operator sees and changes them, with clients that publish meanwhile."""

import json
import re
import statistics
from collections import Counter

import pytest

from tests.failover.cluster import Broker, Brokers
from tests.failover.operating import (
    Publisher,
    asked,
    bodies,
    ctl,
    ctl_on_machine,
    leaders,
    node_of,
    nodes,
    until,
)

LEASE_S = 1.5
VHOSTS = [f"v{number}" for number in range(6)]
#: Limits of the time in which most clients have a confirm of the next leader, and in which all have one if several
#: vhosts move at the same time.
RECONNECTED_S = 2.0
ALL_RECONNECTED_S = 5.0


@pytest.fixture
def started(server, tmp_path):
    """Brokers with a new database, which are given for each broker its further settings."""
    server.primary.execute("DROP SCHEMA IF EXISTS amqpbroker CASCADE")
    made = []

    def start(*settings, vhosts=VHOSTS, user="guest"):
        brokers = Brokers(tmp_path, server, 0)
        brokers.all += [made_broker(tmp_path, f"broker{number}", further) for number, further in enumerate(settings)]
        made.append(brokers)
        brokers.start_missing()
        first = brokers.all[0]
        for broker in brokers:
            until(lambda broker=broker: len(asked(broker, "GET", "nodes", user=user)[1]) == len(settings))
        for vhost in vhosts:
            assert asked(first, "PUT", f"vhosts/{vhost}", {})[0] == 201
        until(lambda: all(each["leader"] for each in asked(first, "GET", "vhosts", user=user)[1]))
        return brokers.all

    yield start
    for brokers in made:
        brokers.close()


def made_broker(directory, name, further):
    return Broker(directory, name, LEASE_S, settings=further)


@pytest.fixture
def publishers():
    """Publishers that are started with vhosts and brokers, and stopped at the end."""
    made = []

    def start(vhosts, brokers):
        new = [Publisher(vhost, *brokers) for vhost in vhosts]
        made.extend(new)
        for each in new:
            each.start()
        until(lambda: all(len(each.confirmed) > 20 for each in new))
        return new

    yield start
    for each in made:
        each.stop()


def assert_nothing_lost(publishers, broker, limit_s):
    """Check that all clients went on in time, and that the brokers have all confirmed messages."""
    counts = [len(each.confirmed) for each in publishers]
    until(lambda: all(len(each.confirmed) > count + 20 for each, count in zip(publishers, counts, strict=True)))
    for each in publishers:
        each.stop()
    assert {code for each in publishers for code, _ in each.closed} == {320}
    assert statistics.median(each.longest_s for each in publishers) < RECONNECTED_S
    for each in publishers:
        assert each.longest_s < limit_s
        # A message whose confirm was lost is published again.
        assert sorted(set(bodies(broker, each.vhost))) == each.confirmed


def test_any_broker_lists_all_and_hands_vhosts_over_under_load(started, publishers):
    a, b, c = brokers = started((), (), ())
    # Brokers that lead a vhost are asked for more.
    until(lambda: all("mem_used" in each for each in nodes(b).values()))
    found = nodes(b)
    assert [each["running"] for each in found.values()] == [True] * 3
    assert sum(each["led_vhosts"] for each in found.values()) == len(VHOSTS) + 1
    assert sum(each["writes_definitions"] for each in found.values()) == 1
    assert found["broker0"]["address"] == f"127.0.0.1:{a.port()}"
    assert asked(a, "GET", f"nodes/{node_of(c)}")[1]["os_pid"] == found["broker2"]["os_pid"]
    status, text = ctl(c, "cluster_status")
    assert status == 0, text
    led = found["broker1"]["led_vhosts"]
    shown = f"Node: {node_of(b)}, leads {led} vhost{'' if led == 1 else 's'}.*, address: 127.0.0.1:{b.port()}"
    assert re.search(shown, text), text
    assert ctl(a, "await_online_nodes", "3") == (0, "")
    assert ctl(a, "check_if_node_is_quorum_critical")[0] == 0

    source = next(broker for broker in brokers if broker.name == leaders(a)["v1"])
    target, other = [broker for broker in brokers if broker is not source]
    (publisher,) = publishers(["v1"], [other, source])
    assert asked(source, "GET", "/leader/v1") == (200, {"node": node_of(source)})
    assert asked(other, "GET", "/leader/v1")[1]["leader"] == {"node": node_of(source)}
    assert asked(other, "GET", "/leader/nope")[0] == 404
    said = ctl(other, "transfer_leadership", "v1", node_of(target))
    assert said == (0, f"{node_of(target)} leads vhost 'v1' now")
    assert leaders(other)["v1"] == target.name
    assert ctl(a, "transfer_leadership", "v1", node_of(target)) == (0, f"{node_of(target)} leads vhost 'v1' already")
    assert_nothing_lost([publisher], target, RECONNECTED_S)
    assert publisher.closed
    # To the standby.
    status, text = ctl(target, "transfer_leadership", "v1")
    assert status == 0, text
    assert leaders(a)["v1"] != target.name

    status, text = ctl(a, "transfer_leadership", "nope")
    assert (status, "vhost 'nope' does not exist" in text) == (65, True)
    assert "nobody is no broker with this database" in ctl(a, "transfer_leadership", "v1", "nobody")[1]
    c.kill()
    until(lambda: not nodes(a)["broker2"]["running"])
    # The killed broker may have led it.
    until(lambda: leaders(a)["v1"] not in {"", "broker2"})
    assert "cannot lead, since it does not run" in ctl(a, "transfer_leadership", "v1", node_of(c))[1]
    assert asked(b, "GET", f"nodes/{node_of(c)}")[1]["running"] is False
    # A warning may follow: the killed broker may have led another vhost, or the definitions.
    text = ctl(b, "cluster_status", "--formatter", "json")[1].splitlines()[0]
    assert json.loads(text)["running_nodes"] == [node_of(b), node_of(a)]


def test_alarms_are_those_of_all_brokers_and_listeners_and_local_queues_those_of_one(started):
    # No disk is as large as the second one needs.
    a, b, c = started((), ("disk_free_limit.absolute=1000TB",), ())
    alarms = [{"node": node_of(b), "resource": "disk"}]
    # Brokers that lead a vhost are asked.
    until(lambda: all(asked(each, "GET", "health/checks/alarms")[0] == 503 for each in (a, b, c)))
    for broker in (a, b, c):
        assert asked(broker, "GET", "health/checks/alarms")[1] == {
            "status": "failed", "reason": "There are alarms in effect in the cluster", "alarms": alarms,
        }  # fmt: skip
        status, text = ctl(broker, "check_alarms")
        assert (status, f"Free disk space alarm on node {node_of(b)}" in text) == (69, True), text
        assert f"disk resource limit alarm on node {node_of(b)}" in ctl(broker, "cluster_status")[1]
        assert ctl(broker, "check_local_alarms")[0] == (69 if broker is b else 0)

    text = ctl(a, "cluster_status")[1]
    for broker in (a, b, c):
        assert f"Node: {node_of(broker)}, interface: 127.0.0.1, port: {broker.port()}, protocol: amqp," in text
        shown = json.loads(ctl(broker, "status", "--formatter", "json")[1])["listeners"]
        assert [each["port"] for each in shown if each["protocol"] == "amqp"] == [broker.port()]
        assert ctl(broker, "check_port_listener", str(a.port()))[0] == (0 if broker is a else 69)

    assert asked(a, "PUT", "queues/v1/q", {})[0] == 201
    leader = leaders(a)["v1"]
    for broker in (a, b, c):
        found = ctl(broker, "list_queues", "-p", "v1", "--local", "-s", "name")
        assert found == (0, "q" if broker.name == leader else "")


def test_a_drained_broker_leads_nothing_and_serves_clients_until_it_is_revived(started, publishers):
    a, b = brokers = started((), ())
    writer = next(broker for broker in brokers if nodes(a)[broker.name]["writes_definitions"])
    other = b if writer is a else a
    running = publishers(VHOSTS, [writer, other])
    # The default is the broker that gets the request.
    assert ctl_on_machine(writer, "drain") == (0, f"{node_of(writer)} is drained, and other brokers lead its vhosts")
    assert "Is under maintenance?: true" in ctl_on_machine(writer, "status")[1]
    found = nodes(other)
    assert (found[writer.name]["led_vhosts"], found[other.name]["led_vhosts"]) == (0, len(VHOSTS) + 1)
    assert (found[writer.name]["drained"], found[other.name]["writes_definitions"]) == (True, True)
    assert set(leaders(writer).values()) == {other.name}
    assert f"Node: {node_of(writer)}, status: marked for maintenance" in ctl(other, "cluster_status")[1]
    assert ctl(other, "check_if_node_is_quorum_critical")[0] == 69
    assert ctl(writer, "check_if_node_is_quorum_critical")[0] == 0
    assert "no broker could lead if" in ctl(writer, "drain", node_of(other))[1]
    assert "is drained: revive it first" in ctl(other, "transfer_leadership", "v1", node_of(writer))[1]
    assert "no other broker can lead" in ctl(other, "transfer_leadership", "v1")[1]
    # It takes clients, and changes of definitions.
    assert asked(writer, "PUT", "vhosts/new", {})[0] == 201
    until(lambda: leaders(writer)["new"] == other.name)
    assert_nothing_lost(running, writer, ALL_RECONNECTED_S)

    assert ctl(other, "revive", node_of(writer)) == (0, f"{node_of(writer)} may lead again")
    until(lambda: nodes(a)[writer.name]["led_vhosts"] >= 3)
    # A new process is not drained any more.
    assert ctl(writer, "drain")[0] == 0
    assert writer.stop() == 0
    until(lambda: list(nodes(other)) == [other.name])
    writer.start(list(writer.proxies))
    assert ctl(other, "await_online_nodes", "2") == (0, "")
    assert not nodes(other)[writer.name]["drained"]


def test_a_rebalance_moves_vhosts_with_clients_once(started, publishers):
    a, b = started((), ())
    assert ctl(a, "drain", node_of(b))[0] == 0
    running = publishers(VHOSTS, [b, a])
    assert ctl(a, "revive", node_of(b))[0] == 0
    # Vhosts with clients stay.
    until(lambda: nodes(a)["broker1"]["led_vhosts"] == 1)
    status, text = ctl(b, "--formatter", "json", "rebalance")
    assert status == 0, text
    moved = json.loads(text)
    assert {(move["from"], move["to"]) for move in moved} == {(node_of(a), node_of(b))}
    counts = Counter(leaders(a).values())
    assert abs(counts["broker0"] - counts["broker1"]) <= 1
    assert_nothing_lost(running, a, ALL_RECONNECTED_S)
    ended = {each.vhost for each in running if each.closed}
    assert ended >= {move["vhost"] for move in moved}
    assert json.loads(ctl(b, "--formatter", "json", "rebalance")[1]) == []
    assert asked(a, "POST", "rebalance/queues")[0] == 204


def test_a_broker_leads_the_vhosts_that_it_prefers_while_it_runs(started):
    pinned = ["orders-eu", "orders-us", "x"]
    a, b = started((), ("store.vhosts=^orders",), vhosts=pinned)
    until(lambda: {leaders(a)[vhost] for vhost in pinned[:2]} == {b.name})
    b.kill()
    until(lambda: set(leaders(a).values()) == {a.name})
    b.start(list(b.proxies))
    until(lambda: {leaders(a)[vhost] for vhost in pinned[:2]} == {b.name})
    wrong = made_broker(b.directory.parent, "wrong", ("store.vhosts=(",))
    wrong.start(list(b.proxies))
    until(lambda: not wrong.is_running)
    assert "store.vhosts" in wrong.log


def test_definitions_are_imported_by_the_brokers_of_their_vhosts(started, tmp_path):
    path = tmp_path / "definitions.json"
    names = ["x", "y", "z"]

    def write(queue):
        document = {
            "vhosts": [{"name": name} for name in names],
            "users": [{"name": "ann", "password": "ann", "tags": "administrator"}],
            "permissions": [
                {"user": "ann", "vhost": name, "configure": ".*", "write": ".*", "read": ".*"} for name in names
            ],
            "queues": [
                {"vhost": name, "name": queue, "durable": True, "auto_delete": False, "arguments": {}} for name in names
            ],
            "bindings": [
                {"vhost": name, "source": "amq.direct", "destination": queue, "destination_type": "queue",
                 "routing_key": "k", "arguments": {}} for name in names
            ],
        }  # fmt: skip
        path.write_text(json.dumps(document))

    write("q")
    setting = (f"load_definitions={path}",)
    brokers = started(setting, setting, setting, vhosts=[], user="ann")
    # Nobody could log in as the default user meanwhile.
    assert asked(brokers[0], "GET", "whoami")[0] == 401

    def queues(broker):
        return {(each["vhost"], each["name"]) for each in asked(broker, "GET", "queues", user="ann")[1]}

    # A list lacks the vhosts that move at the moment, and a header names them.
    until(lambda: queues(brokers[0]) == {(name, "q") for name in names})
    assert len(asked(brokers[1], "GET", "bindings/y", user="ann")[1]) == 2
    # A broker imports the definitions at each start.
    a = brokers[0]
    assert a.stop() == 0
    write("r")
    a.start(list(a.proxies))
    a.port()
    until(lambda: queues(a) == {(name, queue) for name in names for queue in "qr"})
    assert a.stop() == 0
    path.write_text(json.dumps({"queues": [{"vhost": "nope", "name": "q"}]}))
    a.start(list(a.proxies))
    until(lambda: not a.is_running)
    assert f'Error: definitions {path}: Please create virtual host "nope"' in a.log
