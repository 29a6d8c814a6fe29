import pytest

from amqpbroker.broker.exchanges.local_random import LocalRandomType
from amqpbroker.errors import AmqpError
from tests.broker.routed import Box, bind, routed


def test_local_random_exchange_routes_to_one_of_its_targets() -> None:
    exchange_type = LocalRandomType()
    bindings = [bind(exchange_type, Box(name)) for name in "ab"]
    assert {tuple(routed(exchange_type, b"key")) for _ in range(100)} == {("a",), ("b",)}
    exchange_type.unbind(bindings[0])
    assert routed(exchange_type) == ["b"]


def test_local_random_exchange_refuses_binding_keys() -> None:
    with pytest.raises(AmqpError) as refusal:
        LocalRandomType().validate_binding(b"1", {})
    assert refusal.value.text == "PRECONDITION_FAILED - Non empty binding '1' key not permitted"
