"""Batches of messages, an extension."""

from typing import Any

from amqpbroker.broker.batches.batch import Batch
from amqpbroker.management import failure
from amqpbroker.management.call import Call
from amqpbroker.management.formats import batches as formats
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import By, Resource


def batches(call: Call) -> Listing:
    """Return the batches of all vhosts that the user may use."""
    return _listed([each for vhost in call.visible_vhosts() if vhost.batches for each in vhost.batches.all()])


def vhost_batches(call: Call) -> Listing:
    return _listed([] if call.vhost.batches is None else call.vhost.batches.all())


def _listed(found: list[Batch]) -> Listing:
    return Listing(found, formats.batch_row, lambda each: each.id.decode("utf-8", "replace"))


def batch(call: Call) -> dict[str, Any]:
    id_ = call.path["id"].encode("utf-8", "surrogateescape")
    found = None if call.vhost.batches is None else call.vhost.batches.find(id_)
    if found is None:
        raise failure.not_found()
    return formats.batch(found)


RESOURCES = (
    Resource("/batches", Access.USER, get=batches, read_by=By.ALL),
    Resource("/batches/{vhost}", Access.VHOST, get=vhost_batches),
    Resource("/batches/{vhost}/{id}", Access.VHOST, get=batch),
)
