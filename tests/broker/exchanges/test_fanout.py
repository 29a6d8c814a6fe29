from amqpbroker.broker.exchanges.fanout import FanoutType
from tests.broker.routed import Box, bind, routed


def test_fanout_exchange_routes_any_key_to_all_bindings() -> None:
    fanout = FanoutType()
    assert routed(fanout, b"key") == []
    bind(fanout, Box("a"), b"key")
    bind(fanout, Box("b"))
    assert routed(fanout, b"other") == ["a", "b"]
    assert not fanout.per_key


def test_fanout_target_stays_until_its_last_binding_is_removed() -> None:
    fanout, box = FanoutType(), Box("a")
    first, second = bind(fanout, box, b"1"), bind(fanout, box, b"2")
    fanout.unbind(first)
    assert routed(fanout) == ["a"]
    fanout.unbind(second)
    assert routed(fanout) == []
