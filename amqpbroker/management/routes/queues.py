"""Queues (rabbit_mgmt_wm_queue*.erl)."""

from collections.abc import Awaitable
from typing import Any

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.management import failure
from amqpbroker.management.bodies import SMALL_BYTES
from amqpbroker.management.call import NO_CONTENT, Answer, Call, put_answer
from amqpbroker.management.completion import all_recorded
from amqpbroker.management.formats import queues as formats
from amqpbroker.management.formats.queue_values import value_of
from amqpbroker.management.formats.rates import asked_ranges, listed, sampled
from amqpbroker.management.formats.tables import typed
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource
from amqpbroker.management.values import boolean, check_name

#: A queue with its vhost.
Found = tuple[Vhost, Queue]


def _all(call: Call) -> list[Found]:
    return [found for vhost in call.visible_vhosts() for found in _in_order(vhost)]


def _of_vhost(call: Call) -> list[Found]:
    return _in_order(call.vhost)


def _in_order(vhost: Vhost) -> list[Found]:
    """By name; quicker than a sort by a key."""
    queues = vhost.queues
    return [(vhost, queues[name]) for name in sorted(queues)]


def _name(found: Found) -> tuple[str, str]:
    return found[0].name, found[1].name


def _listed(call: Call, queues: list[Found]) -> Listing:
    node, rates = call.node.name, call.broker.rates
    if not call.stats:
        totals = call.queue_totals
        return Listing(
            queues, lambda found: formats.bare_row(found[0].name, found[1], node, totals), _name, ordered=True
        )
    wanted = asked_ranges(call.query, listed=True)
    return Listing(
        queues,
        lambda found: formats.queue_row(found[0].name, found[1], node, listed(rates, found[1], wanted)),
        _name,
        ordered=True,
        value=lambda column: value_of(column, rates),
    )


def queues(call: Call) -> Listing:
    return _listed(call, _all(call))


def vhost_queues(call: Call) -> Listing:
    return _listed(call, _of_vhost(call))


def detailed(call: Call) -> Listing:
    node, rates, wanted = call.node.name, call.broker.rates, asked_ranges(call.query, listed=True)
    return Listing(
        _all(call),
        lambda found: formats.detailed_row(found[0].name, found[1], node, listed(rates, found[1], wanted)),
        _name,
        ordered=True,
    )


def queue(call: Call) -> dict[str, Any]:
    found, node = _existing(call), call.node.name
    if not call.stats:
        return formats.bare_row(call.vhost.name, found, node, call.queue_totals)
    details = sampled(call.broker.rates, [found], asked_ranges(call.query))
    row = formats.queue(call.vhost.name, found, node, details)
    if call.broker.config.compat.extensions and found.letters:
        row["dead_letters"] = found.letters
    return row


def _existing(call: Call) -> Queue:
    """The queue of the path. Raises ApiError 404."""
    found = call.vhost.queues.get(call.path["name"])
    if found is None:
        raise failure.not_found()
    return found


def may_put(call: Call) -> None:
    call.permissions.check("configure", "queue", call.path["name"])


def put(call: Call) -> Answer:
    body, name = call.body(), call.path["name"]
    check_name("queue", name)
    node = body.get("node")
    if node not in (None, "") and not call.node.is_named(node):
        raise failure.bad_request(f"Node {node} could not be contacted")
    exists = name in call.vhost.queues
    call.actions.declare_queue(
        name, boolean(body, "durable"), False, boolean(body, "auto_delete"), typed(body.get("arguments"))
    )
    return put_answer(not exists)


def delete(call: Call) -> Answer:
    found = _existing(call)
    if_unused, if_empty = (call.query.get(condition) == "true" for condition in ("if-unused", "if-empty"))
    call.actions.delete_queue(found.name, if_unused, if_empty)
    return NO_CONTENT


def purge(call: Call) -> Awaitable[Answer]:
    call.actions.purge_queue(_existing(call).name)
    return _purged(call.vhost, call.broker)


async def _purged(vhost: Vhost, broker: Broker) -> Answer:
    await all_recorded(vhost, broker)
    return NO_CONTENT


def act(call: Call) -> Answer:
    """Refuse all actions. RabbitMQ's actions were for mirrored queues."""
    if call.path["name"] not in call.vhost.queues:
        raise failure.ApiError(404, "not_found", "queue_not_found")
    action = call.need("action")["action"]
    raise failure.bad_request(["unknown", action])


def replica_status(call: Call) -> Answer | list[dict[str, Any]]:
    """Return the state of a quorum queue's only replica, which is here."""
    found = _existing(call)
    if not found.kind.shows_raft:
        return Answer(503, {"status": "failed", "reason": f"{found.kind.name}_queue_not_supported"})
    written = found.message_stats().get("publish", 0)
    return [
        {
            "Node Name": call.node.name,
            "Raft State": "leader",
            "Membership": "voter",
            "Last Log Index": written,
            "Last Written": written,
            "Last Applied": written,
            "Commit Index": written,
            "Snapshot Index": -1,
            "Term": 1,
            "Machine Version": 5,
        }
    ]


RESOURCES = (
    Resource("/queues", Access.USER, get=queues),
    Resource("/queues/detailed", Access.USER, get=detailed),
    Resource("/queues/{vhost}", Access.VHOST, get=vhost_queues),
    Resource("/queues/quorum/{vhost}/{name}/status", Access.VISIBLE, get=replica_status),
    Resource("/queues/{vhost}/{name}", Access.VHOST, get=queue, put=put, delete=delete, may_send=may_put),
    Resource("/queues/{vhost}/{name}/contents", Access.VHOST, delete=purge),
    Resource("/queues/{vhost}/{name}/actions", Access.VHOST, post=act, max_body_bytes=SMALL_BYTES),
)
