"""Batches of messages, an extension."""

from typing import Any

from amqpbroker.broker.batches.batch import Batch
from amqpbroker.broker.batches.batches import Batches
from amqpbroker.broker.users.permissions import Permissions
from amqpbroker.broker.vhost import Vhost
from amqpbroker.errors import AmqpError
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.completion import all_synced
from amqpbroker.management.formats import batches as formats
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource
from amqpbroker.wire.values import text


def batches(call: Call) -> Listing:
    """Return the batches of all vhosts that the user may look up."""
    return _listed([each for vhost in call.visible_vhosts() for each in _visible(call, vhost)])


def vhost_batches(call: Call) -> Listing:
    return _listed(_visible(call, call.vhost))


def _visible(call: Call, vhost: Vhost) -> list[Batch]:
    if vhost.batches is None:
        return []
    permissions = call.identity.permissions(vhost.name)
    return [each for each in vhost.batches.all() if _may_see(each, call.identity.user.name, permissions)]


def _may_see(batch: Batch, user: str, permissions: Permissions | None) -> bool:
    """Return whether a user may look up a batch: its own, and those whose target for event messages it may read.

    These messages have the same ids. If no member has named a target, the default exchange counts as the target.
    """
    if batch.user == user:
        return True
    if permissions is None:
        return False
    exchange, key = batch.terms.target or ("", b"")
    try:
        if exchange or not key:
            permissions.check("read", "exchange", exchange)
        else:
            permissions.check("read", "queue", text(key))
    except AmqpError:
        return False
    return True


def _listed(found: list[Batch]) -> Listing:
    return Listing(found, formats.batch_row, lambda each: each.id.decode("utf-8", "replace"))


def batch(call: Call) -> dict[str, Any]:
    _, found = _existing(call)
    if not _may_see(found, call.identity.user.name, call.permissions):
        raise failure.not_authorised("Access refused.")
    return formats.batch(found)


async def delete(call: Call) -> Answer:
    """Forget a batch. Its members stay in their queues, and count no more."""
    batches, found = _existing(call)
    if not _may_delete(call, found):
        raise failure.not_authorised("Access refused.")
    batches.remove(found)
    await all_synced(call.broker)
    return NO_CONTENT


def _existing(call: Call) -> tuple[Batches, Batch]:
    """Return the batches of the vhost, and the one of the path. Raises ApiError 404, also without extensions."""
    batches = call.vhost.batches
    found = None if batches is None else batches.find(call.path["id"].encode("utf-8", "surrogateescape"))
    if batches is None or found is None:
        raise failure.not_found()
    return batches, found


def _may_delete(call: Call, batch: Batch) -> bool:
    """Return whether the user may delete a batch: its own, and those whose exchange for event messages it may delete.

    Without that exchange, there would be no event messages either.
    """
    if batch.user == call.identity.user.name:
        return True
    target = batch.terms.target
    try:
        call.permissions.check("configure", "exchange", "" if target is None else target[0])
    except AmqpError:
        return False
    return True


RESOURCES = (
    Resource("/batches", Access.USER, get=batches),
    Resource("/batches/{vhost}", Access.VHOST, get=vhost_batches),
    Resource("/batches/{vhost}/{id}", Access.VHOST, get=batch, delete=delete),
)
