"""The status of brokers with one database, as text and as JSON."""

from amqpbroker.cli.ctl.brokers import status
from amqpbroker.cli.ctl.command import Call


def node(name, **more):
    return {
        "name": name, "running": True, "leader": False, "drained": False, "address": f"{name}:5672", "lag": None,
        "last_seen": 1_700_000_000_000, "amqpbroker": {"version": "1.2"}, **more,
    }  # fmt: skip


NODES = [node("a", leader=True), node("b", lag=0.26, drained=True), node("c", running=False), node("d")]
OVERVIEW = {"cluster_name": "here", "rabbitmq_version": "4.0.5"}


def shown(options):
    return status(Call(None, [], options, "/", 1.0), NODES, OVERVIEW, ["Interface: x"], ["alarm"])


def test_text():
    lines = shown({}).split("\n")
    assert lines[:3] == ["Basics", "", "Cluster name: here"]
    assert lines[lines.index("Running Nodes") + 2 :][:4] == ["a", "b", "d", ""]
    assert lines[lines.index("Brokers") + 2 :][:4] == [
        "Node: a, leads, address: a:5672",
        "Node: b, waits, lag: 0.3 s, address: b:5672",
        "Node: c, does not run, last seen: 2023-11-14 22:13:20 UTC, address: c:5672",
        "Node: d, waits, address: d:5672",
    ]
    assert "Node: b, status: marked for maintenance" in lines
    assert "Node: a, status: not under maintenance" in lines
    assert "a: RabbitMQ 4.0.5 (amqpbroker 1.2)" in lines
    assert "Node: a, interface: x" in lines


def test_json():
    found = shown({"formatter": "json"})
    assert (found["leader"], found["disk_nodes"], found["running_nodes"]) == (
        "a",
        ["a", "b", "c", "d"],
        ["a", "b", "d"],
    )
    assert found["maintenance_status"]["b"] == "marked for maintenance"
    assert found["versions"]["c"] == {"rabbitmq_version": "4.0.5", "amqpbroker_version": "1.2"}
    assert found["brokers"][1] == {
        "name": "b", "address": "b:5672", "leader": False, "running": True, "drained": True,
        "last_seen": 1_700_000_000_000, "lag": 0.26,
    }  # fmt: skip


# --- brokers that share vhosts ----------------------------------------------------------------------------------------


def sharing(name, led, writes=False, **more):
    found = {**node(name, **more), "led_vhosts": led, "writes_definitions": writes}
    del found["leader"]
    return found


SHARING = [sharing("a", 1, lag=0.26), sharing("b", 5, writes=True), sharing("c", 0, running=False)]


def test_text_of_brokers_that_share_vhosts():
    text = status(Call(None, [], {}, "/", 1.0), SHARING, OVERVIEW, ["Interface: x"], [])
    assert "Writer of definitions\n\nb\n" in text
    lines = text.split("\n")
    assert lines[lines.index("Brokers") + 2 :][:3] == [
        "Node: a, leads 1 vhost, lag: 0.3 s, address: a:5672",
        "Node: b, leads 5 vhosts, address: b:5672",
        "Node: c, does not run, last seen: 2023-11-14 22:13:20 UTC, address: c:5672",
    ]
    assert "Node: a, interface: x" in lines


def test_json_of_brokers_that_share_vhosts():
    found = status(Call(None, [], {"formatter": "json"}, "/", 1.0), SHARING, OVERVIEW, [], [])
    assert (found["definitions_writer"], "leader" in found) == ("b", False)
    assert found["brokers"][1] == {
        "name": "b", "address": "b:5672", "running": True, "drained": False, "last_seen": 1_700_000_000_000,
        "lag": None, "led_vhosts": 5, "writes_definitions": True,
    }  # fmt: skip
    nobody = [sharing("a", 1)]
    assert "Writer of definitions\n\n(none)" in status(Call(None, [], {}, "/", 1.0), nobody, OVERVIEW, [], [])
