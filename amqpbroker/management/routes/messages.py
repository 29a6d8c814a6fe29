"""Messages: publishing, getting, and moving them to another queue."""

import asyncio
from collections.abc import Callable
from typing import Any

from amqpbroker.broker.actions import Actions
from amqpbroker.broker.delivery_count import counted
from amqpbroker.broker.message import Entry
from amqpbroker.broker.queue import Queue
from amqpbroker.broker.tap import over_http
from amqpbroker.errors import AmqpError
from amqpbroker.management import failure
from amqpbroker.management.call import Call
from amqpbroker.management.formats.messages import got, published
from amqpbroker.management.resource import Access, Resource
from amqpbroker.management.routes.exchanges import exchange_name
from amqpbroker.management.synced import all_synced
from amqpbroker.management.values import integer

#: How many messages are taken or moved, with how many octets of bodies, before the broker's other work gets its turn.
SLICE = 100
SLICE_BYTES = 2 * 1024 * 1024

#: How many octets may wait for the disk before moving goes on.
UNWRITTEN = 8 * 1024 * 1024

# --- publish ----------------------------------------------------------------------------------------------------------


async def publish(call: Call) -> dict[str, bool]:
    """Answered when what was published is as safe as a publisher's confirm says."""
    body = call.need("routing_key", "properties", "payload", "payload_encoding")
    actions = call.actions
    message = published(exchange_name(call.path["name"]), body)
    try:
        routed, accepted = actions.publish(message, call.who.user)
    except AmqpError as error:
        raise failure.from_channel(error, "exchange") from None
    if not accepted:
        raise failure.bad_request("rejected Unable to publish message. Check queue limits.")
    await all_synced(call.broker)
    return {"routed": routed}


# --- get --------------------------------------------------------------------------------------------------------------

#: ackmode -> whether what is got is acknowledged at once, and what becomes of it else.
_ACK_MODES: dict[str, tuple[bool, Callable[[Queue, list[Entry]], None] | None]] = {
    "ack_requeue_true": (False, lambda queue, entries: queue.requeue(entries)),
    "ack_requeue_false": (True, None),
    "reject_requeue_true": (False, lambda queue, entries: queue.requeue(entries)),
    "reject_requeue_false": (False, lambda queue, entries: queue.reject(entries)),
}


async def get(call: Call) -> list[dict[str, Any]]:
    """Up to `count` messages, all of which are out of the queue together before any goes back."""
    body = call.need("count", "ackmode", "encoding")
    count, encoding, ack_mode = integer(body["count"]), body["encoding"], body["ackmode"]
    truncate = integer(body["truncate"]) if "truncate" in body else None
    if encoding not in ("auto", "base64"):
        raise failure.bad_request("Unsupported encoding. Please use auto or base64.")
    if ack_mode not in _ACK_MODES or (truncate is not None and truncate < 0):
        # RabbitMQ breaks on these.
        raise failure.ApiError(500, "internal_server_error", "no such ackmode or truncate")
    queue = _queue_to_get_from(call)
    no_ack, settle = _ACK_MODES[ack_mode]
    held: list[Entry] = []
    try:
        return await _got(call, queue, count, no_ack, held, encoding, truncate)
    finally:
        if held and settle is not None:
            settle(queue, held)


def _queue_to_get_from(call: Call) -> Queue:
    try:
        return call.actions.queue_to_get_from(call.path["name"])
    except AmqpError as error:
        if error.code == 403:
            raise failure.not_authorised(error.text) from None
        raise failure.from_channel(error, "queue") from None


async def _got(
    call: Call, queue: Queue, count: int, no_ack: bool, held: list[Entry], encoding: str, truncate: int | None
) -> list[dict[str, Any]]:
    """Take messages; those that are to be settled are put into `held`. A negative count is all."""
    vhost, compat = call.vhost, call.broker.config.compat
    shown: list[dict[str, Any]] = []
    size = SLICE_BYTES
    while len(shown) != count and not queue.closed:
        with vhost.dead_letters:
            entry = queue.get(no_ack)
            if entry is None:
                vhost.count(get_empty=1)
                break
            if not no_ack:
                held.append(entry)
            redelivered = entry.redelivered
            vhost.count(redeliver=int(redelivered), **{"get_no_ack" if no_ack else "get": 1})
            message = counted(entry.message, queue, entry.acquired_count, entry.delivery_count, compat)
            for tap in vhost.taps:
                tap.delivered(vhost, message, queue.name, redelivered, over_http(call.who.user.name))
            shown.append(got(message, redelivered, queue.ready_count, encoding, truncate))
        size -= message.size
        if size < 0 or not len(shown) % SLICE:
            size = SLICE_BYTES
            await asyncio.sleep(0)
    return shown


# --- move -------------------------------------------------------------------------------------------------------------


async def move(call: Call) -> dict[str, int]:
    """RabbitMQ does this with a shovel. What comes in meanwhile stays."""
    body = call.need("destination")
    source = call.actions.readable_queue(call.path["name"])
    destination = _destination(call, body)
    if destination is source:
        raise failure.bad_request("destination is the queue itself")
    wanted = _wanted(body["count"]) if body.get("count") is not None else source.ready_count
    left = min(wanted, source.ready_count)
    moved = 0
    while moved < left:
        some = source.move(destination, min(SLICE, left - moved), SLICE_BYTES)
        if not some:
            break
        moved += some
        await asyncio.sleep(0)
        if call.broker.store.waiting_bytes > UNWRITTEN:
            await all_synced(call.broker)
    await all_synced(call.broker)
    return {"moved": moved}


def _wanted(count: Any) -> int:
    """Raises ApiError 400."""
    wanted = integer(count)
    if isinstance(count, float) or wanted < 0:
        raise failure.bad_request("count is to be a whole number, and not negative")
    return wanted


def _destination(call: Call, body: dict[str, Any]) -> Queue:
    """Raises ApiError 400, 401 or 404, AmqpError."""
    name, vhost_name = body["destination"], body.get("destination_vhost", call.vhost.name)
    if not isinstance(name, str) or not isinstance(vhost_name, str):
        raise failure.bad_request("destination and destination_vhost are to be names")
    vhost = call.broker.vhosts.get(vhost_name)
    if vhost is None:
        raise failure.no_vhost()
    permissions = call.who.permissions(vhost_name)
    if permissions is None:
        raise failure.not_authorised("Access refused.")
    return Actions(vhost, permissions).writable_queue(name)


RESOURCES = (
    Resource("/exchanges/{vhost}/{name}/publish", Access.VHOST, post=publish),
    Resource("/queues/{vhost}/{name}/get", Access.VHOST, post=get),
    Resource("/queues/{vhost}/{name}/move", Access.VHOST, post=move),
)
