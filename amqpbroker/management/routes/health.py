"""Health checks (rabbit_mgmt_wm_health_check_*.erl, rabbit_mgmt_wm_aliveness_test.erl).

Without a database, checks of clusters succeed. Brokers with one database check whether their vhosts have leaders,
whether another broker could lead, and whether any of them has an alarm.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from amqpbroker.management import failure
from amqpbroker.management.call import Answer, Call
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource
from amqpbroker.management.values import whole_number
from amqpbroker.message.message import Message

_OK = {"status": "ok"}

#: The queue through which a message goes; as RabbitMQ's, it stays there.
_ALIVENESS_QUEUE = "aliveness-test"

_DAY_MS = 86_400_000
_UNITS_MS = {"days": _DAY_MS, "weeks": 7 * _DAY_MS, "months": 30 * _DAY_MS, "years": 365 * _DAY_MS}

#: Other names of protocols -> the names of listeners.
_PROTOCOLS = {
    "amqp091": "amqp",
    "amqp10": "amqp",
    "amqps": "amqp/ssl",
    "amqp091s": "amqp/ssl",
    "prometheus": "http/prometheus",
}


_LIMIT_REACHED = "node connection limit is reached"


def failed(reason: str, **more: Any) -> Answer:
    return Answer(503, {"status": "failed", "reason": reason, **more})


def fine(call: Call) -> dict[str, Any]:
    return _OK


async def quorum_critical(call: Call) -> Any:
    """Check that another broker could lead if the one that got the request ended."""
    cluster = call.node.cluster
    if cluster is None:
        return {**_OK, "reason": "single node cluster"}
    try:
        members = await cluster.members()
    except OSError as error:
        return failed(f"the other brokers are not known: {error.strerror}")
    if any(each.running and not each.drained for each in members if each.process != cluster.process):
        return _OK
    return failed("no other broker could lead: start one with the same database, or revive one that is drained")


def _is_full(call: Call) -> bool:
    limit = call.broker.config.max_connections
    return bool(limit) and len(call.broker.sessions) >= limit


def _unserved(call: Call, vhosts: Iterable[str]) -> list[str]:
    """Return the vhosts that no broker serves, as far as this one knows."""
    cluster = call.node.cluster
    if cluster is None:
        return []
    served = call.broker.vhosts
    # A leader reads the messages before it serves them.
    return [name for name in vhosts if name not in served and cluster.leader_of(name) in ("", cluster.name)]


def _seen(call: Call) -> list[str]:
    return [name for name in call.broker.defined_vhosts if call.identity.sees_vhost(name)]


def virtual_hosts(call: Call) -> Any:
    """Check that all vhosts that the user sees are served."""
    down = _unserved(call, _seen(call))
    return failed("Some virtual hosts are down", **{"virtual-hosts": down}) if down else _OK


def quorum_queues(call: Call) -> Any:
    """Check that all vhosts that the user sees, or the one of the path, are served, with their quorum queues.

    The names of queues are not known where nobody serves them, so a pattern changes nothing.
    """
    vhost = call.path.get("vhost")
    down = _unserved(call, _seen(call) if vhost is None else [vhost])
    if not down:
        return _OK
    reason = f"Detected quorum queues without an elected leader: no broker serves vhost '{down[0]}'"
    return failed(reason, queues=[], **{"virtual-hosts": down})


#: The reason of RabbitMQ's checks.
_NOT_SERVING = "this rabbit node is not currently available to serve"


def _out_of_service(call: Call) -> str:
    """Return why clients should go to another broker, empty if they need not."""
    cluster = call.node.cluster
    if cluster is None:
        return ""
    if cluster.is_drained():
        return f"{_NOT_SERVING}: it is drained (amqpbroker ctl revive {cluster.name})"
    if not cluster.reaches_database():
        return f"{_NOT_SERVING}: the database does not answer it"
    return ""


def in_service(call: Call) -> Any:
    """Check that this broker is not drained, and reaches the database."""
    reason = _out_of_service(call)
    return failed(reason) if reason else _OK


def ready_to_serve(call: Call) -> Any:
    """Check that this broker is in service, and accepts clients of AMQP."""
    reason = _out_of_service(call)
    if reason:
        return failed(reason)
    if not any(listener.protocol in ("amqp", "amqp/ssl") for listener in call.node.listeners):
        return failed("no active listeners for AMQP/AMQPS")
    if _is_full(call):
        return failed(_LIMIT_REACHED, connections=len(call.broker.sessions))
    return _OK


# --- alarms -----------------------------------------------------------------------------------------------------------


Alarms = list[dict[str, str]]


def _own_alarms(call: Call) -> Alarms:
    return [{"node": call.node.distinct_name, "resource": resource} for resource in call.broker.alarms.resources]


def _without_alarms(alarms: Alarms, where: str) -> Any:
    return failed(f"There are alarms in effect {where}", alarms=alarms) if alarms else _OK


def local_alarms(call: Call) -> Any:
    """Check that this broker has no alarms."""
    return _without_alarms(_own_alarms(call), "on the node")


def alarms(call: Call) -> Any:
    """Check that no broker with the same database has alarms; for a peer, return those of this one."""
    found = _own_alarms(call)
    return found if call.from_peer else alarms_in_cluster(found)


def alarms_in_cluster(alarms: Alarms) -> Any:
    return _without_alarms(alarms, "in the cluster")


def node(call: Call) -> Any:
    """Run RabbitMQ's first health check: the alarms, as Erlang prints them."""
    name = call.node.distinct_name
    if not call.node.is_named(call.path.get("node", name)):
        raise failure.not_found()
    atom = name if re.fullmatch(r"[a-z][\w@]*", name, re.ASCII) else f"'{name}'"
    on = ",".join([f"{{resource_limit,{resource},{atom}}}" for resource in call.broker.alarms.resources])
    return failed(f"resource alarm(s) in effect:[{on}]") if on else _OK


# --- listeners --------------------------------------------------------------------------------------------------------


def port_listener(call: Call) -> Any:
    try:
        port = whole_number(call.path["port"])
    except ValueError:
        raise failure.bad_request("Invalid port") from None
    ports = [listener.port for listener in call.node.listeners]
    if port not in ports:
        return failed("No active listener", missing=port, ports=list(dict.fromkeys(ports)))
    return {**_OK, "port": port}


def protocol_listener(call: Call) -> Any:
    """All of several, with commas between them."""
    protocols = list(dict.fromkeys([listener.protocol for listener in call.node.listeners]))
    wanted = [_PROTOCOLS.get(name, name) for name in call.path["protocols"].split(",")]
    missing = [name for name in wanted if name not in protocols]
    if missing:
        return failed("No active listener", missing=",".join(missing), protocols=protocols)
    return {**_OK, "protocol": ",".join(wanted)}


def certificate_expiration(call: Call) -> Any:
    """Check whether certificates of listeners expire within so many days, weeks, months or years."""
    unit_ms = _UNITS_MS.get(call.path["unit"])
    if unit_ms is None:
        raise failure.bad_request("Time unit not recognised. Supported units: days, weeks, months, years.")
    try:
        until_ms = call.broker.clock.wall_ms() + whole_number(call.path["within"]) * unit_ms
    except ValueError:
        raise failure.bad_request("Invalid expiration value.") from None
    expired = []
    for protocol, host, port in call.node.listeners:
        found = call.node.certificates.get(protocol)
        if (
            found is not None
            and min((*found.certfile_expires_ms, *found.cacertfile_expires_ms), default=until_ms) < until_ms
        ):
            expired.append(
                {
                    "node": call.node.distinct_name,
                    "protocol": protocol,
                    "interface": host,
                    "port": port,
                    "certfile": found.certfile,
                    "cacertfile": found.cacertfile,
                    "certfile_expires_on": [_shown_ms(at_ms) for at_ms in found.certfile_expires_ms],
                    "cacertfile_expires_on": [_shown_ms(at_ms) for at_ms in found.cacertfile_expires_ms],
                }
            )
    return failed("Certificates expiring", expired=expired) if expired else _OK


def _shown_ms(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def below_connection_limit(call: Call) -> Any:
    counted = {"limit": call.broker.config.max_connections or "infinity", "connections": len(call.broker.sessions)}
    if _is_full(call):
        return failed(_LIMIT_REACHED, **counted)
    return {**_OK, **counted}


# --- messages ---------------------------------------------------------------------------------------------------------


def aliveness(call: Call) -> Any:
    """Check that a message gets through a queue of the vhost."""
    permissions, name = call.permissions, _ALIVENESS_QUEUE
    permissions.check("write", "exchange", "")
    permissions.check("read", "queue", name)
    queue = call.vhost.queues.get(name) or call.actions.declare_queue(name, False, False, False, {})
    call.vhost.publish(Message(b"\0" + bytes((len(name),)) + name.encode(), b"\0\0", b"test_message"), [queue])
    return _OK if queue.get(no_ack=True) is not None else failed("aliveness_test_failed")


def _check(path: str, check: Callable[[Call], Any], access: Access = Access.USER) -> Resource:
    return Resource(f"/health/checks/{path}", access, get=check)


RESOURCES = (
    Resource("/aliveness-test/{vhost}", Access.VHOST, get=aliveness),
    Resource("/healthchecks/node", Access.USER, get=node),
    Resource("/healthchecks/node/{node}", Access.USER, get=node),
    Resource("/health/checks/alarms", Access.USER, get=alarms),
    _check("local-alarms", local_alarms),
    _check("metadata-store/initialized", fine),
    _check("metadata-store/initialized/with-data", fine),
    _check("certificate-expiration/{within}/{unit}", certificate_expiration),
    _check("port-listener/{port}", port_listener),
    _check("protocol-listener/{protocols}", protocol_listener),
    _check("virtual-hosts", virtual_hosts),
    _check("quorum-queues-without-elected-leaders/all-vhosts", quorum_queues),
    _check("quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}", quorum_queues),
    _check("quorum-queues-without-elected-leaders/vhost/{vhost}", quorum_queues, Access.VISIBLE),
    _check("quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}", quorum_queues, Access.VISIBLE),
    _check("node-is-quorum-critical", quorum_critical),
    _check("is-in-service", in_service),
    _check("below-node-connection-limit", below_connection_limit),
    _check("ready-to-serve-clients", ready_to_serve),
    _check("reached-target-cluster-size", fine),
)
