"""The one node, and how much memory it takes (rabbit_mgmt_wm_node*.erl)."""

from typing import Any

from amqpbroker.broker.queues.kinds import KINDS
from amqpbroker.management import failure
from amqpbroker.management.call import Call
from amqpbroker.management.formats import nodes as formats
from amqpbroker.management.formats.rates import asked_ranges
from amqpbroker.management.identity import Access
from amqpbroker.management.resource import Resource
from amqpbroker.row_slices import RowSlices


def nodes(call: Call) -> list[dict[str, Any]]:
    return [_shown(call)]


async def node(call: Call) -> dict[str, Any]:
    """Return the node, with the parts of its memory if they are requested."""
    _check_name(call)
    row = _shown(call)
    if call.query.get("memory") == "true":
        row |= await memory(call)
    if call.query.get("binary") == "true":
        row["binary"] = formats.binary()
    return row


def _check_name(call: Call) -> None:
    """Raises ApiError 404."""
    if call.path["node"] != call.node.name:
        raise failure.not_found()


def _shown(call: Call) -> dict[str, Any]:
    if not call.stats:
        return formats.bare_node(call.node)
    # Nodes have no samples; only the parameters are checked.
    asked_ranges(call.query)
    return formats.node_row(call.broker, call.node)


async def memory(call: Call) -> dict[str, Any]:
    _check_name(call)
    return {"memory": formats.memory(call.node.memory_bytes(), await _queues_bytes(call))}


def ets_memory(call: Call) -> dict[str, str]:
    """Return the memory of Erlang's tables, of which there are none, as RabbitMQ does for an unknown name."""
    _check_name(call)
    return {"ets_tables_memory": "no_tables"}


async def relative_memory(call: Call) -> dict[str, Any]:
    _check_name(call)
    return {"memory": formats.relative_memory(call.node.memory_bytes(), await _queues_bytes(call))}


async def _queues_bytes(call: Call) -> dict[str, int]:
    """Return the memory of the queues of each kind."""
    sizes = {kind.memory_key: 0 for kind in KINDS.values()}
    async for some in RowSlices(call.rows).of(call.broker.queues()):
        for queue in some:
            sizes[queue.kind.memory_key] += queue.info().memory
    return sizes


RESOURCES = (
    Resource("/nodes", Access.MONITOR, get=nodes),
    Resource("/nodes/{node}", Access.MONITOR, get=node),
    Resource("/nodes/{node}/memory", Access.MONITOR, get=memory),
    Resource("/nodes/{node}/memory/relative", Access.MONITOR, get=relative_memory),
    Resource("/nodes/{node}/memory/ets", Access.MONITOR, get=ets_memory),
    Resource("/nodes/{node}/memory/ets/{filter}", Access.MONITOR, get=ets_memory),
)
