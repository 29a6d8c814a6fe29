"""The arguments of queue.declare: one row for each argument, with the corresponding policy key.

A kind of queue names the rows that it knows (`kinds`). Any other argument is accepted and stored, and has no effect.
Source: rabbit_amqqueue:check_declare_arguments/3 and rabbit_policies, 4.0.5; how an argument and a policy are merged:
rabbit_amqqueue_process:process_args_policy/1, rabbit_quorum_queue:gather_policy_config/2, and for the consumer timeout
rabbit_channel:get_queue_consumer_timeout/2.
"""

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NamedTuple

from amqpbroker.broker.policies.ages import age_ms
from amqpbroker.broker.policies.policy_keys import (
    PolicyKey,
    finite,
    is_age,
    is_integer,
    is_one_of,
    is_text,
    operators,
)
from amqpbroker.broker.publishing.choices import choice
from amqpbroker.broker.publishing.publish_checks import MAX_EXPIRY_MS, expiry_problem
from amqpbroker.broker.queues.arguments.lock_arguments import ACTIONS, RENEWALS
from amqpbroker.broker.queues.arguments.retry_delay import TYPES
from amqpbroker.broker.queues.streams.offset import OFFSET, start_of
from amqpbroker.compat import Compat
from amqpbroker.wire.erlang import erlang_characters, erlang_string
from amqpbroker.wire.values import INTEGER_KINDS, TYPE_NAMES, Field, Table, longstr, text

QUEUE_TYPE = "x-queue-type"
DEAD_LETTER_EXCHANGE = "x-dead-letter-exchange"
#: Argument of basic.consume: the consumer gets copies of the messages that a queue has, which stay there.
NO_CONSUME = "x-filter-no-consume"

#: The reason why a value is not accepted, as RabbitMQ prints it (an Erlang term), or None if it is accepted.
Problem = str | None
Check = Callable[[Field, Table], Problem]


def _unacceptable_type(field: Field) -> Problem:
    return f"{{unacceptable_type,{TYPE_NAMES[field.kind]}}}"


def _integer(field: Field, _: Table) -> Problem:
    if field.kind in INTEGER_KINDS:
        return None
    return erlang_string(f"expected integer, got {TYPE_NAMES[field.kind]}")


def _not_negative(field: Field, arguments: Table) -> Problem:
    return _integer(field, arguments) or (f"{{value_negative,{field.value}}}" if field.value < 0 else None)


def positive(field: Field, arguments: Table) -> Problem:
    return _not_negative(field, arguments) or ("{value_zero,0}" if field.value == 0 else None)


def _message_ttl(field: Field, arguments: Table) -> Problem:
    return _integer(field, arguments) or expiry_problem(field.value)


def _expires(field: Field, arguments: Table) -> Problem:
    return _message_ttl(field, arguments) or ("{value_zero,0}" if field.value == 0 else None)


def _milliseconds(field: Field, _: Table) -> Problem:
    if field.kind not in INTEGER_KINDS or not 0 < field.value <= MAX_EXPIRY_MS:
        return erlang_string(f"expected milliseconds from 1 to {MAX_EXPIRY_MS}, got {_shown(field)}")
    return None


def number(low: float, high: float, expected: str) -> Check:
    """Return a check of a number of any type. expected: the allowed values."""

    def check(field: Field, _: Table) -> Problem:
        if field.kind in NUMBER_KINDS and low <= (value := _float(field)) <= high and value < math.inf:
            return None
        return erlang_string(f"expected {expected}, got {_shown(field)}")

    return check


def _retry_max(field: Field, arguments: Table) -> Problem:
    problem = _milliseconds(field, arguments)
    least = arguments.get("x-delayed-retry-min")
    if problem is None and least is not None and least.value > field.value:
        return erlang_string(f"{field.value} is smaller than x-delayed-retry-min ({least.value})")
    return problem


def _float(field: Field) -> float:
    """Return a number of any type, infinite if it is too large."""
    if field.kind == "D":
        scale, unscaled = field.value
        return float(Decimal(unscaled).scaleb(-scale))
    try:
        return float(field.value)
    except OverflowError:
        return math.inf


def _shown(field: Field) -> str:
    """Return a value as texts show it."""
    if field.kind in INTEGER_KINDS:
        return str(field.value)
    return f"{_float(field):g}" if field.kind in NUMBER_KINDS else TYPE_NAMES[field.kind]


def _max_priority(field: Field, arguments: Table) -> Problem:
    return _not_negative(field, arguments) or (f"{{max_value_exceeded,{field.value}}}" if field.value > 255 else None)


def _queue_version(field: Field, arguments: Table) -> Problem:
    problem = _not_negative(field, arguments)
    if problem is None and field.value not in (1, 2):
        return erlang_string(f"unsupported queue version '{field.value}'")
    return problem


def _queue_version_2(field: Field, arguments: Table) -> Problem:
    problem = _not_negative(field, arguments)
    return (
        erlang_string(f"unsupported queue version '{field.value}'") if problem is None and field.value != 2 else problem
    )


def boolean(field: Field, _: Table) -> Problem:
    return None if field.kind == "t" else _unacceptable_type(field)


def string(field: Field, _: Table) -> Problem:
    return None if field.kind == "S" else _unacceptable_type(field)


def _any(_: Field, __: Table) -> Problem:
    return None


def _one_of(problem: str, *texts: str) -> Check:
    """Return a check that accepts a longstr among `texts`; a {} in `problem` stands for the value."""
    values = [each.encode() for each in texts]

    def check(field: Field, arguments: Table) -> Problem:
        if field.kind != "S" or field.value in values:
            return string(field, arguments)
        return erlang_string(problem.format(erlang_characters(field.value))) if "{}" in problem else problem

    return check


def _lock_timeout(field: Field, _: Table) -> Problem:
    if field.kind in INTEGER_KINDS and 1 <= field.value <= MAX_EXPIRY_MS:
        return None
    return erlang_string(f"the timeout must be an integer from 1 to {MAX_EXPIRY_MS} (milliseconds)")


timeout_action = choice(*ACTIONS)
timeout_renew = choice(*RENEWALS)


def _no_consume(field: Field, arguments: Table) -> Problem:
    problem = boolean(field, arguments)
    if problem is None and field.value:
        for name in ("x-priority", "x-consumer-timeout", "x-consumer-timeout-action", "x-consumer-timeout-renew"):
            if name in arguments:
                return erlang_string(f"copies have no {name.removeprefix('x-')}: remove {name}")
    return problem


def _max_age(field: Field, _: Table) -> Problem:
    if field.kind != "S":
        return _unacceptable_type(field)
    return None if age_ms(text(field.value)) >= 0 else "invalid_max_age"


def _stream_offset(field: Field, _: Table) -> Problem:
    try:
        start_of({OFFSET: field})
    except ValueError as error:
        return str(error)
    return None


def _stream_filter(field: Field, _: Table) -> Problem:
    if field.kind != "A" or any(each.kind == "S" for each in field.value):
        return None
    return erlang_string("expected at least one longstr in the array")


def _dead_letter_routing_key(field: Field, arguments: Table) -> Problem:
    if field.kind == "S" and DEAD_LETTER_EXCHANGE not in arguments:
        return "routing_key_but_no_dlx_defined"
    return string(field, arguments)


#: (value of the policy, value of the argument) -> the value in force.
Merge = Callable[[Any, Any], Any]


def smaller(policy: float, argument: float) -> float:
    return min(policy, argument)


def by_argument(policy: object, argument: object) -> object:
    return argument


def by_policy(policy: object, argument: object) -> object:
    return policy


class Setting(NamedTuple):
    """The field of QueueSettings that an argument and its policy key set, and the type of the value there.

    merge: used if both are set. time: a policy may have any integer, but the maximum of the argument limits its effect.
    of_all: read for queues of every kind, although some kinds neither know nor check the argument.
    """

    name: str
    type: type[int] | type[float] | type[str] | type[bytes] | type[bool]
    merge: Merge = by_argument
    time: bool = False
    of_all: bool = False

    def value(self, given: Field | None) -> float | str | bytes | None:
        """Return the argument's value; None if it is absent, or of a type that makes it void."""
        if given is None or given.kind not in _WIRE_TYPES[self.type]:
            return None
        value: Any = given.value
        if self.type is str:
            return text(value)
        return _float(given) if self.type is float else value


#: Types of numbers on the wire. Some clients cannot send floats: pika has only decimals.
NUMBER_KINDS = INTEGER_KINDS | frozenset("fdD")

_WIRE_TYPES: dict[type[int] | type[float] | type[str] | type[bytes] | type[bool], str | frozenset[str]] = {
    int: INTEGER_KINDS,
    float: NUMBER_KINDS,
    str: "S",
    bytes: "S",
    bool: "t",
}


class Argument(NamedTuple):
    """An argument of queue.declare. check: None to accept any value. check_of_4_3: in RabbitMQ 4.3.

    policy: the corresponding policy key; its name is that of the argument without "x-". tolerated: RabbitMQ up to 4.1
    neither checks nor compares the argument, and kinds of queues that do not know it do not refuse it.
    stricter_check: with extensions, for an argument that RabbitMQ does not check, or not strictly. fixed: the value
    cannot change while a queue exists.
    """

    name: str
    check: Check | None
    setting: Setting | None = None
    policy: PolicyKey | None = None
    check_of_4_3: Check | None = None
    tolerated: bool = False
    stricter_check: Check | None = None
    fixed: bool = False

    def tolerates(self, compat: Compat) -> bool:
        """Return whether RabbitMQ ignores the argument, except for the kind of queue that it is for."""
        return self.tolerated and not compat.checks_filter_size

    @property
    def key(self) -> str:
        """Return the name of the policy key."""
        return self.name.removeprefix("x-")


MAX_SEGMENT_SIZE_BYTES = 3_000_000_000
_LOCATORS = ("client-local", "balanced", "random", "least-leaders")
_OVERFLOWS = ("drop-head", "reject-publish", "reject-publish-dlx")
_STRATEGIES = ("at-most-once", "at-least-once")
_RETRY = f"delayed retry type. Must be one of: {', '.join(TYPES)}"
_RETRY_TYPE = f"unsupported type '{{}}', expected {', '.join(TYPES[:-1])} or {TYPES[-1]}"
_RETRY_MIN = "delayed retry minimum delay. Must be a positive integer"
_RETRY_MAX = "delayed retry maximum delay. Must be a positive integer"

# fmt: off
#: The rows are in the order in which RabbitMQ checks the arguments.
ROWS: tuple[Argument, ...] = (
    Argument("x-expires", _expires, Setting("expires_ms", int, smaller, time=True),
             PolicyKey(is_integer(1), "queue expiry", min)),
    Argument("x-message-ttl", _message_ttl, Setting("message_ttl_ms", int, smaller, time=True),
             PolicyKey(is_integer(0), "message TTL", min)),
    Argument(DEAD_LETTER_EXCHANGE, string, Setting("dead_letter_exchange", str),
             PolicyKey(is_text, "dead letter exchange name")),
    Argument("x-dead-letter-routing-key", _dead_letter_routing_key, Setting("dead_letter_routing_key", bytes),
             PolicyKey(is_text, "dead letter routing key")),
    Argument("x-dead-letter-strategy", _one_of("invalid_dlx_strategy", *_STRATEGIES),
             Setting("dead_letter_strategy", str), PolicyKey(is_one_of(*_STRATEGIES), "dead letter strategy")),
    Argument("x-max-length", _not_negative, Setting("max_length", int, smaller),
             PolicyKey(is_integer(0), "maximum length", min)),
    Argument("x-max-length-bytes", _not_negative, Setting("max_length_bytes", int, smaller),
             PolicyKey(is_integer(0), "maximum length in bytes", min, of_all=True)),
    Argument("x-max-age", _max_age, Setting("max_age", str, by_policy), PolicyKey(is_age, "max age")),
    Argument("x-max-in-memory-length", _not_negative, None, PolicyKey(is_integer(0), "maximum memory in bytes", min)),
    Argument("x-max-in-memory-bytes", _not_negative, None, PolicyKey(is_integer(0), "maximum memory in bytes", min)),
    Argument("x-max-priority", _max_priority, Setting("max_priority", int), fixed=True),
    Argument("x-overflow", _one_of("invalid_overflow", *_OVERFLOWS), Setting("overflow", str),
             PolicyKey(is_one_of(*_OVERFLOWS), "overflow value", operators)),
    Argument("x-queue-mode", _one_of("unsupported queue mode '{}'", "default", "lazy"), None,
             PolicyKey(is_one_of("default", "lazy"), "queue-mode value"), check_of_4_3=_any, fixed=True),
    Argument("x-queue-version", _queue_version, None,
             PolicyKey(is_one_of(1, 2), "queue-version value", operators, of_all=True), check_of_4_3=_queue_version_2,
             fixed=True),
    Argument("x-single-active-consumer", boolean, Setting("single_active_consumer", bool), fixed=True),
    Argument("x-consumer-timeout", _not_negative,
             Setting("consumer_timeout_ms", int, smaller, time=True, of_all=True),
             PolicyKey(is_integer(0), "consumer timeout", of_all=True), stricter_check=_lock_timeout),
    Argument("x-consumer-disconnected-timeout", _not_negative, None,
             PolicyKey(is_integer(0), "consumer disconnected timeout", of_all=True, of_4_3=True)),
    Argument("x-quorum-initial-group-size", positive, fixed=True),
    Argument("x-stream-max-segment-size-bytes", _not_negative, Setting("segment_bytes", int, by_policy),
             PolicyKey(is_integer(0, MAX_SEGMENT_SIZE_BYTES), "segment size")),
    Argument("x-initial-cluster-size", positive, None, PolicyKey(is_integer(0), "cluster size")),
    Argument("x-queue-leader-locator", _one_of("invalid_queue_locator_arg", *_LOCATORS, "min-masters"), None,
             PolicyKey(is_one_of(*_LOCATORS), "queue leader locator value", of_all=True), fixed=True),
    # RabbitMQ checks none of the following arguments.
    Argument(QUEUE_TYPE, None, fixed=True),
    Argument("x-queue-master-locator", None, None,
             PolicyKey(is_one_of(*_LOCATORS, "min-masters"), "master locator", operators), fixed=True),
    Argument("x-delivery-limit", None, Setting("delivery_limit", int, finite),
             PolicyKey(is_integer(), "delivery limit", finite), stricter_check=_integer),
    Argument("x-delayed-retry-type", None, Setting("retry_type", str, by_policy),
             PolicyKey(is_one_of(*TYPES), _RETRY, operators, of_all=True, of_4_3=True, extension=True),
             stricter_check=_one_of(_RETRY_TYPE, *TYPES)),
    Argument("x-delayed-retry-min", None, Setting("retry_min_ms", int, smaller),
             PolicyKey(is_integer(1), _RETRY_MIN, max, of_all=True, of_4_3=True, extension=True),
             stricter_check=_milliseconds),
    Argument("x-delayed-retry-max", None, Setting("retry_max_ms", int, smaller),
             PolicyKey(is_integer(1), _RETRY_MAX, min, of_all=True, of_4_3=True, extension=True),
             stricter_check=_retry_max),
    Argument("x-stream-filter-size-bytes", _integer, None,
             PolicyKey(is_integer(16, 255), "filter size. Valid range is 16-255", of_all=True), tolerated=True),
)
# fmt: on

ARGUMENTS: dict[str, Argument] = {row.name: row for row in ROWS}

#: Values of the policy key and of the setting for declarations of existing queues.
STRICT: Final = "strict"
WARN: Final = "warn"
UPDATE: Final = "update"
MODES: Final = (STRICT, WARN, UPDATE)

#: Policy keys without a corresponding argument.
OTHER_KEYS: dict[str, PolicyKey] = {
    "alternate-exchange": PolicyKey(is_text, "alternate exchange name", of_all=True),
    "target-group-size": PolicyKey(is_integer(1), "qq target count value", operators),
    "redeclare": PolicyKey(
        is_one_of(*MODES),
        f"redeclaration mode. Must be one of: {', '.join(MODES)}",
        operators,
        of_all=True,
        extension=True,
    ),
}

#: The arguments of basic.consume, in the order in which RabbitMQ checks them.
CONSUMER_ARGUMENTS: dict[str, Argument] = {
    row.name: row
    for row in (
        Argument("x-stream-offset", _stream_offset),
        Argument("x-priority", _integer),
        Argument("x-consumer-timeout", _not_negative, stricter_check=_lock_timeout),
        Argument("x-consumer-timeout-action", timeout_action),
        Argument("x-consumer-timeout-renew", timeout_renew),
        Argument(NO_CONSUME, None, stricter_check=_no_consume),
        Argument("x-stream-filter", _stream_filter),
        Argument("x-stream-match-unfiltered", None),
        Argument("x-stream-automatic-offset-tracking", None, stricter_check=boolean),
    )
}


def check_of(row: Argument, compat: Compat) -> Check | None:
    """Return the check of an argument's value."""
    if row.tolerates(compat):
        return None
    if compat.extensions and row.stricter_check is not None:
        return row.stricter_check
    return row.check_of_4_3 if compat.arguments_of_4_3 and row.check_of_4_3 is not None else row.check


def with_queue_type(
    arguments: Table, *, durable: bool, exclusive: bool, auto_delete: bool, default_queue_type: str
) -> Table:
    """Return the arguments as RabbitMQ stores and shows them: with a queue type, also if the client named none.

    The vhost's default type applies to queues that it supports; other queues are classic
    (rabbit_amqqueue:augment_declare_args/5).
    """
    if QUEUE_TYPE in arguments:
        return arguments
    suits = default_queue_type == "classic" or (durable and not exclusive and not auto_delete)
    augmented = {**arguments, QUEUE_TYPE: longstr(default_queue_type if suits else "classic")}
    return {name: augmented[name] for name in sorted(augmented)}
