"""The status of brokers with one database, as text and as JSON."""

from amqpbroker.cli.ctl.brokers import status
from amqpbroker.cli.ctl.command import Call


def node(name, led=0, **more):
    return {
        "name": name, "running": True, "drained": False, "address": f"{name}:5672", "lag": None,
        "last_seen": 1_700_000_000_000, "amqpbroker": {"version": "1.2"}, "led_vhosts": led,
        "writes_definitions": False, **more,
    }  # fmt: skip


NODES = [
    node("a", 5, writes_definitions=True),
    node("b", lag=0.26, drained=True),
    node("c", running=False),
    node("d", 1),
]
OVERVIEW = {"cluster_name": "here", "rabbitmq_version": "4.0.5"}


def shown(options, nodes=NODES):
    return status(Call(None, [], options, "/", 1.0), nodes, OVERVIEW, ["Node: a, interface: x"], ["alarm"])


def test_text():
    lines = shown({}).split("\n")
    assert lines[:3] == ["Basics", "", "Cluster name: here"]
    assert lines[lines.index("Running Nodes") + 2 :][:4] == ["a", "b", "d", ""]
    assert lines[lines.index("Writer of definitions") + 2 :][:2] == ["a", ""]
    assert lines[lines.index("Brokers") + 2 :][:4] == [
        "Node: a, leads 5 vhosts, address: a:5672",
        "Node: b, leads 0 vhosts, lag: 0.3 s, address: b:5672",
        "Node: c, does not run, last seen: 2023-11-14 22:13:20 UTC, address: c:5672",
        "Node: d, leads 1 vhost, address: d:5672",
    ]
    assert "Node: b, status: marked for maintenance" in lines
    assert "Node: a, status: not under maintenance" in lines
    assert "a: RabbitMQ 4.0.5 (amqpbroker 1.2)" in lines
    assert "Node: a, interface: x" in lines


def test_json():
    found = shown({"formatter": "json"})
    assert (found["definitions_writer"], found["disk_nodes"], found["running_nodes"]) == (
        "a",
        ["a", "b", "c", "d"],
        ["a", "b", "d"],
    )
    assert found["maintenance_status"]["b"] == "marked for maintenance"
    assert found["versions"]["c"] == {"rabbitmq_version": "4.0.5", "amqpbroker_version": "1.2"}
    assert found["brokers"][1] == {
        "name": "b", "address": "b:5672", "running": True, "drained": True, "last_seen": 1_700_000_000_000,
        "lag": 0.26, "led_vhosts": 0, "writes_definitions": False,
    }  # fmt: skip


def test_no_broker_may_write_the_definitions_for_a_moment():
    nodes = [node("a", 1)]
    assert "Writer of definitions\n\n(none)" in shown({}, nodes)
    assert shown({"formatter": "json"}, nodes)["definitions_writer"] == ""
