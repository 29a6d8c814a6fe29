"""From an exchange to the queues: the way of a message through bindings, exchanges and alternate exchanges."""

from typing import TYPE_CHECKING, Any

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.key_index import KeyIndex
from amqpbroker.message.message import Message

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Exchange, ExchangeType, Lookup, Target


class Route:
    """Where a message goes.

    destinations: each once, in the order in which they were reached. keyed: every exchange on the way looked at nothing
    but the one routing key, so that all messages with this key go the same way until a binding changes.
    """

    __slots__ = ("destinations", "keyed")

    def __init__(self, destinations: tuple[Destination, ...], keyed: bool) -> None:
        self.destinations = destinations
        self.keyed = keyed


def route(exchange: "Exchange", message: Message, lookup: "Lookup") -> Route:
    """Follow the bindings from `exchange`; each exchange is visited once (rabbit_exchange:route).

    An exchange that finds nothing at all, not even an exchange seen before, hands over to its alternate exchange. One
    that does not exist, or is the default exchange, finds nothing (seen on RabbitMQ 4.0.5).
    """
    found: dict[Destination, None] = {}
    keyed = not message.extra_keys
    seen: set[Exchange] | None = None
    pending: list[Exchange] = []
    current = exchange
    while True:
        exchange_type = current.type
        if not exchange_type.keyed:
            keyed = False
        targets = _targets(exchange_type, message)
        if current.lingering:
            targets = [target for target in targets if not target.closed]
        if not targets and current.alternate:
            alternate = lookup(current.alternate)
            targets = [] if alternate is None else [alternate]
        for target in targets:
            if isinstance(target, Destination):
                found[target] = None
            else:
                if seen is None:
                    seen = {exchange}
                if target not in seen:
                    seen.add(target)
                    pending.append(target)
        if not pending:
            return Route(tuple(found), keyed)
        current = pending.pop()


def _targets(exchange_type: "ExchangeType", message: Message) -> "list[Target]":
    index = exchange_type.index
    key = message.routing_key
    targets = list(index.find(key)) if index is not None else exchange_type.route(key, message)
    if message.extra_keys and exchange_type.per_key:
        targets = [*targets]
        for key in message.extra_keys:
            targets += exchange_type.route(key, message)
    return targets


def destinations_by_key(index: KeyIndex, key: bytes) -> tuple[Destination, ...] | None:
    """Return what the exchange's own bindings lead to, None if that may include other exchanges."""
    if index.exchanges:
        return None
    found: tuple[Any, ...] = index.find(key)
    return found
