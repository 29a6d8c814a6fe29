"""Shovels (rabbit_shovel_mgmt_shovel*.erl)."""

from datetime import UTC, datetime
from typing import Any

from amqpbroker.broker.shovels.shovels import SHOVEL, ShovelStatus
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource


def _shown(call: Call, status: ShovelStatus) -> dict[str, Any]:
    at = datetime.fromtimestamp(status.since_ms / 1000, UTC)
    shown: dict[str, Any] = {
        "node": call.node.name,
        "timestamp": f"{at:%Y-%m-%d} {at.hour}:{at:%M:%S}",
        "name": status.name,
        "vhost": status.vhost,
        "type": "dynamic",
        "state": status.state,
        **status.ends,
    }
    if status.state == "terminated":
        shown["reason"] = status.reason
    elif status.ends:
        shown["blocked_status"] = status.state
    return shown


def shovels(call: Call) -> Listing:
    """Return the shovels of the vhost in the path, or of all vhosts that the user may use."""
    vhost = call.path.get("vhost")
    found = [
        status
        for status in call.broker.shovels.statuses()
        if vhost in (None, status.vhost) and call.identity.enters_vhost(status.vhost)
    ]
    return Listing(found, lambda status: _shown(call, status), lambda status: (status.name, status.vhost), paged=False)


def shovel(call: Call) -> dict[str, Any]:
    """Return the definition of a shovel, as in its parameter."""
    value, vhost, component, name = _parameter(call)
    return {"value": value, "vhost": vhost, "component": component, "name": name}


def _parameter(call: Call) -> tuple[Any, str, str, str]:
    """Raises LookupError."""
    found = call.broker.parameters.get(SHOVEL, call.definition.name, call.path["name"])
    return found.value, found.vhost, found.component, found.name


def delete(call: Call) -> Answer:
    call.broker.parameters.delete(SHOVEL, call.definition.name, call.path["name"])
    return NO_CONTENT


def restart(call: Call) -> Answer:
    call.broker.shovels.restart(call.vhost.name, call.path["name"])
    return NO_CONTENT


RESOURCES = (
    Resource("/shovels", Access.MONITOR, get=shovels),
    Resource("/shovels/{vhost}", Access.MONITOR, get=shovels),
    Resource(
        "/shovels/vhost/{vhost}/{name}",
        Access.POLICYMAKER,
        get=shovel,
        delete=delete,
    ),
    Resource("/shovels/vhost/{vhost}/{name}/restart", Access.POLICYMAKER, delete=restart),
)
