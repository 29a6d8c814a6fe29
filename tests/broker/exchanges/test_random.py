from collections import Counter

from amqpbroker.broker.exchanges.random import RandomType
from tests.broker.routed import Box, bind, routed


def test_every_message_goes_to_one_target_and_every_target_gets_some() -> None:
    exchange_type = RandomType()
    assert routed(exchange_type) == []
    bindings = [bind(exchange_type, Box(name), name.encode()) for name in "abc"]
    found = Counter(name for _ in range(300) for name in routed(exchange_type, b"any key"))
    assert sum(found.values()) == 300
    assert set(found) == {"a", "b", "c"}
    exchange_type.unbind(bindings[0])
    assert {name for _ in range(100) for name in routed(exchange_type)} == {"b", "c"}


def test_route_is_chosen_once_for_all_keys_of_a_message() -> None:
    assert not RandomType().keyed
    assert not RandomType().per_key
