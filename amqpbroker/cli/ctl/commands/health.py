"""Health checks (rabbitmq-diagnostics)."""

import socket
from typing import Any

from amqpbroker.cli.ctl.command import Call, Command
from amqpbroker.cli.ctl.commands.facts import listener_lines, name, own_listeners
from amqpbroker.cli.ctl.commands.groups import MONITORING as GROUP
from amqpbroker.cli.ctl.commands.groups import NODE
from amqpbroker.cli.ctl.failure import ApiError, CtlError

#: Resources of alarms as rabbitmq-diagnostics calls them.
_LOW = {"memory": "Memory", "disk": "Free disk space"}
_UNITS = {"days", "weeks", "months", "years"}


def ping(call: Call) -> str:
    call.api.get("whoami")
    return "Ping succeeded"


def is_running(call: Call) -> str:
    return f"RabbitMQ on node {name(call)} is fully booted and running"


def _alarmed(call: Call, path: str, fine: str) -> str:
    try:
        call.api.get(path)
    except ApiError as error:
        if "alarms" not in error.answer:
            raise
        lines = [f"{_LOW[alarm['resource']]} alarm on node {alarm['node']}" for alarm in error.answer["alarms"]]
        raise CtlError("\n".join([f"Node {name(call)} reported the following alarms:", *lines])) from error
    return fine


def check_local_alarms(call: Call) -> str:
    return _alarmed(call, "health/checks/local-alarms", f"Node {name(call)} reported no local alarms")


def check_alarms(call: Call) -> str:
    return _alarmed(call, "health/checks/alarms", f"Node {name(call)} reported no alarms, local or clusterwide")


def alarms(call: Call) -> str:
    try:
        return check_alarms(call)
    except CtlError as error:
        return str(error)


def _listeners(call: Call) -> list[dict[str, Any]]:
    return own_listeners(call.api.get("overview"))


def check_port_connectivity(call: Call) -> str:
    lines, ports, failed = [], [], []
    for each in _listeners(call):
        host = call.options.get("address") or {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104 - not listened on
            each["ip_address"], each["ip_address"]
        )
        lines.append(f"Will connect to {host}:{each['port']}")
        try:
            socket.create_connection((host, each["port"]), call.timeout_s).close()
        except OSError as error:
            failed.append(f"{host}:{each['port']}: {error.strerror or error}")
        else:
            ports.append(str(each["port"]))
    if failed:
        raise CtlError("Connection attempts to these listeners failed:\n" + "\n".join(failed))
    return "\n".join([*lines, f"Successfully connected to ports {', '.join(sorted(ports))} on node {name(call)}."])


def check_port_listener(call: Call) -> str:
    ports = sorted(str(each["port"]) for each in _listeners(call))
    if call.words[0] not in ports:
        raise CtlError(
            f"No listener for port {call.words[0]} is active on node {name(call)}."
            f" Found listeners that use the following ports: {', '.join(ports)}"
        )
    return f"A listener for port {call.words[0]} is running on node {name(call)}."


def check_protocol_listener(call: Call) -> str:
    aliases = {"amqp091": "amqp", "amqps": "amqp/ssl"}
    wanted = aliases.get(call.words[0], call.words[0])
    protocols = sorted({str(each["protocol"]) for each in _listeners(call)})
    if wanted not in protocols:
        raise CtlError(
            f"No listener for protocol {call.words[0]} is active on node {name(call)}."
            f" Found listeners for the following protocols: {', '.join(protocols)}"
        )
    return f"A listener for protocol {call.words[0]} is running on node {name(call)}."


def check_virtual_hosts(call: Call) -> str:
    call.api.get("health/checks/virtual-hosts")
    return f"Node {name(call)} reported all vhosts as running"


def check_certificate_expiration(call: Call) -> str:
    within, unit = call.options.get("within", "4"), call.options.get("unit", "weeks")
    if unit not in _UNITS or not within.isdecimal():
        raise CtlError(f"--within must be a number from 1 on, and --unit one of {', '.join(sorted(_UNITS))}", 64)
    try:
        call.api.get(f"health/checks/certificate-expiration/{within}/{unit}")
    except ApiError as error:
        if error.http_status == 503:
            raise CtlError(f"Some certificates are expiring within {within} {unit}: {error}") from error
        raise
    return f"No certificates are expiring within {within} {unit}."


def check_if_node_is_quorum_critical(call: Call) -> str:
    found = call.api.get("health/checks/node-is-quorum-critical")
    if "reason" not in found:
        return "Another broker could lead if this one ended"
    return f"Node {name(call)} seems to be the only one in a single node cluster, the check does not apply"


def listeners(call: Call) -> Any:
    found = _listeners(call)
    if call.options.get("formatter") in ("json", "json_stream"):
        return {"listeners": found}
    return "\n".join(listener_lines(found))


COMMANDS = (
    Command("ping", NODE, "Checks that the broker answers.", "", ping, "Will ping the broker."),
    Command(
        "is_running",
        NODE,
        "Checks that the broker is running.",
        "",
        is_running,
        lambda call: f"Asking node {name(call)} for its status ...",
    ),
    Command(
        "check_running",
        GROUP,
        "Fails unless the broker is running.",
        "",
        is_running,
        lambda call: f"Checking if RabbitMQ is running on node {name(call)} ...",
    ),
    Command(
        "check_alarms",
        GROUP,
        "Fails if an alarm of any broker with the same database is active.",
        "",
        check_alarms,
        lambda call: f"Asking node {name(call)} to report any local resource alarms ...",
    ),
    Command(
        "check_local_alarms",
        GROUP,
        "Fails if an alarm of this broker is active.",
        "",
        check_local_alarms,
        lambda call: f"Asking node {name(call)} to report any local resource alarms ...",
    ),
    Command(
        "alarms",
        GROUP,
        "Lists the active alarms of all brokers with the same database.",
        "",
        alarms,
        lambda call: f"Asking node {name(call)} to report any known resource alarms ...",
    ),
    Command(
        "check_port_connectivity",
        GROUP,
        "Connects to every listener; fails if one cannot be reached.",
        "",
        check_port_connectivity,
        lambda call: f"Testing TCP connections to all active listeners on node {name(call)} ...",
        {"address": True},
    ),
    Command(
        "check_port_listener",
        GROUP,
        "Fails unless a listener has this port.",
        "<port>",
        check_port_listener,
        lambda call: f"Asking node {name(call)} if there's an active listener on port {call.words[0]} ...",
    ),
    Command(
        "check_protocol_listener",
        GROUP,
        "Fails unless a listener has this protocol.",
        "<protocol>",
        check_protocol_listener,
        lambda call: f"Asking node {name(call)} if there's an active listener for protocol {call.words[0]} ...",
    ),
    Command(
        "check_virtual_hosts",
        GROUP,
        "Fails unless all vhosts are running.",
        "",
        check_virtual_hosts,
        lambda call: f"Checking if all vhosts are running on node {name(call)} ...",
    ),
    Command(
        "check_certificate_expiration",
        GROUP,
        "Fails if a certificate expires soon.",
        "",
        check_certificate_expiration,
        lambda call: f"Checking certificate expiration on node {name(call)} ...",
        {"within": True, "unit": True},
    ),
    Command(
        "check_if_node_is_quorum_critical",
        GROUP,
        "Fails if no other broker with the same database could lead; succeeds without a database.",
        "",
        check_if_node_is_quorum_critical,
        lambda call: f"Checking if node {name(call)} is critical for quorum of any queues/streams ...",
    ),
    Command(
        "listeners",
        GROUP,
        "Lists the listeners with their ports and protocols.",
        "",
        listeners,
        lambda call: f"Asking node {name(call)} to report its protocol listeners ...",
    ),
)
