"""The status of a broker and of all brokers with one database, as the API shows them."""

import pytest

from amqpbroker.cli.ctl.commands import node as commands
from tests.cli.ctl.answering import StillApi, call, listener, node

#: Facts that a broker says of itself.
FACTS = {
    "os_pid": "17", "uptime": 60_000, "being_drained": False, "db_dir": "/data", "config_files": [], "log_files": [],
    "mem_used": 0, "mem_limit": 0, "disk_free": 0, "disk_free_limit": 0, "fd_used": 0, "fd_total": 0,
    "connection_created": 12, "connection_closed": 9,
}  # fmt: skip


@pytest.fixture
def api():
    """The API of the first of two brokers."""
    overview = {
        "node": "a",
        "cluster_name": "here",
        "rabbitmq_version": "4.0.5",
        "product_name": "RabbitMQ",
        "product_version": "4.0.5",
        "erlang_full_version": "27",
        "amqpbroker": {"version": "1.2", "runs": "compiled", "python": "3.13"},
        "object_totals": {"connections": 5, "queues": 7},
        "listeners": [listener("a", 5672), listener("b", 5673)],
    }
    nodes = [node("a", **FACTS), node("b", disk_free_alarm=True, mem_alarm=True)]
    return StillApi({"nodes": nodes, "overview": overview, "vhosts?columns=name": [{"name": "/"}, {"name": "v"}]})


def section(text, title):
    """Return the lines of a section."""
    return text.split(f"{title}\n\n")[1].split("\n\n")[0].split("\n")


def test_the_cluster_has_the_alarms_and_listeners_of_all_brokers(api):
    text = commands.cluster_status(call(api))
    alarms = ["memory resource limit alarm on node b", "disk resource limit alarm on node b"]
    assert section(text, "Alarms") == alarms
    assert section(text, "Listeners") == [
        "Node: a, interface: 127.0.0.1, port: 5672, protocol: amqp, purpose: AMQP 0-9-1",
        "Node: b, interface: 127.0.0.1, port: 5673, protocol: amqp, purpose: AMQP 0-9-1",
    ]
    assert commands.cluster_status(call(api, formatter="json"))["alarms"] == alarms


def test_the_status_of_a_node_has_its_own_listeners_and_connections_and_the_queues_of_all(api):
    text = commands.status(call(api))
    assert section(text, "Listeners") == ["Interface: 127.0.0.1, port: 5672, protocol: amqp, purpose: AMQP 0-9-1"]
    assert section(text, "Totals") == ["Connection count: 3", "Queue count: 7", "Virtual host count: 2"]
    assert section(text, "Alarms") == ["(none)"]
    found = commands.status(call(api, formatter="json"))
    assert found["listeners"] == [{"interface": "127.0.0.1", "port": 5672, "protocol": "amqp"}]
    assert found["totals"] == {"connection_count": 3, "queue_count": 7, "virtual_host_count": 2}
