"""Messages: publishing, getting, and moving them to another queue."""

import asyncio
from functools import partial
from typing import Any

from starlette.responses import Response

from amqpbroker.broker.actions import Actions
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.slices import SLICE_MS
from amqpbroker.broker.users.permissions import Permissions
from amqpbroker.errors import AmqpError
from amqpbroker.management import failure
from amqpbroker.management.call import Call
from amqpbroker.management.completion import all_synced
from amqpbroker.management.formats.messages import published
from amqpbroker.management.get_request import ACK_MODES, GetRequest
from amqpbroker.management.identity import Access
from amqpbroker.management.peeking import Peeking, check_keys, named_messages, unreadable
from amqpbroker.management.resource import Resource
from amqpbroker.management.routes.exchanges import exchange_name
from amqpbroker.management.streamed import answer
from amqpbroker.management.values import integer

# --- publish ----------------------------------------------------------------------------------------------------------


def may_publish(call: Call) -> None:
    call.permissions.check("write", "exchange", exchange_name(call.path["name"]))


async def publish(call: Call) -> dict[str, bool]:
    """Answered when what was published is as safe as a publisher's confirm says."""
    exchange = exchange_name(call.path["name"])
    if exchange not in call.vhost.exchanges:
        raise failure.ApiError(404, "not_found", "exchange_not_found")
    body = call.need("routing_key", "properties", "payload", "payload_encoding")
    actions = call.actions
    message = published(exchange, body)
    try:
        routed, accepted = actions.publish(message, call.identity.user)
    except AmqpError as error:
        raise failure.from_channel(error, "exchange") from None
    if not accepted:
        raise failure.bad_request("rejected Unable to publish message. Check queue limits.")
    await all_synced(call.broker)
    return {"routed": routed}


# --- get --------------------------------------------------------------------------------------------------------------


def may_read(call: Call) -> None:
    call.check()
    call.permissions.check("read", "queue", call.path["name"])


async def get(call: Call) -> Response | list[Any]:
    """Up to `count` messages, all of which are out of the queue together before any goes back."""
    if call.path["name"] not in call.vhost.queues:
        raise failure.ApiError(404, "not_found", "queue_not_found")
    body = call.need("count", "ackmode", "encoding")
    count, encoding, ack_mode = integer(body["count"]), body["encoding"], body["ackmode"]
    if encoding not in ("auto", "base64"):
        raise failure.bad_request("Unsupported encoding. Please use auto or base64.")
    truncate = integer(body["truncate"]) if "truncate" in body else None
    # RabbitMQ answers these two with an internal error.
    if not isinstance(ack_mode, str) or ack_mode not in ACK_MODES:
        raise failure.bad_request(f"ackmode is to be one of {', '.join(ACK_MODES)}")
    if truncate is not None and truncate < 0:
        raise failure.bad_request(f"truncate is to be 0 or more, not {truncate}")
    if not count:
        return []  # the queue is not accessed, so no permission is required
    queue = _queue_to_get_from(call)
    getting = GetRequest(call, queue, count, ack_mode, encoding, truncate)
    try:
        return await answer(getting.parts(partial(may_read, call)), partial(may_read, call))
    except AmqpError as error:  # a stream
        raise failure.bad_request(f"{error.code} {error.explanation}") from None


def _queue_to_get_from(call: Call) -> Queue:
    try:
        return call.actions.queue_to_get_from(call.path["name"])
    except AmqpError as error:
        if error.code == 403:
            raise failure.not_authorised(error.text) from None
        raise failure.from_channel(error, "queue") from None


# --- peek and discard -------------------------------------------------------------------------------------------------


def _readable_queue(call: Call) -> Queue:
    """Raises ApiError 401, 404; 400 for a queue that is exclusive to a connection."""
    if not call.broker.config.compat.extensions:
        raise failure.not_found()
    try:
        return call.actions.readable_queue(call.path["name"])
    except AmqpError as error:
        if error.code == 403:
            raise failure.not_authorised(error.text) from None
        raise failure.from_channel(error, "queue") from None


async def peek(call: Call) -> dict[str, Any]:
    """Read messages of a queue without changing anything."""
    return await Peeking(call, _readable_queue(call), partial(may_read, call)).answer()


async def discard(call: Call) -> dict[str, int]:
    """Remove chosen ready messages of a queue, without dead-lettering them.

    A message is named by the position and the checksum that `peek` shows. A message that is not ready, or has another
    content, stays.
    """
    queue = _readable_queue(call)
    if queue.kind.retains:
        raise failure.messages_stay(queue.name)
    check_keys("the body", call.body(), ("messages",))
    # The last ones first: without its first message, a parked message group delivers the others.
    chosen = sorted(named_messages(call.need("messages")["messages"]), reverse=True)
    discarded = 0
    until_ms = call.broker.clock.now_ms() + SLICE_MS
    for position, checksum in chosen:
        if call.broker.clock.now_ms() >= until_ms:
            await asyncio.sleep(0)
            may_read(call)
            until_ms = call.broker.clock.now_ms() + SLICE_MS
        if queue.closed:
            break
        try:
            discarded += queue.remove_ready(position, checksum)
        except UnreadableError as error:
            if not discarded:
                raise unreadable(error) from None
            break
    await all_synced(call.broker)
    return {"discarded": discarded}


# --- move -------------------------------------------------------------------------------------------------------------


async def move(call: Call) -> dict[str, int]:
    """Move ready messages to another queue, as RabbitMQ does with a shovel. Messages that arrive meanwhile stay."""
    body = call.need("destination")
    vhost = body.get("destination_vhost", call.vhost.name)
    if isinstance(vhost, str):
        await call.identity.load([vhost])
        call.check()
    source = call.actions.readable_queue(call.path["name"])
    if source.kind.retains:
        raise failure.messages_stay(source.name)
    destination = _destination(call, vhost, body["destination"])
    if destination is source:
        raise failure.bad_request("destination is the queue itself")
    wanted = _wanted(body["count"]) if body.get("count") is not None else source.ready_count
    left = min(wanted, source.ready_count)
    moved = 0
    bounds = call.broker.config.bounds
    while moved < left:
        some = source.move(destination, min(bounds.slice_count, left - moved), bounds.slice_bytes)
        if not some and not source.is_behind:
            break
        moved += some
        await asyncio.sleep(0)
        if call.vhost.store.waiting_bytes > bounds.unwritten_bytes // 2:
            await all_synced(call.broker)
        may_read(call)
        _permissions_to(call, vhost).check("write", "queue", destination.name)
    await all_synced(call.broker)
    return {"moved": moved}


def _wanted(count: Any) -> int:
    """Raises ApiError 400."""
    wanted = integer(count)
    if isinstance(count, float) or wanted < 0:
        raise failure.bad_request("count is to be a whole number, and not negative")
    return wanted


def _destination(call: Call, vhost_name: Any, name: Any) -> Queue:
    """Raises ApiError 400, 401 or 404, AmqpError."""
    if not isinstance(name, str) or not isinstance(vhost_name, str):
        raise failure.bad_request("destination and destination_vhost are to be names")
    vhost = call.broker.vhosts.get(vhost_name)
    if call.broker.is_elsewhere(vhost_name) or (vhost is not None and vhost.storage is not call.vhost.storage):
        reason = f"messages cannot be moved to vhost '{vhost_name}', which is stored apart: use a shovel"
        raise failure.conflict(reason)
    if vhost is None:
        raise failure.no_vhost()
    return Actions(vhost, _permissions_to(call, vhost_name)).writable_queue(name)


def _permissions_to(call: Call, vhost: str) -> Permissions:
    """Raises ApiError 401."""
    permissions = call.identity.permissions(vhost)
    if permissions is None:
        raise failure.not_authorised("Access refused.")
    return permissions


RESOURCES = (
    Resource("/exchanges/{vhost}/{name}/publish", Access.VHOST, post=publish, may_send=may_publish),
    Resource("/queues/{vhost}/{name}/get", Access.VHOST, post=get, may_send=may_read, waits=lambda _: True),
    Resource("/queues/{vhost}/{name}/peek", Access.VHOST, post=peek, may_send=may_read),
    Resource("/queues/{vhost}/{name}/discard", Access.VHOST, post=discard, may_send=may_read),
    Resource("/queues/{vhost}/{name}/move", Access.VHOST, post=move, may_send=may_read, waits=lambda _: True),
)
