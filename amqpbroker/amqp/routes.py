"""Routes of a channel's publishes: looked up by exchange and routing key, cached for repeated keys.

Looking up a key that is not cached costs little more than caching does, so an application whose keys hardly ever repeat
pays only for its own bindings.
"""

from typing import Final

from mypy_extensions import i64

from amqpbroker import errors
from amqpbroker.amqp.channel_counters import ChannelCounters
from amqpbroker.broker.actions import exchange_to_publish_to
from amqpbroker.broker.counters.stats import ExchangeCounters
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.exchanges.routing import KeyRoutes, Stop
from amqpbroker.broker.publishing.inspection import inspect
from amqpbroker.broker.queues.direct_reply import DirectReply
from amqpbroker.broker.users.permissions import Permissions
from amqpbroker.broker.vhost import Vhost
from amqpbroker.message.message import Message
from amqpbroker.patterns import Pattern

#: Beyond `few_routes`, one in this many looked-up routes is cached: repeated keys are soon in the cache, and keys that
#: never repeat seldom evict others.
ADMITTED: Final = 8
#: After this many cache misses in a row, the cache is searched only for keys that would be added to it.
COLD: Final = 64


class Route:
    """Destinations of messages with one exchange and routing key, to which the user may publish.

    address: see Message; one copy of the bytes for all messages. destinations: None if every message has to be routed
    anew, or is inspected by taps. outlet: the counter of its publishes.
    """

    __slots__ = ("address", "destinations", "exchange", "outlet")

    def __init__(
        self, address: bytes, exchange: Exchange, destinations: tuple[Destination, ...] | None, outlet: ExchangeCounters
    ) -> None:
        self.address = address
        self.exchange = exchange
        self.destinations = destinations
        self.outlet = outlet

    def lead(
        self, address: bytes, exchange: Exchange, destinations: tuple[Destination, ...] | None, outlet: ExchangeCounters
    ) -> None:
        """Change the route to another address."""
        self.address = address
        self.exchange = exchange
        self.destinations = destinations
        self.outlet = outlet


class _Target:
    """An exchange to which the user may publish, until the vhost's routes change.

    stop: finds destinations by the key; None if taps inspect every message, the exchange drops duplicates, or it needs
    more than the key.
    pattern: allowed routing keys, None if all are allowed.
    """

    __slots__ = ("exchange", "outlet", "pattern", "stop")

    def __init__(
        self, exchange: Exchange, outlet: ExchangeCounters, stop: Stop | None, pattern: Pattern | None
    ) -> None:
        self.exchange = exchange
        self.outlet = outlet
        self.stop = stop
        self.pattern = pattern


class Routes:
    """Routes of one channel, valid for one route epoch of the vhost.

    found: whether the last route was in the cache. known: cached routes, by address.
    """

    def __init__(self, vhost: Vhost, permissions: Permissions, counters: ChannelCounters) -> None:
        bounds = vhost.config.bounds
        self.vhost = vhost
        self._permissions = permissions
        self._counters = counters
        self.found: bool = False
        self.known: dict[bytes, Route] = {}
        self._most: i64 = bounds.routes
        self._few: i64 = bounds.few_routes
        self._all: i64 = bounds.all_routes
        self._missed: i64 = 0
        self._cold: i64 = 0
        self._prefix: bytes = b""
        self._is_default: bool = False
        self._target: _Target | None = None
        self._targets: dict[bytes, _Target] = {}
        self._by_key = KeyRoutes(vhost.exchanges.get)
        self._passing: Route | None = None

    def forget(self) -> None:
        """Clear the cache: the vhost's routes have changed, or the channel ends."""
        self._forget_known()
        self._targets.clear()
        self._by_key.forget()
        self._prefix = b""
        self._target = None
        self._passing = None

    def _forget_known(self) -> None:
        self.vhost.count_remembered(-len(self.known))
        self.known.clear()

    def find(self, address: bytes, properties: bytes, reply: DirectReply | None) -> Route:
        """Return the route of messages with this address. Raises AmqpError if the channel's user may not publish there.

        The result is valid until the next call. An error of the properties is reported before a routing key that is not
        permitted. reply: see `inspect`.
        """
        cold = self._cold
        if cold < COLD or cold % ADMITTED == 0:
            known = self.known.get(address)
            if known is not None:
                self._cold = 0
                self.found = True
                return known
        self.found = False
        self._cold = cold + 1
        target = self._target
        if target is None or not (address.startswith(self._prefix) if address[0] else self._is_default):
            target = self._find_target(address)
        key = address[2 + address[0] :]
        if target.pattern is not None:
            self._check(target, target.pattern, key, address, properties, reply)
        destinations = None if target.stop is None else self._by_key.find(target.stop, key)
        # A route without destinations is not cached, so that a new queue need not change the epoch.
        if (destinations is None or destinations) and self._admits(cold):
            # After many misses not every key is searched for, so that a route may be in the cache already.
            if address not in self.known:
                self.vhost.count_remembered(1)
            route = self.known[address] = Route(address, target.exchange, destinations, target.outlet)
            return route
        passing = self._passing
        if passing is None:
            passing = self._passing = Route(address, target.exchange, destinations, target.outlet)
        else:
            passing.lead(address, target.exchange, destinations, target.outlet)
        return passing

    def _admits(self, cold: i64) -> bool:
        """Return whether to cache a route, after `cold` misses in a row."""
        count: i64 = len(self.known)
        if count < self._few:
            return True
        self._missed += 1
        if cold % ADMITTED if cold >= COLD else self._missed % ADMITTED:
            return False
        if count >= self._most or self.vhost.remembered >= self._all:
            self._forget_known()
        return True

    def _find_target(self, address: bytes) -> _Target:
        prefix = address[: 1 + address[0]]
        target = self._targets.get(prefix)
        if target is None:
            target = self._targets[prefix] = self._open(address)
        self._prefix = prefix
        self._is_default = not address[0]
        self._target = target
        return target

    def _open(self, address: bytes) -> _Target:
        vhost = self.vhost
        exchange = exchange_to_publish_to(vhost, self._permissions, Message(address, b"\0\0", b"").exchange, ())
        pattern: Pattern | None = None
        if exchange.type.name == "topic":
            pattern = self._permissions.topic_pattern("write", exchange.name)
        stop = None if vhost.taps or exchange.duplicate_filter is not None else self._by_key.stop(exchange)
        return _Target(exchange, self._counters.outlet(exchange), stop, pattern)

    def _check(
        self,
        target: _Target,
        pattern: Pattern,
        key: bytes,
        address: bytes,
        properties: bytes,
        reply: DirectReply | None,
    ) -> None:
        """Raise AmqpError 403 if the pattern does not match the key."""
        shown = key.decode("utf-8", "surrogateescape")
        if not pattern.found_in(shown):
            inspect(Message(address, b"\0\0", b""), properties, None, None if reply is None else reply.shortstr)
            permissions = self._permissions
            raise errors.topic_access_refused("write", shown, target.exchange.name, permissions.vhost, permissions.user)
