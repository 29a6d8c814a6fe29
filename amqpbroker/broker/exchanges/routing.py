"""Routing from an exchange to queues, through bindings, exchanges and alternate exchanges."""

from typing import TYPE_CHECKING, Any

from mypy_extensions import i64

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.key_index import KeyIndex, TypeIndex
from amqpbroker.message.message import Message

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Exchange, ExchangeType, Lookup, Target


class Route:
    """The destinations of a message.

    destinations: each once, in the order in which they were reached. keyed: every exchange on the path used only the
    one routing key, so all messages with this key take the same route until a binding changes.
    """

    __slots__ = ("destinations", "keyed")

    def __init__(self, destinations: tuple[Destination, ...], keyed: bool) -> None:
        self.destinations = destinations
        self.keyed = keyed


def route(exchange: "Exchange", message: Message, lookup: "Lookup") -> Route:
    """Follow the bindings from `exchange`; each exchange is visited once (rabbit_exchange:route).

    If an exchange finds no target at all, not even an exchange that was visited before, its alternate exchange is used.
    An alternate exchange that does not exist, or is the default exchange, finds nothing (seen on RabbitMQ 4.0.5).
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
            targets += index.find(key) if index is not None else exchange_type.route(key, message)
    return targets


class Stop:
    """An exchange on the path of messages, cached while the vhost's routes do not change.

    index: finds targets by the key; None if the exchange uses more than the key. lingering: some targets may be closed.
    simple: the index finds only destinations that live, each once. alternate: name of the alternate exchange, empty if
    there is none.
    """

    __slots__ = ("alternate", "index", "lingering", "simple", "visit")

    def __init__(self, exchange: "Exchange") -> None:
        exchange_type = exchange.type
        index: KeyIndex | None = exchange_type.index
        self.lingering: bool = exchange.lingering != 0
        self.simple: bool = index is not None and index.exchanges == 0 and not self.lingering
        if exchange_type.keyed:
            self.index: KeyIndex | None = TypeIndex(exchange_type) if index is None else index
        else:
            self.index = None
        self.alternate: str = exchange.alternate or ""
        self.visit: i64 = 0


class KeyRoutes:
    """Follows bindings if only the routing key decides, and caches the exchanges on the path until `forget`.

    The result is the same as that of `route`, without objects for each message.
    """

    __slots__ = ("_lookup", "_stops", "_visit")

    def __init__(self, lookup: "Lookup") -> None:
        self._lookup = lookup
        self._stops: dict[Exchange, Stop] = {}
        self._visit: i64 = 0

    def forget(self) -> None:
        """Clear the cached exchanges, because the vhost's routes have changed."""
        self._stops.clear()

    def stop(self, exchange: "Exchange") -> Stop:
        """Return the cached entry of the exchange."""
        stop = self._stops.get(exchange)
        if stop is None:
            stop = self._stops[exchange] = Stop(exchange)
        return stop

    def find(self, start: Stop, key: bytes) -> tuple[Destination, ...] | None:
        """Return the destinations of messages with this key; None if an exchange on the path uses more than the key."""
        if start.simple and start.index is not None:
            only: tuple[Any, ...] = start.index.find(key)
            if only or not start.alternate:
                return only
        # The number of the visit ensures that an exchange is visited once.
        self._visit += 1
        visit = self._visit
        start.visit = visit
        first: tuple[Any, ...] = ()
        found: dict[Destination, None] | None = None
        pending: list[Stop] | None = None
        current = start
        while True:
            index = current.index
            if index is None:
                return None
            targets: tuple[Any, ...] = index.find(key)
            if current.lingering:
                targets = tuple([target for target in targets if not target.closed])
            if not targets and current.alternate:
                alternate = self._lookup(current.alternate)
                if alternate is not None:
                    targets = (alternate,)
            elif current.simple and found is None and not first:
                first = targets
                targets = ()
            for target in targets:
                if isinstance(target, Destination):
                    if found is None:
                        found = dict.fromkeys(first)
                    found[target] = None
                    continue
                stop = self.stop(target)
                if stop.visit != visit:
                    stop.visit = visit
                    if pending is None:
                        pending = [stop]
                    else:
                        pending.append(stop)
            if not pending:
                return first if found is None else tuple(found)
            current = pending.pop()
