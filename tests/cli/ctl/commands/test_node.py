"""The status of a broker and of all brokers with one database, as the API shows them."""

import pytest

from amqpbroker.cli.ctl.commands import node as commands
from tests.cli.ctl.answering import StillApi, call, listener, node


@pytest.fixture
def api():
    """The API of the first of two brokers."""
    overview = {
        "node": "a",
        "cluster_name": "here",
        "rabbitmq_version": "4.0.5",
        "listeners": [listener("a", 5672), listener("b", 5673)],
    }
    return StillApi({"nodes": [node("a"), node("b", disk_free_alarm=True, mem_alarm=True)], "overview": overview})


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
