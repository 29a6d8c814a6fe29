"""The arguments of queue.declare that RabbitMQ knows: which queue type takes which, and what each may be.

Any other argument is accepted and kept, and means nothing. Source: rabbit_amqqueue:check_declare_arguments/3 and
`capabilities/0` of rabbit_classic_queue, rabbit_quorum_queue and rabbit_stream_queue, 4.0.5.
"""

import re
from collections.abc import Callable

from amqpbroker import errors
from amqpbroker.broker.publishing.ttl import expiry_problem
from amqpbroker.wire.erlang import erlang_characters, erlang_string
from amqpbroker.wire.values import INTEGER_KINDS, TYPE_NAMES, Field, Table, longstr, text

QUEUE_TYPE = "x-queue-type"
DEAD_LETTER_EXCHANGE = "x-dead-letter-exchange"

#: Queue type -> its arguments, in the order in which RabbitMQ compares them when a queue is declared again.
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "classic": (
        "x-expires",
        "x-message-ttl",
        DEAD_LETTER_EXCHANGE,
        "x-dead-letter-routing-key",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
        "x-overflow",
        "x-queue-mode",
        "x-queue-version",
        "x-single-active-consumer",
        QUEUE_TYPE,
        "x-queue-master-locator",
        "x-queue-leader-locator",
    ),
    "quorum": (
        DEAD_LETTER_EXCHANGE,
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
        "x-expires",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-overflow",
        "x-single-active-consumer",
        QUEUE_TYPE,
        "x-quorum-initial-group-size",
        "x-delivery-limit",
        "x-message-ttl",
        "x-queue-leader-locator",
    ),
    "stream": (
        QUEUE_TYPE,
        "x-max-length-bytes",
        "x-max-age",
        "x-stream-max-segment-size-bytes",
        "x-stream-filter-size-bytes",
        "x-initial-cluster-size",
        "x-queue-leader-locator",
    ),
}

#: Arguments added in RabbitMQ 4.3, by queue type.
_ARGUMENTS_4_3: dict[str, tuple[str, ...]] = {
    "classic": (),
    "quorum": (
        "x-consumer-disconnected-timeout",
        "x-consumer-timeout",
        "x-delayed-retry-type",
        "x-delayed-retry-min",
        "x-delayed-retry-max",
    ),
    "stream": (),
}

KNOWN_ARGUMENTS = frozenset(name for names in ARGUMENTS.values() for name in names)
#: Those of other types that a queue refuses. (x-stream-filter-size-bytes is not among them in RabbitMQ 4.0.5.)
_REFUSED = KNOWN_ARGUMENTS - {"x-stream-filter-size-bytes"}
_REFUSED_4_3 = KNOWN_ARGUMENTS | frozenset(_ARGUMENTS_4_3["quorum"])

#: The arguments of basic.consume that each queue type knows.
CONSUMER_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "classic": ("x-priority",),
    "quorum": ("x-priority",),
    "stream": ("x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"),
}
KNOWN_CONSUMER_ARGUMENTS = frozenset(name for names in CONSUMER_ARGUMENTS.values() for name in names)
_CONSUMER_TIMEOUT = "x-consumer-timeout"

#: Why a value is not acceptable, as RabbitMQ prints it (an Erlang term), or None if it is.
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


def _positive(field: Field, arguments: Table) -> Problem:
    return _not_negative(field, arguments) or ("{value_zero,0}" if field.value == 0 else None)


def _message_ttl(field: Field, arguments: Table) -> Problem:
    return _integer(field, arguments) or expiry_problem(field.value)


def _expires(field: Field, arguments: Table) -> Problem:
    return _message_ttl(field, arguments) or ("{value_zero,0}" if field.value == 0 else None)


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


def _boolean(field: Field, _: Table) -> Problem:
    return None if field.kind == "t" else _unacceptable_type(field)


def _string(field: Field, _: Table) -> Problem:
    return None if field.kind == "S" else _unacceptable_type(field)


def _one_of(problem: str, *values: bytes) -> Check:
    """A longstr among `values`; of what `problem` says, a {} stands for the value."""

    def check(field: Field, arguments: Table) -> Problem:
        if field.kind != "S" or field.value in values:
            return _string(field, arguments)
        return erlang_string(problem.format(erlang_characters(field.value))) if "{}" in problem else problem

    return check


def _max_age(field: Field, _: Table) -> Problem:
    if field.kind != "S":
        return _unacceptable_type(field)
    return None if re.fullmatch(rb"[0-9]+[YMDhms]", field.value) else "invalid_max_age"


def _dead_letter_routing_key(field: Field, arguments: Table) -> Problem:
    if field.kind == "S" and DEAD_LETTER_EXCHANGE not in arguments:
        return "routing_key_but_no_dlx_defined"
    return _string(field, arguments)


_queue_type = _one_of("unsupported queue type '{}'", *(name.encode() for name in ARGUMENTS))

#: Argument -> its check, in the order in which RabbitMQ checks.
_CHECKS: dict[str, Check] = {
    "x-expires": _expires,
    "x-message-ttl": _message_ttl,
    DEAD_LETTER_EXCHANGE: _string,
    "x-dead-letter-routing-key": _dead_letter_routing_key,
    "x-dead-letter-strategy": _one_of("invalid_dlx_strategy", b"at-most-once", b"at-least-once"),
    "x-max-length": _not_negative,
    "x-max-length-bytes": _not_negative,
    "x-max-age": _max_age,
    "x-max-in-memory-length": _not_negative,
    "x-max-in-memory-bytes": _not_negative,
    "x-max-priority": _max_priority,
    "x-overflow": _one_of("invalid_overflow", b"drop-head", b"reject-publish", b"reject-publish-dlx"),
    "x-queue-mode": _one_of("unsupported queue mode '{}'", b"default", b"lazy"),
    "x-queue-version": _queue_version,
    "x-single-active-consumer": _boolean,
    _CONSUMER_TIMEOUT: _not_negative,
    "x-consumer-disconnected-timeout": _not_negative,
    "x-quorum-initial-group-size": _positive,
    "x-queue-leader-locator": _one_of(
        "invalid_queue_locator_arg", b"client-local", b"balanced", b"random", b"least-leaders", b"min-masters"
    ),
}

_CHECKS_4_3: dict[str, Check] = {name: check for name, check in _CHECKS.items() if name != "x-queue-mode"} | {
    "x-queue-version": _queue_version_2
}


def with_queue_type(
    arguments: Table, *, durable: bool, exclusive: bool, auto_delete: bool, default_queue_type: str
) -> Table:
    """The arguments as RabbitMQ keeps and shows them: with a queue type, also when the client named none.

    The vhost's default is for queues that it suits; the others are classic (rabbit_amqqueue:augment_declare_args/5).
    """
    if QUEUE_TYPE in arguments:
        return arguments
    suits = default_queue_type == "classic" or (durable and not exclusive and not auto_delete)
    augmented = {**arguments, QUEUE_TYPE: longstr(default_queue_type if suits else "classic")}
    return {name: augmented[name] for name in sorted(augmented)}


def queue_type_of(name: str, vhost: str, arguments: Table, default_queue_type: str) -> str:
    """The queue type that `arguments` (with one written in) ask for. Raises AmqpError 406 if there is no such type."""
    field = arguments[QUEUE_TYPE]
    if field == longstr("undefined"):
        return default_queue_type
    problem = _queue_type(field, arguments)
    if problem is not None:
        raise errors.invalid_queue_argument(QUEUE_TYPE, name, vhost, problem)
    return text(field.value)


def arguments_of(queue_type: str, newest: bool) -> tuple[str, ...]:
    """Return the arguments of a queue type, in the order in which RabbitMQ compares them. newest: in RabbitMQ 4.3."""
    return ARGUMENTS[queue_type] + _ARGUMENTS_4_3[queue_type] if newest else ARGUMENTS[queue_type]


def check_queue_arguments(name: str, vhost: str, queue_type: str, arguments: Table, newest: bool = False) -> None:
    """Raise AmqpError 406 for a value that is not allowed, then for an argument that only other queue types have.

    newest: the arguments are those of RabbitMQ 4.3.
    """
    own = arguments_of(queue_type, newest)
    checks, refused = (_CHECKS_4_3, _REFUSED_4_3) if newest else (_CHECKS, _REFUSED)
    for argument, check in checks.items():
        field = arguments.get(argument)
        if field is not None and argument in own:
            problem = check(field, arguments)
            if problem is not None:
                raise errors.invalid_queue_argument(argument, name, vhost, problem)
    for argument in arguments:
        if argument in refused and argument not in own:
            raise errors.argument_not_of_queue_type(argument, name, vhost, queue_module(queue_type))


def check_consumer_arguments(name: str, vhost: str, queue_type: str, arguments: Table, newest: bool) -> None:
    """The same for basic.consume: raises AmqpError 406 (rabbit_amqqueue:check_consume_arguments/2)."""
    own, known = CONSUMER_ARGUMENTS[queue_type], KNOWN_CONSUMER_ARGUMENTS
    checks: dict[str, Check] = {"x-priority": _integer}
    if newest:
        own = (*own, _CONSUMER_TIMEOUT) if queue_type == "quorum" else own
        known, checks = known | {_CONSUMER_TIMEOUT}, checks | {_CONSUMER_TIMEOUT: _not_negative}
    for argument, check in checks.items():
        field = arguments.get(argument)
        problem = check(field, arguments) if field is not None and argument in own else None
        if problem is not None:
            raise errors.invalid_queue_argument(argument, name, vhost, problem)
    for argument in arguments:
        if argument in known and argument not in own:
            raise errors.argument_not_of_queue_type(argument, name, vhost, queue_module(queue_type))


def queue_module(queue_type: str) -> str:
    """The name of RabbitMQ's module for a queue type, which its texts print."""
    return f"rabbit_{queue_type}_queue"
