"""Definition of a shovel: the value of a parameter of the component shovel (rabbit_shovel_parameters.erl)."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, NamedTuple

from amqpbroker.broker.policies.parameters import validation_failed
from amqpbroker.broker.queues.kinds import known_arguments, known_consumer_arguments
from amqpbroker.client.uri import AmqpUri, UriError, parse, without_credentials
from amqpbroker.wire.erlang import erlang_entries, erlang_json, erlang_string

AckMode = Literal["on-confirm", "on-publish", "no-ack"]

#: Protocols of RabbitMQ's shovels. Only the second is supported here.
PROTOCOLS = ("amqp10", "amqp091")

_ACK_MODES = ("no-ack", "on-publish", "on-confirm")
#: Limit of numbers that are not times of messages.
_MAX_NUMBER = 2**32
_PREFETCH = 1000
_RECONNECT_DELAY_S = 5

#: The numeric properties, and the maximum of each.
_NUMBERS = {"delivery_mode": 255, "priority": 255, "timestamp": 2**64 - 1}
_TEXTS = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)


class Source(NamedTuple):
    """The source of a shovel: a queue, or an exchange (queue None) with a routing key for the binding.

    delete_after: None for never, "queue-length", or a number of messages. arguments: of the queue if it is declared,
    and of the consumer. Both are decoded JSON.
    """

    uris: tuple[AmqpUri, ...]
    queue: str | None
    exchange: str
    exchange_key: str
    prefetch: int
    delete_after: int | Literal["queue-length"] | None
    predeclared: bool
    queue_arguments: Mapping[str, Any]
    consumer_arguments: Mapping[str, Any]


class Destination(NamedTuple):
    """The destination of a shovel: a queue, or an exchange and a routing key; None to keep the message's own.

    properties: properties to set, by their names in AMQP.
    """

    uris: tuple[AmqpUri, ...]
    queue: str | None
    exchange: str | None
    exchange_key: str | None
    predeclared: bool
    queue_arguments: Mapping[str, Any]
    properties: Mapping[str, str | int]
    add_forward_headers: bool
    add_timestamp_header: bool


class ShovelDefinition(NamedTuple):
    """The definition of a shovel. reconnect_delay_s: None if the shovel does not reconnect."""

    source: Source
    destination: Destination
    ack_mode: AckMode
    reconnect_delay_s: float | None


def read(name: str, value: object, predeclared: bool) -> ShovelDefinition:
    """Parse the parameter's value. predeclared: the default of the settings that forbid to declare queues.

    Raises ValueError with all errors, in RabbitMQ's words and order, but without secrets, because it may be logged.
    """
    value = {} if value == [] else value  # as RabbitMQ writes an empty object
    problems = _problems(name, value) if isinstance(value, dict) else [f"{name} not a list {erlang_json(value)}"]
    if problems:
        raise validation_failed(*[without_credentials(problem) for problem in problems])
    assert isinstance(value, dict)

    def first(*keys: str, otherwise: Any = None) -> Any:
        return next((value[key] for key in keys if key in value), otherwise)

    delete_after = first("src-delete-after", "delete-after", otherwise="never")
    delay = first("reconnect-delay", otherwise=_RECONNECT_DELAY_S)
    return ShovelDefinition(
        Source(
            _uris(value["src-uri"]),
            first("src-queue"),
            first("src-exchange", otherwise=""),
            first("src-exchange-key", otherwise=""),
            int(first("src-prefetch-count", "prefetch-count", otherwise=_PREFETCH)),
            None if delete_after == "never" else delete_after,
            first("src-predeclared", otherwise=predeclared),
            first("src-queue-args") or {},
            first("src-consumer-args") or {},
        ),
        Destination(
            _uris(value["dest-uri"]),
            first("dest-queue"),
            first("dest-exchange"),
            first("dest-exchange-key"),
            first("dest-predeclared", otherwise=predeclared),
            first("dest-queue-args") or {},
            first("dest-publish-properties", "publish-properties") or {},
            first("dest-add-forward-headers", "add-forward-headers", otherwise=False),
            first("dest-add-timestamp-header", "add-timestamp-header", otherwise=False),
        ),
        first("ack-mode", otherwise="on-confirm"),
        delay if delay > 0 else None,
    )


def speaks_amqp10(value: object) -> bool:
    """Return whether the value is meant for a RabbitMQ whose shovel speaks AMQP 1.0 at one end."""
    return isinstance(value, dict) and "amqp10" in (value.get("src-protocol"), value.get("dest-protocol"))


def _uris(given: str | list[str]) -> tuple[AmqpUri, ...]:
    return tuple([parse(text) for text in ([given] if isinstance(given, str) else given)])


# --- errors of a value ------------------------------------------------------------------------------------------------

_Check = Callable[[str, object], str | None]


def _problems(name: str, value: Mapping[str, Any]) -> list[str]:
    problems = []
    if "src-queue" not in value and "src-exchange" not in value:
        problems.append("Must specify 'src-exchange' or 'src-queue'")
    for end in ("src", "dest"):
        if f"{end}-queue" in value and f"{end}-exchange" in value:
            problems.append(f"Cannot specify '{end}-exchange' and '{end}-queue'")
        if value.get(f"{end}-protocol") == "amqp10":
            problems.append(f"{end}-protocol amqp10 is not supported: set it to amqp091")
    delete_after = value.get("src-delete-after", value.get("delete-after"))
    if isinstance(delete_after, int) and value.get("ack-mode") == "no-ack":
        problems.append("Cannot specify 'no-ack' and numerical 'delete-after'")
    return problems + _unfit(name, value, _CHECKS, ("src-uri", "dest-uri"))


def _unfit(name: str, value: object, checks: dict[str, _Check], needed: tuple[str, ...] = ()) -> list[str]:
    """Return the errors of fields like rabbit_parameter_validation:proplist/3, which reports the last one first."""
    if value == []:
        value = {}
    if not isinstance(value, dict):
        return [f"{name} not a list {erlang_json(value)}"]
    problems = []
    unknown = {key: value[key] for key in value if key not in checks}
    if unknown:
        problems.append(f"Unrecognised terms {erlang_entries(unknown)} in {name}")
    for key in reversed(checks):
        if key in value:
            problem = checks[key](key, value[key])
            if problem is not None:
                problems.append(problem)
        elif key in needed:
            problems.append(f'Key "{key}" not found in {name}')
    return problems


def _uri(name: str, given: object) -> str | None:
    if isinstance(given, str):
        try:
            parse(given)
        except UriError as error:
            return f'"{given}" not a valid URI: {{{error},{erlang_string(given)}}}'
        return None
    if not isinstance(given, list):
        return f"{name} should be list, actually was {erlang_json(given)}"
    if not given or not all(isinstance(each, str) for each in given):
        return f"{name} should be one or more URIs, actually was {len(given)} of other kinds"
    return next((problem for problem in (_uri(name, each) for each in given) if problem is not None), None)


def _text(name: str, given: object) -> str | None:
    return None if isinstance(given, str) else f"{name} should be binary, actually was {erlang_json(given)}"


def _short_text(name: str, given: object) -> str | None:
    """Check a value for a shortstr."""
    if isinstance(given, str) and len(given.encode("utf-8", "surrogateescape")) > 255:
        return f"{name} should be at most 255 bytes"
    return _text(name, given)


def _number(name: str, given: object) -> str | None:
    if isinstance(given, int | float) and not isinstance(given, bool) and abs(given) <= _MAX_NUMBER:
        return None
    return f"{name} should be a number, actually was {erlang_json(given)}"


def _count(name: str, given: object) -> str | None:
    """Check a prefetch count."""
    problem = _number(name, given)
    if problem is None and not 0 <= int(given) <= 0xFFFF:  # type: ignore[call-overload]
        return f"{name} should be between 0 and 65535, actually was {erlang_json(given)}"
    return problem


def _boolean(name: str, given: object) -> str | None:
    return None if isinstance(given, bool) else f"{name} should be boolean, actually was {erlang_json(given)}"


def _one_of(*words: str) -> _Check:
    shown = ",".join(map(erlang_json, words))

    def check(name: str, given: object) -> str | None:
        return None if given in words else f"{name} should be one of [{shown}], actually was {erlang_json(given)}"

    return check


def _delete_after(name: str, given: object) -> str | None:
    if given in ("never", "queue-length") or (isinstance(given, int) and not isinstance(given, bool) and given >= 0):
        return None
    return (
        f'{name} should be a number greater than or equal to 0, "never" or "queue-length", actually was'
        f" {erlang_json(given)}"
    )


def _known(names: Callable[[], Collection[str]]) -> _Check:
    def check(name: str, given: object) -> str | None:
        checks: dict[str, _Check] = dict.fromkeys(sorted(names()), _scalar)
        return "\n".join(_unfit(name, given, checks)) or None

    return check


def _scalar(name: str, given: object) -> str | None:
    if isinstance(given, str | float) or (isinstance(given, int) and -(2**63) <= given < 2**63):
        return None
    return f"{name} should be a string, a number or a boolean, actually was {erlang_json(given)}"


def _properties(name: str, given: object) -> str | None:
    return "\n".join(_unfit(name, given, _PROPERTIES)) or None


def _property_number(name: str, given: object) -> str | None:
    if isinstance(given, int) and not isinstance(given, bool):
        if 0 <= given <= _NUMBERS[name]:
            return None
        return f"{name} should be a whole number of at most {_NUMBERS[name]}, actually was {erlang_json(given)}"
    return _number(name, given) or f"{name} should be a whole number, actually was {erlang_json(given)}"


_PROPERTIES: dict[str, _Check] = {
    **dict.fromkeys(_TEXTS[:2], _short_text),
    "delivery_mode": _property_number,
    "priority": _property_number,
    **dict.fromkeys(_TEXTS[2:6], _short_text),
    "timestamp": _property_number,
    **dict.fromkeys(_TEXTS[6:], _short_text),
}

#: The checks are in RabbitMQ's order.
_CHECKS: dict[str, _Check] = {
    "reconnect-delay": _number,
    "ack-mode": _one_of(*_ACK_MODES),
    "src-protocol": _one_of(*PROTOCOLS),
    "dest-protocol": _one_of(*PROTOCOLS),
    "src-uri": _uri,
    "src-exchange": _short_text,
    "src-exchange-key": _short_text,
    "src-queue": _short_text,
    "src-queue-args": _known(known_arguments),
    "src-consumer-args": _known(known_consumer_arguments),
    "prefetch-count": _count,
    "src-prefetch-count": _count,
    "delete-after": _delete_after,
    "src-delete-after": _delete_after,
    "src-predeclared": _boolean,
    "dest-uri": _uri,
    "dest-exchange": _short_text,
    "dest-exchange-key": _short_text,
    "dest-queue": _short_text,
    "dest-queue-args": _known(known_arguments),
    "add-forward-headers": _boolean,
    "add-timestamp-header": _boolean,
    "dest-add-forward-headers": _boolean,
    "dest-add-timestamp-header": _boolean,
    "publish-properties": _properties,
    "dest-publish-properties": _properties,
    "dest-predeclared": _boolean,
}
