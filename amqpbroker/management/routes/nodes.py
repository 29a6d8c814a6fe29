"""The node, others with the same database, and how much memory it takes (rabbit_mgmt_wm_node*.erl)."""

import logging
from typing import Any

from amqpbroker.broker.cluster import Member
from amqpbroker.broker.queues.kinds import KINDS
from amqpbroker.management import failure
from amqpbroker.management.call import Call
from amqpbroker.management.formats import members
from amqpbroker.management.formats import nodes as formats
from amqpbroker.management.formats.rates import asked_ranges
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Handler, Resource
from amqpbroker.row_slices import RowSlices

log = logging.getLogger(__name__)


async def nodes(call: Call) -> list[dict[str, Any]]:
    """Return all brokers with the same database; for a peer, only this one."""
    found = [
        members.answering_node(member, _shown(call)) if _answers(call, member) else members.other_node(member)
        for member in await _members(call)
        if _answers(call, member) or not call.from_peer
    ]
    return found or [_shown(call)]


async def node(call: Call) -> dict[str, Any]:
    """Return a node, with the parts of its memory if they are requested; for a peer, nothing of another broker."""
    member = await _named(call)
    if member is not None and not _answers(call, member):
        return {} if call.from_peer else members.other_node(member)
    row = _shown(call) if member is None else members.answering_node(member, _shown(call))
    if call.query.get("memory") == "true":
        row |= await memory(call)
    if call.query.get("binary") == "true":
        row["binary"] = formats.binary()
    return row


async def _members(call: Call) -> list[Member]:
    """Return the brokers with the same database; none if there is no database, or if it does not answer."""
    if call.node.cluster is None:
        return []
    try:
        found = await call.node.cluster.members()
    except OSError as error:
        log.info("the other brokers are not listed: %s", error)
        return []
    # Brokers that are not known yet, as after a failover of the database, are there soon.
    return found if any(_answers(call, member) for member in found) else []


def _answers(call: Call, member: Member) -> bool:
    """Return whether a member is the broker that answers the request."""
    return call.node.cluster is not None and member.process == call.node.cluster.process


async def _named(call: Call) -> Member | None:
    """Return the broker of the path, None for the node if there is no database. Raises ApiError 404."""
    name = call.path["node"]
    for member in await _members(call):
        if name == member.name or (call.node.is_named(name) and _answers(call, member)):
            return member
    if not call.node.is_named(name):
        raise failure.not_found()
    return None


async def _check_name(call: Call) -> None:
    """Raises ApiError 404 unless the path names the node that serves the request."""
    member = await _named(call)
    if member is not None and not _answers(call, member):
        raise failure.not_found()


def _shown(call: Call) -> dict[str, Any]:
    if not call.stats:
        return formats.bare_node(call.node)
    # Nodes have no samples; only the parameters are checked.
    asked_ranges(call.query)
    return formats.node_row(call.broker, call.node)


async def memory(call: Call) -> dict[str, Any]:
    await _check_name(call)
    return {"memory": formats.memory(call.node.memory_bytes(), await _queues_bytes(call))}


async def ets_memory(call: Call) -> dict[str, str]:
    """Return the memory of Erlang's tables, of which there are none, as RabbitMQ does for an unknown name."""
    await _check_name(call)
    return {"ets_tables_memory": "no_tables"}


async def relative_memory(call: Call) -> dict[str, Any]:
    await _check_name(call)
    return {"memory": formats.relative_memory(call.node.memory_bytes(), await _queues_bytes(call))}


async def _queues_bytes(call: Call) -> dict[str, int]:
    """Return the memory of the queues of each kind."""
    sizes = {kind.memory_key: 0 for kind in KINDS.values()}
    async for some in RowSlices(call.rows).of(call.broker.queues()):
        for queue in some:
            sizes[queue.kind.memory_key] += queue.info().memory
    return sizes


def _of_node(path: str, get: Handler) -> Resource:
    return Resource(f"/nodes/{{node}}/{path}", Access.MONITOR, get=get)


RESOURCES = (
    Resource("/nodes", Access.MONITOR, get=nodes),
    Resource("/nodes/{node}", Access.MONITOR, get=node),
    _of_node("memory", memory),
    _of_node("memory/relative", relative_memory),
    _of_node("memory/ets", ets_memory),
    _of_node("memory/ets/{filter}", ets_memory),
)
