"""Arguments of queues that keep only the last message of each key.

`qpid.last_value_queue_key` is the name of the argument in Qpid.
"""

from typing import Final, NamedTuple, final

from amqpbroker.broker.deduplication.options import DEDUPLICATION, is_on
from amqpbroker.broker.deduplication.options import Check as Check
from amqpbroker.broker.publishing.choices import choice, header_name
from amqpbroker.wire.erlang import erlang_string
from amqpbroker.wire.values import TYPE_NAMES, Field, Table

KEY: Final = "x-last-value-key"
QPID_KEY: Final = "qpid.last_value_queue_key"
POSITION: Final = "x-last-value-position"
DEAD_LETTER: Final = "x-last-value-dead-letter"

_OLD: Final = "old"
_TAIL: Final = "tail"
_old_or_tail = choice(_OLD, _TAIL)


@final
class LastValue(NamedTuple):
    """Replacement of messages by newer ones.

    header: name of the header that has the key. at_tail: a message that replaces another one is added at the tail;
    otherwise it takes the position of the other. dead_letters: replaced messages are dead-lettered.
    """

    header: bytes
    at_tail: bool = False
    dead_letters: bool = False


def last_value(arguments: Table) -> LastValue | None:
    """Return the options in these (valid) arguments; None if no message replaces another one."""
    header = arguments.get(KEY, arguments.get(QPID_KEY))
    if header is None or header.kind != "S":
        return None
    position = arguments.get(POSITION)
    letters = arguments.get(DEAD_LETTER)
    return LastValue(
        header.value,
        position is not None and position.value == _TAIL.encode(),
        letters is not None and bool(letters.value),
    )


# --- checks -----------------------------------------------------------------------------------------------------------


def _key(field: Field, arguments: Table) -> str | None:
    problem = header_name(field, arguments)
    if problem is not None:
        return problem
    if KEY in arguments and QPID_KEY in arguments:
        return erlang_string(f"{KEY} and {QPID_KEY} are the same: leave out one of them")
    if is_on(arguments):
        return erlang_string(f"a queue drops duplicates or replaces messages: leave out {DEDUPLICATION} or this")
    return None


def _without_key(arguments: Table) -> str | None:
    if KEY in arguments or QPID_KEY in arguments:
        return None
    return erlang_string(f"has no effect without {KEY}, the name of the header that has the key")


def _position(field: Field, arguments: Table) -> str | None:
    return _old_or_tail(field, arguments) or _without_key(arguments)


def _dead_letter(field: Field, arguments: Table) -> str | None:
    if field.kind != "t":
        return erlang_string(f"expected true or false as a boolean, got {TYPE_NAMES[field.kind]}")
    return _without_key(arguments)


CHECKS: Final[dict[str, Check]] = {
    KEY: _key,
    QPID_KEY: _key,
    POSITION: _position,
    DEAD_LETTER: _dead_letter,
}
