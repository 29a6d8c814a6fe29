"""Bindings (rabbit_mgmt_wm_binding*.erl)."""

from collections.abc import Iterable
from typing import Any

from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call
from amqpbroker.management.formats.bindings import Shown, binding_row, found_by, implied, location, order, shown
from amqpbroker.management.formats.tables import typed
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource
from amqpbroker.management.routes.exchanges import exchange_name
from amqpbroker.management.values import string


def _of_vhost(vhost: Vhost) -> list[Shown]:
    return [binding for source in sorted(vhost.exchanges) for binding in _from(vhost, source)]


def _from(vhost: Vhost, source: str) -> list[Shown]:
    if source == "":
        return [implied(vhost.name, name) for name in sorted(vhost.queues)]
    exchange = vhost.exchanges.get(source)
    found = [] if exchange is None else [shown(vhost.name, binding) for binding in exchange.live_bindings()]
    return sorted(found, key=order)


def _to(vhost: Vhost, destination: Exchange | Queue | None) -> list[Shown]:
    found = [] if destination is None else [shown(vhost.name, each) for each in destination.incoming if each.lives]
    return sorted(found, key=order)


def _listed(found: Iterable[Shown]) -> Listing:
    """They come in order: by vhost, source, destination, routing key."""
    return Listing(found, binding_row, order, paged=False, ordered=True)


def bindings(call: Call) -> Listing:
    return _listed([binding for vhost in call.visible_vhosts() for binding in _of_vhost(vhost)])


def vhost_bindings(call: Call) -> Listing:
    return _listed(_of_vhost(call.vhost))


def from_exchange(call: Call) -> Listing:
    return _listed(_from(call.vhost, exchange_name(call.path["name"])))


def to_exchange(call: Call) -> Listing:
    return _listed(_to(call.vhost, call.vhost.exchanges.get(exchange_name(call.path["name"]))))


def to_queue(call: Call) -> Listing:
    return _listed(_to_queue(call.vhost, call.path["name"]))


def _to_queue(vhost: Vhost, name: str) -> list[Shown]:
    """Return the bindings to a queue and that of the default exchange, even if there is no such queue, as RabbitMQ."""
    return [implied(vhost.name, name), *_to(vhost, vhost.queues.get(name))]


def _between(call: Call, to_queue: bool) -> list[Shown]:
    """From the source of the path to its destination."""
    vhost, source = call.vhost, exchange_name(call.path["source"])
    if to_queue:
        found = _to_queue(vhost, call.path["destination"])
    else:
        found = _to(vhost, vhost.exchanges.get(exchange_name(call.path["destination"])))
    return [binding for binding in found if binding.source == source]


def _bind(call: Call, to_queue: bool) -> Answer:
    body = call.body()
    source, destination = exchange_name(call.path["source"]), call.path["destination"]
    if not to_queue:
        destination = exchange_name(destination)
    routing_key, arguments = string(body, "routing_key"), typed(body.get("arguments"))
    call.actions.bind(source, destination, to_queue, routing_key, arguments)
    return Answer(201, headers={"location": location(destination, routing_key, arguments)})


def may_bind(call: Call) -> None:
    call.permissions.check("read", "exchange", exchange_name(call.path["source"]))


def _one(call: Call, to_queue: bool) -> Shown:
    """The one of the path. Raises ApiError 404."""
    found = found_by(_between(call, to_queue), call.path["properties_key"])
    if found is None:
        raise failure.not_found()
    return found


def _unbind(call: Call, to_queue: bool) -> Answer:
    found = _one(call, to_queue)
    call.actions.unbind(found.source, found.destination, to_queue, found.routing_key, found.arguments)
    return NO_CONTENT


def queue_bindings(call: Call) -> Listing:
    return _listed(_between(call, to_queue=True))


def exchange_bindings(call: Call) -> Listing:
    return _listed(_between(call, to_queue=False))


def bind_queue(call: Call) -> Answer:
    return _bind(call, to_queue=True)


def bind_exchange(call: Call) -> Answer:
    return _bind(call, to_queue=False)


def queue_binding(call: Call) -> dict[str, Any]:
    return binding_row(_one(call, to_queue=True))


def exchange_binding(call: Call) -> dict[str, Any]:
    return binding_row(_one(call, to_queue=False))


def unbind_queue(call: Call) -> Answer:
    return _unbind(call, to_queue=True)


def unbind_exchange(call: Call) -> Answer:
    return _unbind(call, to_queue=False)


_TO_QUEUE = "/bindings/{vhost}/e/{source}/q/{destination}"
_TO_EXCHANGE = "/bindings/{vhost}/e/{source}/e/{destination}"

RESOURCES = (
    Resource("/bindings", Access.USER, get=bindings),
    Resource("/bindings/{vhost}", Access.VHOST, get=vhost_bindings),
    Resource(_TO_QUEUE, Access.VHOST, get=queue_bindings, post=bind_queue, may_send=may_bind),
    Resource(_TO_QUEUE + "/{properties_key}", Access.VHOST, get=queue_binding, delete=unbind_queue),
    Resource(_TO_EXCHANGE, Access.VHOST, get=exchange_bindings, post=bind_exchange, may_send=may_bind),
    Resource(_TO_EXCHANGE + "/{properties_key}", Access.VHOST, get=exchange_binding, delete=unbind_exchange),
    Resource("/exchanges/{vhost}/{name}/bindings/source", Access.VHOST, get=from_exchange),
    Resource("/exchanges/{vhost}/{name}/bindings/destination", Access.VHOST, get=to_exchange),
    Resource("/queues/{vhost}/{name}/bindings", Access.VHOST, get=to_queue),
)
