"""Exchanges (rabbit_mgmt_wm_exchange*.erl)."""

from typing import Any

import orjson

from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.vhost import Vhost
from amqpbroker.management import failure
from amqpbroker.management.call import NO_CONTENT, Answer, Call, put_answer
from amqpbroker.management.formats.exchanges import exchange_row
from amqpbroker.management.formats.rates import Ranges, asked_ranges, listed, sampled
from amqpbroker.management.formats.tables import typed
from amqpbroker.management.identity import Access
from amqpbroker.management.listing import Listing
from amqpbroker.management.resource import Resource
from amqpbroker.management.values import boolean, check_name

#: Name of the default exchange in paths.
DEFAULT = "amq.default"

#: An exchange with its vhost.
Found = tuple[Vhost, Exchange]


def exchange_name(name: str) -> str:
    """Out of a path."""
    return "" if name == DEFAULT else name


def _listed(call: Call, found: list[Found]) -> Listing:
    rates, stats = call.broker.rates, call.stats
    wanted = asked_ranges(call.query, listed=True) if stats else Ranges()
    return Listing(
        found,
        lambda found: exchange_row(found[0].name, found[1], listed(rates, found[1], wanted) if stats else None),
        lambda found: (found[0].name, found[1].name),
    )


def exchanges(call: Call) -> Listing:
    return _listed(call, [(vhost, each) for vhost in call.visible_vhosts() for each in vhost.exchanges.values()])


def vhost_exchanges(call: Call) -> Listing:
    return _listed(call, [(call.vhost, each) for each in call.vhost.exchanges.values()])


def exchange(call: Call) -> dict[str, Any]:
    found = _existing(call)
    if not call.stats:
        return exchange_row(call.vhost.name, found, None)
    details = sampled(call.broker.rates, [found], asked_ranges(call.query))
    return {**exchange_row(call.vhost.name, found, details), "incoming": [], "outgoing": []}


def _existing(call: Call) -> Exchange:
    """The exchange of the path. Raises ApiError 404."""
    found = call.vhost.exchanges.get(exchange_name(call.path["name"]))
    if found is None:
        raise failure.not_found()
    return found


def may_put(call: Call) -> None:
    call.permissions.check("configure", "exchange", exchange_name(call.path["name"]))


def put(call: Call) -> Answer:
    body, name = call.body(), exchange_name(call.path["name"])
    check_name("exchange", name)
    exists = name in call.vhost.exchanges
    kind = body.get("type", "direct")
    call.actions.declare_exchange(
        name,
        kind if isinstance(kind, str) else orjson.dumps(kind).decode(),
        boolean(body, "durable"),
        boolean(body, "auto_delete"),
        boolean(body, "internal"),
        typed(body.get("arguments")),
    )
    return put_answer(not exists)


def delete(call: Call) -> Answer:
    call.actions.delete_exchange(_existing(call).name, call.query.get("if-unused") == "true")
    return NO_CONTENT


RESOURCES = (
    Resource("/exchanges", Access.USER, get=exchanges),
    Resource("/exchanges/{vhost}", Access.VHOST, get=vhost_exchanges),
    Resource("/exchanges/{vhost}/{name}", Access.VHOST, get=exchange, put=put, delete=delete, may_send=may_put),
)
