"""The status of brokers with one database, as rabbitmqctl prints that of a cluster."""

from datetime import UTC, datetime
from typing import Any

from amqpbroker.cli.ctl.command import Call

#: Keys of a broker in JSON.
_KEYS = ("name", "address", "running", "drained", "last_seen", "lag", "led_vhosts", "writes_definitions")

_MAINTENANCE = {False: "not under maintenance", True: "marked for maintenance"}


def status(
    call: Call, nodes: list[dict[str, Any]], overview: dict[str, Any], listeners: list[str], alarms: list[str]
) -> Any:
    """Return the status. nodes: as the API lists them. listeners, alarms: lines about all of them."""
    names = [each["name"] for each in nodes]
    writer = next((each["name"] for each in nodes if each["writes_definitions"]), "")
    running = [each["name"] for each in nodes if each["running"]]
    if call.options.get("formatter") in ("json", "json_stream"):
        return {
            "cluster_name": overview["cluster_name"],
            "disk_nodes": names,
            "running_nodes": running,
            "definitions_writer": writer,
            "alarms": alarms,
            "partitions": {},
            "versions": {
                each["name"]: {
                    "rabbitmq_version": overview["rabbitmq_version"],
                    "amqpbroker_version": each["amqpbroker"]["version"],
                }
                for each in nodes
            },
            "maintenance_status": {each["name"]: _MAINTENANCE[each["drained"]] for each in nodes},
            "brokers": [{key: each[key] for key in _KEYS} for each in nodes],
        }
    sections = {
        "Basics": [f"Cluster name: {overview['cluster_name']}"],
        "Disk Nodes": names,
        "Running Nodes": running,
        "Writer of definitions": [writer or "(none)"],
        "Brokers": [f"Node: {each['name']}, {_state(each)}, address: {each['address']}" for each in nodes],
        "Versions": [
            f"{each['name']}: RabbitMQ {overview['rabbitmq_version']} (amqpbroker {each['amqpbroker']['version']})"
            for each in nodes
        ],
        "Maintenance status": [f"Node: {each['name']}, status: {_MAINTENANCE[each['drained']]}" for each in nodes],
        "Alarms": alarms or ["(none)"],
        "Network Partitions": ["(none)"],
        "Listeners": listeners,
    }
    return "\n\n".join("\n".join([title, "", *lines]) for title, lines in sections.items())


def _state(node: dict[str, Any]) -> str:
    if not node["running"]:
        seen = datetime.fromtimestamp(node["last_seen"] / 1000, UTC)
        return f"does not run, last seen: {seen:%Y-%m-%d %H:%M:%S} UTC"
    lag = "" if node["lag"] is None else f", lag: {node['lag']:.1f} s"
    count = node["led_vhosts"]
    return f"leads {count} vhost{'' if count == 1 else 's'}{lag}"
