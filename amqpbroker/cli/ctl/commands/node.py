"""Commands for the node: its status and its settings, and waiting for its start."""

import re
import time
from typing import Any

from amqpbroker.cli.ctl import brokers
from amqpbroker.cli.ctl.api import quoted
from amqpbroker.cli.ctl.command import Call, Command, Rows
from amqpbroker.cli.ctl.commands.facts import alarm_lines, configured_name, listener_lines, name, node, own_listeners
from amqpbroker.cli.ctl.commands.groups import NODE as GROUP
from amqpbroker.cli.ctl.failure import CtlError, UsageError

#: Seconds between two attempts to reach a starting broker.
_PAUSE_S = 0.2


def await_startup(call: Call) -> None:
    """Wait until the broker answers. Raises CtlError after the time limit."""
    deadline = time.monotonic() + (call.timeout_s if "timeout" in call.options else 300.0)
    while True:
        try:
            call.find().get("whoami")
        except CtlError as error:
            if time.monotonic() > deadline:
                raise CtlError(f"the broker has not started in time:\n{error}") from error
            time.sleep(_PAUSE_S)
        else:
            return


def server_version(call: Call) -> str:
    return str(call.api.get("overview")["rabbitmq_version"])


def _gb(size: int) -> str:
    return f"{round(size / 1e9, 4)} gb"


def _named_listener_lines(overview: dict[str, Any]) -> list[str]:
    """Return lines with the listeners of all brokers and the names of their nodes."""
    listeners = overview["listeners"]
    return [
        f"Node: {each['node']}, {line[0].lower()}{line[1:]}"
        for each, line in zip(listeners, listener_lines(listeners), strict=True)
    ]


def _database_lines(database: dict[str, Any] | None) -> list[str]:
    if database is None:
        return []
    return [
        f"Database: {database['url']}",
        f"Commits wait for a standby: {str(database['synchronous']).lower()}",
    ]


def status(call: Call) -> Any:
    facts, overview = node(call), call.api.get("overview")
    alarms, own, listeners = alarm_lines(facts), overview["amqpbroker"], own_listeners(overview)
    connections = facts["connection_created"] - facts["connection_closed"]
    if call.options.get("formatter") in ("json", "json_stream"):
        return {
            "node": facts["name"],
            "os": "Linux",
            "pid": int(facts["os_pid"]),
            "uptime": facts["uptime"] // 1000,
            "rabbitmq_version": overview["rabbitmq_version"],
            "product_name": overview["product_name"],
            "product_version": overview["product_version"],
            "erlang_version": overview["erlang_full_version"],
            "amqpbroker": overview["amqpbroker"],
            "is_under_maintenance": facts["being_drained"],
            "alarms": alarms,
            "data_directory": facts["db_dir"],
            "config_files": facts["config_files"],
            "log_files": facts["log_files"],
            "memory": {"total": facts["mem_used"], "limit": facts["mem_limit"]},
            "vm_memory_limit": facts["mem_limit"],
            "disk_free": facts["disk_free"],
            "disk_free_limit": facts["disk_free_limit"],
            "file_descriptors": {"total_used": facts["fd_used"], "total_limit": facts["fd_total"]},
            "totals": {
                "connection_count": connections,
                "queue_count": overview["object_totals"]["queues"],
                "virtual_host_count": len(call.api.get("vhosts?columns=name")),
            },
            "listeners": [
                {"interface": each["ip_address"], "port": each["port"], "protocol": each["protocol"]}
                for each in listeners
            ],
        }
    sections = {
        "Runtime": [
            f"OS PID: {facts['os_pid']}",
            f"Uptime (seconds): {facts['uptime'] // 1000}",
            f"Is under maintenance?: {str(facts['being_drained']).lower()}",
            f"RabbitMQ version: {overview['rabbitmq_version']}",
            f"Node name: {facts['name']}",
            f"amqpbroker version: {own['version']} ({own['runs']}), on {own['python']}",
        ],
        "Data directory": [f"Node data directory: {facts['db_dir']}", *_database_lines(own.get("database"))],
        "Config files": [f" * {file}" for file in facts["config_files"]],
        "Log file(s)": [f" * {file}" for file in facts["log_files"]],
        "Alarms": alarms or ["(none)"],
        "Memory": [
            f"Total memory used: {_gb(facts['mem_used'])}",
            f"Memory high watermark: {_gb(facts['mem_limit'])}",
        ],
        "File Descriptors": [f"Total: {facts['fd_used']}, limit: {facts['fd_total']}"],
        "Free Disk Space": [
            f"Low free disk space watermark: {_gb(facts['disk_free_limit'])}",
            f"Free disk space: {_gb(facts['disk_free'])}",
        ],
        "Totals": [
            f"Connection count: {connections}",
            f"Queue count: {overview['object_totals']['queues']}",
            f"Virtual host count: {len(call.api.get('vhosts?columns=name'))}",
        ],
        "Listeners": listener_lines(listeners),
    }
    return "\n\n".join("\n".join([title, "", *lines]) for title, lines in sections.items())


def cluster_status(call: Call) -> Any:
    nodes, overview = call.api.get("nodes"), call.api.get("overview")
    if "drained" in nodes[0]:
        alarms = [line for each in nodes for line in alarm_lines(each)]
        return brokers.status(call, nodes, overview, _named_listener_lines(overview), alarms)
    facts = nodes[0]
    if call.options.get("formatter") in ("json", "json_stream"):
        return {
            "cluster_name": overview["cluster_name"],
            "disk_nodes": [facts["name"]],
            "running_nodes": [facts["name"]],
            "alarms": alarm_lines(facts),
            "partitions": {},
            "versions": {facts["name"]: {"rabbitmq_version": overview["rabbitmq_version"]}},
        }
    sections = {
        "Basics": [f"Cluster name: {overview['cluster_name']}"],
        "Disk Nodes": [facts["name"]],
        "Running Nodes": [facts["name"]],
        "Versions": [
            f"{facts['name']}: RabbitMQ {overview['rabbitmq_version']} (amqpbroker {overview['amqpbroker']['version']})"
        ],
        "Alarms": alarm_lines(facts) or ["(none)"],
        "Network Partitions": ["(none)"],
        "Listeners": _named_listener_lines(overview),
    }
    return "\n\n".join("\n".join([title, "", *lines]) for title, lines in sections.items())


def memory_breakdown(call: Call) -> Any:
    parts = call.api.get(f"nodes/{quoted(configured_name(call))}/memory")["memory"]
    shares = {part: size for part, size in parts.items() if isinstance(size, int) and size}
    if call.options.get("formatter") in ("json", "json_stream"):
        return shares
    total = sum(shares.values()) or 1
    ordered = sorted(shares.items(), key=lambda each: each[1], reverse=True)
    return "\n".join(f"{part}: {_gb(size)} ({round(100 * size / total, 2)}%)" for part, size in ordered)


def environment(call: Call) -> Rows:
    """Return the settings in force, as `config/effective` shows them."""
    return Rows(["key", "value"], [list(each) for each in sorted(call.api.get("config/effective").items())])


def set_cluster_name(call: Call) -> None:
    call.api.put("cluster-name", {"name": call.words[0]})


def await_online_nodes(call: Call) -> None:
    """Wait until that many brokers run. Raises CtlError after the time limit, and at once if there is no database."""
    wanted, deadline = call.words[0], time.monotonic() + call.timeout_s
    if re.fullmatch("[0-9]{1,18}", wanted) is None:
        raise UsageError(f"{wanted} is not a number of nodes")
    await_startup(call)
    while wanted != "1":
        count = _online_nodes(call, wanted)
        if count >= int(wanted):
            return
        if time.monotonic() > deadline:
            raise CtlError(f"{count} of {wanted} nodes run after {call.timeout_s:g} s; start the others")
        time.sleep(_PAUSE_S)


def _online_nodes(call: Call, wanted: str) -> int:
    """Return the number of brokers that run. Raises CtlError if there will never be so many."""
    try:
        nodes = call.find().get("nodes")
    except CtlError:
        # The broker that is asked may be starting again.
        return 0
    if "drained" not in nodes[0]:
        raise CtlError(f"there is only one node, so there will never be {wanted}; wait for 1")
    return sum(each["running"] for each in nodes)


def list_node_auth_attempt_stats(call: Call) -> Rows:
    columns = ["protocol", "auth_attempts", "auth_attempts_failed", "auth_attempts_succeeded"]
    found = call.api.get(f"auth/attempts/{quoted(configured_name(call))}")
    return Rows(columns, [[each[column] for column in columns] for each in found])


def _list_features(path: str, columns: list[str], call: Call) -> Rows:
    return Rows(columns, [[each.get(column, "") for column in columns] for each in call.api.get(path)])


COMMANDS = (
    Command("await_startup", GROUP, "Waits until the broker answers.", "", await_startup),
    Command(
        "await_online_nodes",
        GROUP,
        "Waits until so many brokers with one database run; without a database, there is one node.",
        "<count>",
        await_online_nodes,
        lambda call: f"Will wait for at least {call.words[0]} nodes to join the cluster.",
    ),
    Command("status", GROUP, "Shows the node's status.", "", status, lambda call: f"Status of node {name(call)} ..."),
    Command(
        "cluster_status",
        GROUP,
        "Shows the status of the node, and of other brokers with the same database.",
        "",
        cluster_status,
        lambda call: f"Cluster status of node {name(call)} ...",
    ),
    Command(
        "server_version",
        GROUP,
        "Shows the RabbitMQ version that the broker announces to clients.",
        "",
        server_version,
        lambda call: f"Asking node {name(call)} for its RabbitMQ version...",
    ),
    Command(
        "environment",
        GROUP,
        "Shows the settings in force.",
        "",
        environment,
        lambda call: f"Application environment of node {name(call)} ...",
    ),
    Command(
        "memory_breakdown",
        GROUP,
        "Shows the use of memory by category.",
        "",
        memory_breakdown,
        lambda call: f"Reporting memory breakdown on node {name(call)}...",
    ),
    Command(
        "set_cluster_name",
        GROUP,
        "Sets the name of the cluster.",
        "<name>",
        set_cluster_name,
        lambda call: f"Setting cluster name to {call.words[0]} ...",
    ),
    Command(
        "list_node_auth_attempt_stats",
        GROUP,
        "Counts login attempts by protocol.",
        "",
        list_node_auth_attempt_stats,
        lambda call: f'Listing authentication\n attempts for node "{name(call)}" ...',
    ),
    Command(
        "list_feature_flags",
        GROUP,
        "Lists RabbitMQ's feature flags.",
        "",
        lambda call: _list_features("feature-flags", ["name", "state"], call),
        "Listing feature flags ...",
    ),
    Command(
        "list_deprecated_features",
        GROUP,
        "Lists RabbitMQ's deprecated features.",
        "",
        lambda call: _list_features("deprecated-features", ["name", "deprecation_phase"], call),
        "Listing deprecated features ...",
    ),
)
