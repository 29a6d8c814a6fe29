"""Facts about the node that several commands show."""

from typing import Any

from amqpbroker.cli.ctl.command import Call


def node(call: Call) -> dict[str, Any]:
    """Return the node that answers. Of brokers with one database, it is the first."""
    found: dict[str, Any] = call.api.get("nodes")[0]
    return found


def name(call: Call) -> str:
    return str(node(call)["name"])


def configured_name(call: Call) -> str:
    """Return the name of the node in paths. `name` also has an address if several brokers have the same name."""
    return str(call.api.get("overview")["node"])


def alarm_lines(facts: dict[str, Any]) -> list[str]:
    names = (("mem_alarm", "memory"), ("disk_free_alarm", "disk"))
    return [f"{what} resource limit alarm on node {facts['name']}" for key, what in names if facts.get(key)]


def own_listeners(overview: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the listeners of the node that answers. The overview has those of all brokers with one database."""
    return [each for each in overview["listeners"] if each["node"] == overview["node"]]


def listener_lines(listeners: list[dict[str, Any]]) -> list[str]:
    purposes = {
        "amqp": "AMQP 0-9-1",
        "amqp/ssl": "AMQP 0-9-1 over TLS",
        "http": "HTTP API",
        "https": "HTTP API over TLS (HTTPS)",
        "http/prometheus": "Prometheus exporter API over HTTP",
        "https/prometheus": "Prometheus exporter API over TLS (HTTPS)",
    }
    lines = []
    for each in listeners:
        host = f"[{each['ip_address']}]" if ":" in each["ip_address"] else each["ip_address"]
        protocol = each["protocol"]
        purpose = purposes.get(protocol, protocol)
        lines.append(f"Interface: {host}, port: {each['port']}, protocol: {protocol}, purpose: {purpose}")
    return lines
