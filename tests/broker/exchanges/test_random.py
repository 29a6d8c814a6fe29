from collections import Counter

from amqpbroker.broker.exchanges.random import RandomType
from tests.broker.routed import Box, bind, routed


def test_random_exchange_routes_each_message_to_one_of_all_targets() -> None:
    exchange_type = RandomType()
    assert routed(exchange_type) == []
    bindings = [bind(exchange_type, Box(name), name.encode()) for name in "abc"]
    found = Counter(name for _ in range(300) for name in routed(exchange_type, b"any key"))
    assert sum(found.values()) == 300
    assert set(found) == {"a", "b", "c"}
    exchange_type.unbind(bindings[0])
    assert {name for _ in range(100) for name in routed(exchange_type)} == {"b", "c"}


def test_random_exchange_chooses_one_route_for_all_keys_of_a_message() -> None:
    assert not RandomType().keyed
    assert not RandomType().per_key
