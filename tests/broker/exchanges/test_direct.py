from amqpbroker.broker.exchanges.direct import DirectType
from tests.broker.routed import Box, bind, routed


def test_direct_exchange_routes_to_every_binding_of_the_exact_key() -> None:
    direct = DirectType()
    for name in ("a", "b"):
        bind(direct, Box(name), b"key")
    bind(direct, Box("c"), b"Key")
    assert routed(direct, b"key") == ["a", "b"]
    assert routed(direct, b"Key") == ["c"]
    assert routed(direct, b"") == []


def test_target_stays_until_its_last_binding_with_the_key_is_removed() -> None:
    direct, box = DirectType(), Box("a")
    first, second = bind(direct, box, b"key"), bind(direct, box, b"key")
    bind(direct, box, b"other")
    assert routed(direct, b"key") == ["a"]
    direct.unbind(first)
    assert routed(direct, b"key") == ["a"]
    direct.unbind(second)
    assert routed(direct, b"key") == []
    assert routed(direct, b"other") == ["a"]
