"""Dead letters of a message group, which went to dead letter queues when the group was closed."""

from collections.abc import Iterable
from typing import Final

from amqpbroker.broker.queues.dead_letters.original_message import LETTER_KEY, LETTER_NUMBER, last_death, revived
from amqpbroker.broker.queues.groups.group import GROUP
from amqpbroker.broker.queues.groups.key import group_key
from amqpbroker.broker.queues.ledger import DELIVERY_LIMIT, REJECTED
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.message.message import Message
from amqpbroker.octets import read_i64_be
from amqpbroker.wire.raw_headers import find_header, value_end

_NUMBER: Final = LETTER_NUMBER.encode()
_NUMBER_ENTRY: Final = bytes((len(_NUMBER),)) + _NUMBER + b"l"
_KEY: Final = LETTER_KEY.encode()
_KEY_ENTRY: Final = bytes((len(_KEY),)) + _KEY + b"S"

_LAST_QUEUE: Final = b"x-last-death-queue"
_LAST_REASON: Final = b"x-last-death-reason"
#: Reasons of the letters of a closed group.
LETTER_REASONS: Final = (REJECTED, DELIVERY_LIMIT, GROUP)
_REASONS: Final = (REJECTED.encode(), DELIVERY_LIMIT.encode(), GROUP.encode())


class LetterHeldError(Exception):
    """A client holds a dead letter of a closed group, so that the group cannot be redriven in order."""


def letter_queues(queue: Queue, names: Iterable[str], queues: dict[str, Queue]) -> list[LocalQueue]:
    """Return those of the named queues, to which letters of a queue went, that still exist."""
    found = [queues.get(name) for name in names]
    return [each for each in found if isinstance(each, LocalQueue) and each is not queue]


def is_letter(message: Message, died_in: bytes, name: bytes, key: bytes) -> bool:
    """Return whether a message is a dead letter that stopped a closed group, or followed.

    Letters that did not stop their group, such as expired ones, are none: later messages of the group may have been
    processed since. died_in: name of their queue. name: of the header that has the key.
    """
    if not message.died:
        return False
    properties = message.properties
    if _value(properties, _LAST_QUEUE) != died_in or _value(properties, _LAST_REASON) not in _REASONS:
        return False
    return letter_key(message, name) == key


def _value(properties: bytes, name: bytes) -> bytes:
    """Return a header that is text, empty if there is none."""
    at = find_header(properties, name)
    return properties[at + 5 : value_end(properties, at)] if at else b""


def letter_key(message: Message, name: bytes) -> bytes | None:
    """Return the key that a dead letter had in the queue in which it died, None if it had none.

    name: of the header that has the key, empty for the routing key.
    """
    return group_key(message if name else restored(message, name), name)


def letter_headers(number: int, name: bytes, routing_key: bytes) -> bytes:
    """Return the headers of a letter with this number, as entries of a field table on the wire.

    name: of the header that has the key, empty for the routing key.
    """
    headers = _NUMBER_ENTRY + number.to_bytes(8, "big")
    return headers if name else headers + _KEY_ENTRY + len(routing_key).to_bytes(4, "big") + routing_key


def letter_number(message: Message) -> int:
    """Return the number of a letter, 0 if it has none."""
    properties = message.properties
    at = find_header(properties, _NUMBER)
    return read_i64_be(properties, at + 1) if at and properties[at : at + 1] == b"l" else 0


def former_number(message: Message, died_in: str) -> int:
    """Return the number that a message had as a letter of a queue, which it has returned to; 0 if it was none.

    A client may publish any headers, but not the deaths of a message.
    """
    if not message.died or message.headers is None:
        return 0
    deaths = message.headers.get("x-death")
    queue = died_in.encode("utf-8", "surrogateescape")
    for death in () if deaths is None else deaths.value:
        if death.value["queue"].value == queue and death.value["reason"].value in _REASONS:
            return letter_number(message)
    return 0


def returned_key(message: Message, name: bytes) -> bytes | None:
    """Return the key that a letter had, which has returned to its queue: perhaps with another routing key.

    name: of the header that has the key, empty for the routing key.
    """
    if not name and find_header(message.properties, _KEY):
        return letter_key(message, name)
    return group_key(message, name)


def restored(message: Message, name: bytes) -> Message:
    """Return a dead letter as the message that died; it keeps x-death.

    name: of the header that has the key in the queue in which it died, empty for the routing key.
    """
    death = last_death(message)
    assert death is not None
    if not name and find_header(message.properties, _KEY):
        death = death._replace(routing_keys=(_value(message.properties, _KEY), *death.routing_keys[1:]))
    return revived(message, death, keep_history=True, restore_expiration=False)
