import pytest

from amqpbroker.broker.exchanges.delayed import DelayedType
from amqpbroker.broker.exchanges.registry import EXCHANGE_TYPES, build_exchange_type, known_exchange_types
from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
from amqpbroker.errors import AmqpError
from amqpbroker.wire.values import Field, Table, longstr


def build(name: str, arguments: Table | None = None):  # type: ignore[no-untyped-def]
    return build_exchange_type(name, arguments or {}, ManualClock(), lambda _: None)


def test_exchange_types_of_each_release_are_known_by_name() -> None:
    assert EXCHANGE_TYPES == (
        "direct",
        "fanout",
        "headers",
        "topic",
        "x-consistent-hash",
        "x-delayed-message",
        "x-local-random",
        "x-message-deduplication",
        "x-modulus-hash",
        "x-random",
    )
    assert known_exchange_types(COMPATS["4.3"]) == EXCHANGE_TYPES
    for series in "4.0", "4.1", "4.2":
        assert set(EXCHANGE_TYPES) - set(known_exchange_types(COMPATS[series])) == {"x-modulus-hash"}


def test_exchange_type_of_deduplication_is_unknown_without_extensions() -> None:
    assert "x-message-deduplication" not in known_exchange_types(COMPATS["4.3"].configured({}, extensions=False))


@pytest.mark.parametrize("name", EXCHANGE_TYPES)
def test_exchanges_do_not_share_one_type_object(name: str) -> None:
    arguments = {"x-delayed-type": longstr("topic")}
    exchange_type = build(name, arguments)
    assert exchange_type.name == name
    assert build(name, arguments) is not exchange_type


def test_delayed_exchange_passes_its_arguments_to_its_inner_type() -> None:
    delayed = build("x-delayed-message", {"x-delayed-type": longstr("x-consistent-hash"), "hash-header": longstr("h")})
    assert isinstance(delayed, DelayedType)
    assert delayed.inner.name == "x-consistent-hash"
    assert not delayed.inner.keyed


EXISTING = "Invalid argument, 'x-delayed-type' must be an existing exchange type"


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        # the choice of the two texts for each name was seen on RabbitMQ 4.0.5
        ("foo", {}, "invalid exchange type 'foo'"),
        ("", {}, "invalid exchange type ''"),
        ("unknown", {}, "invalid exchange type 'unknown'"),
        ("Direct", {}, "unknown exchange type 'Direct'"),
        ("no-such-type", {}, "unknown exchange type 'no-such-type'"),
        ("é", {}, "unknown exchange type 'é'"),
        ("x-delayed-message", {}, EXISTING),
        ("x-delayed-message", {"x-delayed-type": Field("l", 1)}, EXISTING),
        ("x-delayed-message", {"x-delayed-type": longstr("foo")}, "invalid exchange type 'foo'"),
        (
            "x-delayed-message",
            {"x-delayed-type": longstr("x-delayed-message")},
            "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'",
        ),
        (
            "x-delayed-message",
            {"x-delayed-type": longstr("x-message-deduplication")},
            "Invalid argument, 'x-message-deduplication' can't be used for 'x-delayed-type':"
            " give the delayed exchange the argument 'x-message-deduplication'",
        ),
        ("x-consistent-hash", {"hash-property": longstr("foo")}, "Unsupported property: foo"),
    ],
)
def test_invalid_exchange_type_or_argument_is_refused(name: str, arguments: Table, text: str) -> None:
    with pytest.raises(AmqpError) as refusal:
        build(name, arguments)
    assert refusal.value.text == f"PRECONDITION_FAILED - {text}"
