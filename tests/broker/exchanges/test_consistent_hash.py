import gc
from collections import Counter

import pytest

from amqpbroker.broker.exchanges.consistent_hash import ConsistentHashType, jump_hash
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, Table, longstr
from tests.broker.routed import Box, bind, integer, publishing, routed

KEYS = [b"%d" % number for number in range(4000)]


def hashing(weights: dict[str, bytes], arguments: Table | None = None) -> ConsistentHashType:
    exchange_type = ConsistentHashType(arguments or {})
    for name, weight in weights.items():
        bind(exchange_type, Box(name), weight)
    return exchange_type


def mapping(exchange_type: ConsistentHashType) -> dict[bytes, str]:
    found = {key: routed(exchange_type, key) for key in KEYS}
    assert all(len(targets) == 1 for targets in found.values())
    return {key: targets[0] for key, targets in found.items()}


def test_consistent_hash_mapping_depends_on_bindings_only() -> None:
    weights = {"a": b"1", "b": b"2", "c": b"1"}
    assert mapping(hashing(weights)) == mapping(hashing(weights))
    assert ConsistentHashType({}).keyed
    assert not ConsistentHashType({}).per_key


def test_hash_exchange_without_bindings_routes_to_no_queue() -> None:
    exchange_type = ConsistentHashType({})
    assert routed(exchange_type, b"k") == []
    binding = bind(exchange_type, Box("a"), b"1")
    assert routed(exchange_type, b"k") == ["a"]
    exchange_type.unbind(binding)
    assert routed(exchange_type, b"k") == []


def test_consistent_hash_exchange_does_not_keep_unbound_queues_alive() -> None:
    exchange_type = ConsistentHashType({})
    box = Box("a")
    binding = bind(exchange_type, box, b"1")
    assert routed(exchange_type, b"k") == ["a"]
    exchange_type.unbind(binding)
    assert gc.get_referrers(box) == [binding]


def test_consistent_hash_distributes_keys_by_binding_weights() -> None:
    shares = Counter(mapping(hashing({"a": b"1", "b": b"3", "c": b"+4"})).values())
    assert 400 < shares["a"] < 600
    assert 1350 < shares["b"] < 1650
    assert 1850 < shares["c"] < 2150


def test_new_queue_takes_over_only_its_proportion_of_keys() -> None:
    exchange_type = hashing({"a": b"10", "b": b"10", "c": b"10"})
    before = mapping(exchange_type)
    newcomer = bind(exchange_type, Box("d"), b"10")
    after = mapping(exchange_type)
    moved = {key for key in KEYS if before[key] != after[key]}
    assert {after[key] for key in moved} == {"d"}
    assert 850 < len(moved) < 1150
    exchange_type.unbind(newcomer)
    assert mapping(exchange_type) == before


def test_the_first_of_several_bindings_to_a_queue_counts() -> None:
    exchange_type, box = ConsistentHashType({}), Box("a")
    first = bind(exchange_type, box, b"1")
    bind(exchange_type, box, b"99")
    bind(exchange_type, Box("b"), b"1")
    assert 1800 < Counter(mapping(exchange_type).values())["a"] < 2200
    exchange_type.unbind(first)
    assert Counter(mapping(exchange_type).values())["a"] > 3900


def test_huge_binding_weight_costs_no_memory_or_time() -> None:
    assert routed(hashing({"a": b"9" * 255, "b": b"1"}), b"k") == ["a"]


def test_consistent_hash_exchange_routes_by_the_hash_header() -> None:
    exchange_type = hashing(dict.fromkeys("abcdef", b"1"), {"hash-header": longstr("h")})
    assert not exchange_type.keyed
    by_value = [routed(exchange_type, key, {"h": longstr("same")}) for key in KEYS[:50]]
    assert by_value == by_value[:1] * 50
    assert len({tuple(routed(exchange_type, b"", {"h": longstr(key)})) for key in KEYS[:100]}) == 6
    assert len({tuple(routed(exchange_type, key, {})) for key in KEYS[:50]} | {tuple(routed(exchange_type))}) == 1
    assert routed(exchange_type, b"", {"h": Field("b", 7)}) == routed(exchange_type, b"", {"h": integer(7)})
    assert len({tuple(routed(exchange_type, b"", {"h": Field("d", key / 7)})) for key in range(100)}) == 6


@pytest.mark.parametrize("name", ["correlation_id", "message_id", "timestamp"])
def test_consistent_hash_exchange_routes_by_the_hash_property(name: str) -> None:
    exchange_type = hashing(dict.fromkeys("abcdef", b"1"), {"hash-property": longstr(name)})
    assert not exchange_type.keyed

    def target(value: int, routing_key: bytes) -> str:
        message = publishing(routing_key, **{name: value if name == "timestamp" else b"%d" % value})
        return exchange_type.route(routing_key, message)[0].name

    assert {target(7, key) for key in KEYS[:50]} == {target(7, b"")}
    assert {target(value, b"") for value in range(100)} == set("abcdef")
    assert len({tuple(routed(exchange_type, key)) for key in KEYS[:50]}) == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"hash-header": longstr("a"), "hash-property": longstr("message_id")},
            "hash-header and hash-property are mutually exclusive",
        ),
        ({"hash-property": longstr("foo")}, "Unsupported property: foo"),
        ({"hash-property": integer(1)}, "Invalid hash-property field type long; expected longstr"),
        ({"hash-header": Field("V", None)}, "Invalid hash-header field type void; expected longstr"),
    ],
)
def test_invalid_argument_of_a_consistent_hash_exchange_is_refused(arguments: Table, text: str) -> None:
    with pytest.raises(AmqpError) as refusal:
        ConsistentHashType(arguments)
    assert refusal.value.text == f"PRECONDITION_FAILED - {text}"


@pytest.mark.parametrize(
    ("weight", "text"),
    [
        (b"abc", 'must be an integer: <<"abc">>'),
        (b"", "must be an integer: <<>>"),
        (b" 1", 'must be an integer: <<" 1">>'),
        (b"1_0", 'must be an integer: <<"1_0">>'),
        (b"1.0", 'must be an integer: <<"1.0">>'),
        ("hé".encode(), 'must be an integer: <<"hé"/utf8>>'),
        (b"0", "must be greater than 0"),
        (b"-1", "must be greater than 0"),
    ],
)
def test_invalid_binding_weight_is_refused(weight: bytes, text: str) -> None:
    with pytest.raises(AmqpError) as refusal:
        ConsistentHashType({}).validate_binding(weight, {})
    assert refusal.value.text == f"PRECONDITION_FAILED - The binding key {text}"


@pytest.mark.parametrize("weight", [b"1", b"+5", b"007"])
def test_valid_binding_weight_is_accepted(weight: bytes) -> None:
    ConsistentHashType({}).validate_binding(weight, {})


def test_jump_hash_moves_keys_only_to_an_added_bucket() -> None:
    for buckets in range(1, 20):
        for key in KEYS[:200]:
            before, after = jump_hash(key, buckets), jump_hash(key, buckets + 1)
            assert 0 <= before < buckets
            assert after in (before, buckets)
