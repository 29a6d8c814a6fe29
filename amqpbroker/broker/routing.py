"""From an exchange to the queues: the way of a message through bindings, exchanges and alternate exchanges."""

from amqpbroker.broker.destination import Destination
from amqpbroker.broker.exchange import Exchange, ExchangeType, Lookup, Target
from amqpbroker.broker.message import Message


class Route:
    """Where a message goes.

    destinations: each once, in the order in which they were reached. keyed: every exchange on the way looked at nothing
    but the one routing key, so that all messages with this key go the same way until a binding changes.
    """

    __slots__ = ("destinations", "keyed")

    def __init__(self, destinations: tuple[Destination, ...], keyed: bool) -> None:
        self.destinations = destinations
        self.keyed = keyed


def route(exchange: Exchange, message: Message, lookup: Lookup) -> Route:
    """Follow the bindings from `exchange`; each exchange is visited once (rabbit_exchange:route).

    An exchange that finds nothing at all, not even an exchange seen before, hands over to its alternate exchange. One
    that does not exist, or is the default exchange, finds nothing (seen on RabbitMQ 4.0.5).
    """
    found: dict[Destination, None] = {}
    keyed = not message.extra_keys
    seen = {exchange}
    pending = [exchange]
    while pending:
        current = pending.pop()
        keyed = keyed and current.type.keyed
        targets = _targets(current.type, message)
        if current.lingering:
            targets = [target for target in targets if not target.closed]
        if not targets and current.alternate:
            alternate = lookup(current.alternate)
            targets = [] if alternate is None else [alternate]
        for target in targets:
            if not isinstance(target, Exchange):
                found[target] = None
            elif target not in seen:
                seen.add(target)
                pending.append(target)
    return Route(tuple(found), keyed)


def _targets(exchange_type: ExchangeType, message: Message) -> list[Target]:
    targets = exchange_type.route(message.routing_key, message)
    if message.extra_keys and exchange_type.per_key:
        targets = [*targets]
        for key in message.extra_keys:
            targets += exchange_type.route(key, message)
    return targets
