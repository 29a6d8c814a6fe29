"""Bindings: exchanges, destinations and the indexes of exchanges have the same ones, and cached routes follow them."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from amqpbroker.amqp.channel import Channel
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.direct import DirectType
from amqpbroker.broker.exchanges.exchange import Binding, Exchange, ExchangeType
from amqpbroker.broker.exchanges.fanout import FanoutType
from amqpbroker.broker.exchanges.header_index import HeaderIndex
from amqpbroker.broker.exchanges.headers import HeadersType
from amqpbroker.broker.exchanges.routing import Stop, route
from amqpbroker.broker.exchanges.targets import Targets
from amqpbroker.broker.exchanges.topic import TopicType
from amqpbroker.broker.exchanges.topic_index import words_of
from amqpbroker.broker.jobs.replies import JobReplies
from amqpbroker.broker.vhost import Vhost
from amqpbroker.message.message import Message
from tests.simulation.parts import channels
from tests.simulation.workloads.bindings import topic_matches

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess

#: Number of bindings up to which each pattern of a topic exchange is compared with each key.
FEW = 50


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each binding that one of its ends does not know, each wrong index, and each wrong route of a channel."""
    for vhost in process.broker.vhosts.values():
        yield from _at_both_ends(vhost)
        for exchange in vhost.exchanges.values():
            yield from _indexed(exchange)
    for channel in channels(process):
        yield from _cached(channel)


def _at_both_ends(vhost: Vhost) -> Iterator[str]:
    """Yield each binding that only its source or only its destination has."""
    known: set[Binding] = set()
    for exchange in vhost.exchanges.values():
        living = [binding for binding in exchange.bindings.values() if binding.lives]
        known.update(living)
        if len(living) != exchange.binding_count:
            yield f"{exchange.name} counts {exchange.binding_count} bindings, and {len(living)} have a destination"
        for binding in living:
            if binding not in binding.destination.incoming:
                yield f"{exchange.name} is bound to {binding.destination.name}, which does not know the binding"
    for destination in (*vhost.queues.values(), *vhost.exchanges.values()):
        for binding in destination.incoming:
            if binding.lives and binding not in known:
                yield f"{destination.name} has a binding that {binding.source.name} does not have"


# --- indexes ----------------------------------------------------------------------------------------------------------


def _indexed(exchange: Exchange) -> Iterator[str]:
    """Yield an index that is not that of the bindings. Bindings to be swept are in both."""
    kind = exchange.type
    if not isinstance(kind, DirectType | FanoutType | HeadersType | TopicType):
        return
    expected = type(kind)()
    for binding in exchange.bindings.values():
        expected.bind(binding)
    if _contents(kind) != _contents(expected):
        yield f"the index of {exchange.name} is not that of its {len(exchange.bindings)} bindings"
    if isinstance(kind, TopicType) and len(exchange.bindings) <= FEW:
        yield from _matched(exchange, kind)


def _matched(exchange: Exchange, kind: TopicType) -> Iterator[str]:
    """Yield each key with other targets than the patterns that it matches; each pattern gives one key."""
    patterns = {binding.routing_key: _words(binding.routing_key) for binding in exchange.bindings.values()}
    for key in dict.fromkeys(pattern.replace(b"*", b"a").replace(b"#", b"b.c") for pattern in patterns):
        words = _words(key)
        matching = {pattern for pattern in patterns if topic_matches(patterns[pattern], words)}
        expected = {each.destination.name for each in exchange.bindings.values() if each.routing_key in matching}
        found = {target.name for target in kind._bindings.find(key)}
        if found != expected:
            yield f"{exchange.name} routes {key!r} to {sorted(found)}, and not to {sorted(expected)}"


def _words(key: bytes) -> list[str]:
    return [word.decode("latin-1") for word in words_of(key)]


def _contents(kind: ExchangeType) -> Any:
    """Return the targets of an index, and the number of bindings to each, in a form that can be compared."""
    if isinstance(kind, DirectType):
        return {key: _counted(targets) for key, targets in kind._bindings._targets.items()}
    if isinstance(kind, FanoutType):
        return _counted(kind._bindings._targets)
    if isinstance(kind, TopicType):
        return _nodes(kind._bindings._root)
    assert isinstance(kind, HeadersType)
    return _conditions(kind._index)


def _counted(targets: Targets | None) -> Any:
    if targets is None:
        return None
    if targets._counts is None:
        return dict.fromkeys(targets._all or (), 1)
    # The tuple is made with the first message after a change, and must not outlive the next change.
    is_current = targets._all is None or set(targets._all) == set(targets._counts)
    return targets._counts if is_current else targets._all


def _nodes(node: Any) -> Any:
    if node is None:
        return None
    children = {word: _nodes(child) for word, child in (node.children or {}).items()}
    return _counted(node.targets), children, _nodes(node.one), _nodes(node.many)


def _conditions(index: HeaderIndex) -> Any:
    names: dict[Any, tuple[object, ...]] = {}
    for name, header in index._headers.items():
        if header.present is not None:
            names[header.present] = (name,)
        names |= {condition: (name, value) for value, condition in header.values.items()}
    conditions = {name: (condition.used, condition.targets) for condition, name in names.items()}
    together = {tuple(map(names.get, each)): found.targets for each, found in index._combinations.items()}
    return index._always, conditions, together


# --- cached routes ----------------------------------------------------------------------------------------------------


def _cached(channel: Channel) -> Iterator[str]:
    """Yield each cached route of a channel, and each cached exchange, that bindings have changed since."""
    publishing = channel.publishing
    routes = publishing.routes
    lookup = routes.vhost.exchanges.get
    if publishing._route_epoch != routes.vhost.route_epoch:
        return  # The next publish clears the caches.
    for address, known in routes.known.items():
        if known.destinations is None:
            continue
        expected = route(known.exchange, Message(address, b"\0\0", b""), lookup).destinations
        if _ends(known.destinations) != _ends(expected):
            names = [[each.name for each in found] for found in (known.destinations, expected)]
            yield f"{channel.name} routes {address!r} to {names[0]}, and not to {names[1]}"
    for exchange, stop in routes._by_key._stops.items():
        now = Stop(exchange)
        if lookup(exchange.name) is not exchange:
            yield f"{channel.name} remembers {exchange.name}, which is deleted"
        elif (stop.simple and not now.simple and not now.lingering) or stop.alternate != now.alternate:
            yield f"{channel.name} remembers {exchange.name} as it was before a change"


def _ends(destinations: Iterable[Destination]) -> set[Destination | str]:
    """Return the destinations; a reply address has another object for each route. A route must end in no exchange.

    The destination of replies to jobs is left out: it drops those to jobs that are forgotten.
    """
    counted = [each for each in destinations if not isinstance(each, JobReplies)]
    return {each.name if isinstance(each, Exchange) or each.instant else each for each in counted}
