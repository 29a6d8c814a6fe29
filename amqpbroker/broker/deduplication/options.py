"""Arguments of queues and exchanges that recognise duplicates.

The names are those of RabbitMQ's plugin (rabbitmq-message-deduplication) and of LavinMQ.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, final

from amqpbroker import errors
from amqpbroker.broker.publishing.choices import choice, header_name
from amqpbroker.broker.publishing.publish_checks import MAX_EXPIRY_MS
from amqpbroker.wire.erlang import erlang_string
from amqpbroker.wire.values import INTEGER_KINDS, TYPE_NAMES, Field, Table

DEDUPLICATION: Final = "x-message-deduplication"
HEADER: Final = "x-deduplication-header"
PROPERTY: Final = "x-deduplication-property"
SCOPE: Final = "x-deduplication-scope"
CACHE_SIZE: Final = "x-cache-size"
CACHE_TTL: Final = "x-cache-ttl"
CACHE_PERSISTENCE: Final = "x-cache-persistence"

#: Time for which an id is remembered if neither a time nor a number of ids is given. That of Amazon SQS.
DEFAULT_TTL_MS: Final = 300_000

_WINDOW: Final = b"window"
_QUEUE: Final = b"queue"
_DEFAULT_HEADER: Final = b"x-deduplication-header"

#: As in `queues.arguments`: returns the reason why a value is not accepted, as an Erlang term.
Check = Callable[[Field, Table], str | None]


@final
class Deduplication(NamedTuple):
    """Recognition of duplicates.

    header: name of the header that has the id; None for the property message-id. while_queued: an id is taken while its
    message is in the queue; otherwise it is remembered for a time. ttl_ms: that time, 0 for no limit. size: number of
    remembered ids, 0 for the number in `Bounds`. stored: ids survive a restart.
    """

    header: bytes | None = _DEFAULT_HEADER
    while_queued: bool = False
    ttl_ms: int = DEFAULT_TTL_MS
    size: int = 0
    stored: bool = True


def options(arguments: Table) -> Deduplication:
    """Return the options in these (valid) arguments."""
    ttl = _integer(arguments, CACHE_TTL)
    size = _integer(arguments, CACHE_SIZE)
    header = arguments.get(HEADER)
    return Deduplication(
        None if PROPERTY in arguments else _DEFAULT_HEADER if header is None else header.value,
        _is_while_queued(arguments),
        ttl if ttl or size else DEFAULT_TTL_MS,
        size,
        _text(arguments, CACHE_PERSISTENCE) != b"memory",
    )


def is_on(arguments: Table) -> bool:
    """Return whether the arguments turn deduplication on."""
    field = arguments.get(DEDUPLICATION)
    return field is not None and field.kind == "t" and bool(field.value)


def exchange_options(name: str, vhost: str, arguments: Table, of_type: bool) -> Deduplication | None:
    """Return the options of an exchange, None if it does not recognise duplicates.

    of_type: the type of the exchange turns deduplication on. Raises AmqpError 406 for a value that is not allowed.
    """
    given = {**arguments, DEDUPLICATION: Field("t", True)} if of_type else arguments
    for argument, check in CHECKS.items():
        field = arguments.get(argument)
        if field is None:
            continue
        problem = check(field, given)
        if argument == SCOPE:
            problem = erlang_string("only queues have a scope: leave it out")
        if problem is not None:
            raise errors.invalid_exchange_argument(argument, name, vhost, problem)
    return options({**given, SCOPE: Field("S", _WINDOW)}) if is_on(given) else None


def _is_while_queued(arguments: Table) -> bool:
    scope = _text(arguments, SCOPE)
    return scope == _QUEUE or (not scope and CACHE_TTL not in arguments and CACHE_SIZE not in arguments)


def _integer(arguments: Table, name: str) -> int:
    field = arguments.get(name)
    return field.value if field is not None and field.kind in INTEGER_KINDS else 0


def _text(arguments: Table, name: str) -> bytes:
    field = arguments.get(name)
    return field.value if field is not None and field.kind == "S" else b""


# --- checks -----------------------------------------------------------------------------------------------------------


def _boolean(field: Field, _: Table) -> str | None:
    return None if field.kind == "t" else erlang_string(f"expected boolean, got {TYPE_NAMES[field.kind]}")


def _off(arguments: Table) -> str | None:
    return None if is_on(arguments) else erlang_string(f"has no effect without {DEDUPLICATION} = true")


def _positive(field: Field, arguments: Table, most: int) -> str | None:
    if field.kind not in INTEGER_KINDS:
        return erlang_string(f"expected integer, got {TYPE_NAMES[field.kind]}")
    if not 0 < field.value <= most:
        return erlang_string(f"expected 1 to {most}, got {field.value}")
    if _text(arguments, SCOPE) == _QUEUE:
        return erlang_string(f"has no effect with {SCOPE} = queue: leave one of them out")
    return _off(arguments)


def _ttl(field: Field, arguments: Table) -> str | None:
    return _positive(field, arguments, MAX_EXPIRY_MS)


def _size(field: Field, arguments: Table) -> str | None:
    return _positive(field, arguments, 2**31 - 1)


def _header(field: Field, arguments: Table) -> str | None:
    problem = header_name(field, arguments)
    if problem is None and PROPERTY in arguments:
        return erlang_string(f"the id is in a header or in a property: leave out {HEADER} or {PROPERTY}")
    return problem or _off(arguments)


def _one_of(*texts: str) -> Check:
    accepts = choice(*texts)

    def check(field: Field, arguments: Table) -> str | None:
        return accepts(field, arguments) or _off(arguments)

    return check


CHECKS: Final[dict[str, Check]] = {
    DEDUPLICATION: _boolean,
    HEADER: _header,
    PROPERTY: _one_of("message_id"),
    SCOPE: _one_of("window", "queue"),
    CACHE_TTL: _ttl,
    CACHE_SIZE: _size,
    CACHE_PERSISTENCE: _one_of("disk", "memory"),
}
