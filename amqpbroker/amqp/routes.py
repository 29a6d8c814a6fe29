"""Where a channel's publishes lead: found by exchange and routing key, and remembered for keys that come again.

Looking up a key that is not remembered takes little more than remembering does, so that an application whose keys
hardly ever repeat pays for its own bindings only.
"""

from typing import Final

from mypy_extensions import i64

from amqpbroker.amqp.channel_counters import ChannelCounters
from amqpbroker.broker.actions import check_topics, exchange_to_publish_to
from amqpbroker.broker.counters.stats import Outlet
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.exchanges.key_index import KeyIndex
from amqpbroker.broker.exchanges.routing import destinations_by_key
from amqpbroker.broker.exchanges.routing import route as route_message
from amqpbroker.broker.publishing.inspection import inspect
from amqpbroker.broker.queues.direct_reply import DirectReply
from amqpbroker.broker.users.permissions import Permissions
from amqpbroker.broker.vhost import Vhost
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message

#: Beyond `few_routes`, one of so many routes that are looked up is remembered: keys that come again are found soon, and
#: keys that never do seldom take the place of others.
ADMITTED: Final = 8
#: After so many keys in a row that were not remembered, only those that would be remembered are looked for.
COLD: Final = 64


class Route:
    """Where messages with one exchange and routing key go, which the user may publish there.

    address: see Message; one copy of the bytes for all messages. destinations: None if every message has to be routed
    anew, or is looked at by taps. outlet: where it is counted.
    """

    __slots__ = ("address", "destinations", "exchange", "outlet")

    def __init__(
        self, address: bytes, exchange: Exchange, destinations: tuple[Destination, ...] | None, outlet: Outlet
    ) -> None:
        self.address = address
        self.exchange = exchange
        self.destinations = destinations
        self.outlet = outlet


class _Way:
    """An exchange that the user may publish to, until the vhost's routes change.

    index: finds destinations by the key; None if that takes more. keyed: the key is all that the exchange looks at.
    checked: the user may not use every routing key. alternate: there is an alternate exchange.
    """

    __slots__ = ("alternate", "checked", "exchange", "index", "keyed", "outlet")

    def __init__(self, exchange: Exchange, outlet: Outlet, taps: bool, checked: bool) -> None:
        self.exchange = exchange
        self.outlet = outlet
        self.keyed: bool = exchange.type.keyed and not taps
        self.index: KeyIndex | None = None if exchange.lingering else exchange.type.index
        self.alternate: bool = exchange.alternate is not None
        self.checked = checked


class Routes:
    """Routes of one channel. They are good for one route epoch of the vhost.

    found: the last one was remembered before. known: remembered routes, by address.
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
        self._way: _Way | None = None
        self._ways: dict[bytes, _Way] = {}
        self._passing: Route | None = None

    def forget(self) -> None:
        """Forget everything: the vhost's routes have changed, or the channel ends."""
        self._forget_known()
        self._ways.clear()
        self._prefix = b""
        self._way = None
        self._passing = None

    def _forget_known(self) -> None:
        self.vhost.remembered -= len(self.known)
        self.known.clear()

    def find(self, address: bytes, properties: bytes, reply: DirectReply | None) -> Route:
        """Return where messages to this address go. Raises AmqpError if the channel's user may not publish there.

        The result is good until the next call. What is wrong with the properties is told before that a routing key is
        not permitted. reply: see `inspect`.
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
        way = self._way
        if way is None or not (address.startswith(self._prefix) if address[0] else self._is_default):
            way = self._find_way(address)
        key = address[2 + address[0] :]
        if way.checked:
            self._check(way, key, address, properties, reply)
        destinations: tuple[Destination, ...] | None = None
        if way.keyed:
            if way.index is not None:
                destinations = destinations_by_key(way.index, key)
            if destinations is None or (way.alternate and not destinations):
                found = route_message(way.exchange, Message(address, b"\0\0", b""), self.vhost.exchanges.get)
                destinations = found.destinations if found.keyed else None
        # A route that leads nowhere is not remembered, so that a new queue need not change the epoch.
        if (destinations is None or destinations) and self._admits(cold):
            # After many misses not every key is looked for, so that a route may be remembered already.
            if address not in self.known:
                self.vhost.remembered += 1
            route = self.known[address] = Route(address, way.exchange, destinations, way.outlet)
            return route
        passing = self._passing
        if passing is None:
            passing = self._passing = Route(address, way.exchange, destinations, way.outlet)
        else:
            passing.address = address
            passing.exchange = way.exchange
            passing.destinations = destinations
            passing.outlet = way.outlet
        return passing

    def _admits(self, cold: i64) -> bool:
        """Return whether to remember a route, after so many in a row that were not remembered."""
        count: i64 = len(self.known)
        if count < self._few:
            return True
        self._missed += 1
        if cold % ADMITTED if cold >= COLD else self._missed % ADMITTED:
            return False
        if count >= self._most or self.vhost.remembered >= self._all:
            self._forget_known()
        return True

    def _find_way(self, address: bytes) -> _Way:
        prefix = address[: 1 + address[0]]
        way = self._ways.get(prefix)
        if way is None:
            way = self._ways[prefix] = self._open(address)
        self._prefix = prefix
        self._is_default = not address[0]
        self._way = way
        return way

    def _open(self, address: bytes) -> _Way:
        vhost = self.vhost
        exchange = exchange_to_publish_to(vhost, self._permissions, Message(address, b"\0\0", b"").exchange, ())
        checked = exchange.type.name == "topic" and self._permissions.checks_topics("write", exchange.name)
        return _Way(exchange, self._counters.outlet(exchange), bool(vhost.taps), checked)

    def _check(self, way: _Way, key: bytes, address: bytes, properties: bytes, reply: DirectReply | None) -> None:
        try:
            check_topics(self._permissions, way.exchange, (key,))
        except AmqpError:
            inspect(Message(address, b"\0\0", b""), properties, None, None if reply is None else reply.shortstr)
            raise
