import random
from collections.abc import Callable

import pytest

from amqpbroker.broker.exchanges.direct import DirectType
from amqpbroker.broker.exchanges.exchange import Binding, Exchange, ExchangeType, Target
from amqpbroker.broker.exchanges.fanout import FanoutType
from amqpbroker.broker.exchanges.headers import HeadersType
from amqpbroker.broker.exchanges.modulus_hash import ModulusHashType
from amqpbroker.broker.exchanges.random import RandomType
from amqpbroker.broker.exchanges.routing import KeyRoutes, Route, route
from amqpbroker.broker.exchanges.topic import TopicType
from amqpbroker.message.message import Message
from tests.broker.routed import Box, publishing


class World:
    """Exchanges and boxes by name; `bind` creates the boxes that it needs."""

    def __init__(self) -> None:
        self.exchanges: dict[str, Exchange] = {}
        self.boxes: dict[str, Box] = {}

    def exchange(self, name: str, exchange_type: ExchangeType | None = None, alternate: str | None = None) -> None:
        self.exchanges[name] = Exchange(name, exchange_type or DirectType(), alternate=alternate)

    def bind(self, source: str, target: str, key: bytes = b"") -> None:
        destination: Target = self.exchanges.get(target) or self.boxes.setdefault(target, Box(target))
        binding = Binding(self.exchanges[source], destination, key, {})  # type: ignore[arg-type]
        self.exchanges[source].type.bind(binding)

    def route(self, source: str, message: Message) -> Route:
        """Return the route of the message, which is the same if only the key is used."""
        found = route(self.exchanges[source], message, self.exchanges.get)
        if not message.extra_keys:
            by_key = KeyRoutes(self.exchanges.get)
            for _ in range(2):
                destinations = by_key.find(by_key.stop(self.exchanges[source]), message.routing_key)
                assert destinations == (found.destinations if found.keyed else None)
        return found

    def names(self, source: str, key: bytes, *cc: bytes) -> list[str]:
        return [box.name for box in self.route(source, publishing(key, cc=cc)).destinations]


@pytest.fixture
def world() -> World:
    return World()


def test_direct_exchange_routes_to_all_queues_bound_with_the_key(world: World) -> None:
    world.exchange("x")
    world.bind("x", "a", b"1")
    world.bind("x", "b", b"1")
    assert world.names("x", b"1") == ["a", "b"]
    assert world.names("x", b"2") == []


def test_a_queue_reached_twice_gets_one_copy(world: World) -> None:
    world.exchange("x", TopicType())
    world.exchange("y", FanoutType())
    for key in (b"#", b"a.*", b"a.b"):
        world.bind("x", "q", key)
    world.bind("x", "y", b"#")
    world.bind("y", "q")
    world.bind("y", "r")
    assert world.names("x", b"a.b", b"a.c") == ["q", "r"]


def test_every_exchange_on_the_route_uses_all_routing_keys(world: World) -> None:
    world.exchange("x")
    world.exchange("y")
    world.bind("x", "y", b"1")
    world.bind("x", "a", b"2")
    world.bind("y", "b", b"2")
    world.bind("y", "c", b"3")
    assert world.names("x", b"1", b"2", b"3") == ["a", "b", "c"]
    assert world.names("x", b"3", b"1") == ["c"]


def test_exchanges_that_lead_to_each_other_are_visited_once(world: World) -> None:
    world.exchange("x", FanoutType())
    world.exchange("y", FanoutType())
    for source, target in (("x", "x"), ("x", "y"), ("y", "x"), ("x", "a"), ("y", "b")):
        world.bind(source, target)
    assert world.names("x", b"") == ["a", "b"]


class TestAlternateExchange:
    def test_alternate_exchange_gets_unroutable_messages(self, world: World) -> None:
        world.exchange("x", alternate="alt")
        world.exchange("alt", FanoutType())
        world.bind("x", "a", b"1")
        world.bind("alt", "b")
        assert world.names("x", b"1") == ["a"]
        assert world.names("x", b"2") == ["b"]

    def test_alternate_exchange_is_not_used_if_one_key_is_routed(self, world: World) -> None:
        world.exchange("x", alternate="alt")
        world.exchange("alt", FanoutType())
        world.bind("x", "a", b"1")
        world.bind("alt", "b")
        assert world.names("x", b"2", b"1") == ["a"]

    def test_alternate_exchanges_are_chained(self, world: World) -> None:
        world.exchange("x", alternate="y")
        world.exchange("y", alternate="z")
        world.exchange("z", FanoutType())
        world.bind("z", "q")
        assert world.names("x", b"") == ["q"]

    def test_loop_of_alternate_exchanges_ends(self, world: World) -> None:
        world.exchange("x", alternate="y")
        world.exchange("y", alternate="x")
        world.exchange("self", alternate="self")
        assert world.names("x", b"") == []
        assert world.names("self", b"") == []

    def test_missing_alternate_exchange_is_ignored(self, world: World) -> None:
        world.exchange("x", alternate="nope")
        assert world.names("x", b"") == []

    def test_alternate_exchange_of_a_bound_exchange_is_used(self, world: World) -> None:
        world.exchange("x")
        world.exchange("y", alternate="alt")
        world.exchange("alt", FanoutType())
        world.bind("x", "y", b"1")
        world.bind("alt", "q")
        assert world.names("x", b"1") == ["q"]

    def test_exchange_bound_to_itself_counts_as_a_route(self, world: World) -> None:
        """Test behaviour that was seen on RabbitMQ 4.0.5."""
        world.exchange("x", alternate="alt")
        world.exchange("alt", FanoutType())
        world.bind("x", "x", b"1")
        world.bind("alt", "q")
        assert world.names("x", b"1") == []

    def test_default_exchange_is_not_an_alternate_exchange(self, world: World) -> None:
        """Test behaviour that was seen on RabbitMQ 4.0.5."""
        world.exchange("x", alternate="")
        world.exchange("", FanoutType())
        world.bind("", "q")
        assert world.names("x", b"q") == []


class TestKeyed:
    def test_route_is_cacheable_by_key_if_all_exchanges_use_only_the_key(self, world: World) -> None:
        world.exchange("x", alternate="alt")
        world.exchange("alt", TopicType())
        assert world.route("x", publishing(b"1")).keyed

    def test_route_is_not_cacheable_by_key_with_extra_keys(self, world: World) -> None:
        world.exchange("x")
        assert not world.route("x", publishing(b"1", bcc=(b"2",))).keyed

    @pytest.mark.parametrize("exchange_type", [HeadersType, RandomType])
    def test_route_is_not_cacheable_if_an_exchange_uses_more_than_the_key(
        self, world: World, exchange_type: type[ExchangeType]
    ) -> None:
        world.exchange("x")
        world.exchange("y", exchange_type())
        world.exchange("z")
        world.bind("x", "y", b"1")
        world.bind("x", "z", b"1")
        world.bind("x", "z", b"2")
        assert not world.route("x", publishing(b"1")).keyed
        assert world.route("x", publishing(b"2")).keyed


def test_exchange_type_not_routing_per_key_is_called_once_per_message(world: World) -> None:
    world.exchange("x", RandomType())
    for name in "abcdef":
        world.bind("x", name)
    for _ in range(20):
        assert len(world.names("x", b"1", b"2", b"3", b"4")) == 1


def test_routing_does_not_change_the_list_an_exchange_type_returns(world: World) -> None:
    class Fixed(DirectType):
        targets: list[Target] = [Box("a")]

        def __init__(self) -> None:
            """Create the type without an index, which would be used first."""

        def route(self, routing_key: bytes, message: Message) -> list[Target]:
            return self.targets

    world.exchange("x", Fixed())
    assert world.names("x", b"1", b"2") == ["a"]
    assert len(Fixed.targets) == 1


TYPES: list[Callable[[], ExchangeType]] = [DirectType, FanoutType, TopicType, ModulusHashType]


@pytest.mark.parametrize("seed", range(40))
def test_route_by_key_equals_route_by_message(seed: int) -> None:
    chance = random.Random(seed)
    world = World()
    exchanges = [f"x{i}" for i in range(chance.randint(2, 6))]
    for name in exchanges:
        kinds = [*TYPES, HeadersType] if seed % 4 == 0 else TYPES
        world.exchange(name, chance.choice(kinds)(), chance.choice([None, None, "missing", *exchanges]))
    keys = [b"a", b"b", b"a.b"]
    for _ in range(chance.randint(2, 20)):
        world.bind(chance.choice(exchanges), chance.choice([*exchanges, "q", "r", "s"]), chance.choice([*keys, b"#"]))
    for box in chance.sample(list(world.boxes.values()), k=len(world.boxes) // 2):
        box.closed = True
    for name in exchanges:
        world.exchanges[name].lingering = chance.randint(0, 1)
    for name in exchanges:
        for key in (*keys, b"c"):
            world.names(name, key)
