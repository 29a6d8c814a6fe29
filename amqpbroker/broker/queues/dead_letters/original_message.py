"""Dead letters as they were before they died."""

from typing import Final, NamedTuple, final

from amqpbroker.message.deaths import REDRIVEN_REJECTIONS, count_rejections
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.headers import with_headers
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import Field, Table, text

#: Header with the number of a dead letter of a closed message group, by which letters are in the order in which they
#: failed. It remains when the message comes back.
LETTER_NUMBER: Final = "x-group-letter"

#: Header with the routing key of such a letter, if that is the key of its group. The x-death header of a message that
#: dies again keeps the routing key of the first time.
LETTER_KEY: Final = "x-group-letter-key"

#: Headers that dead-lettering adds to a message.
_HISTORY: Final = frozenset(
    (
        "x-death",
        LETTER_NUMBER,
        LETTER_KEY,
        "x-first-death-exchange",
        "x-first-death-queue",
        "x-first-death-reason",
        "x-last-death-exchange",
        "x-last-death-queue",
        "x-last-death-reason",
        REDRIVEN_REJECTIONS,
    )
)


@final
class Death(NamedTuple):
    """The most recent death of a message.

    queue, reason: where and why it died. exchange, routing_keys: with which it had entered that queue, CC keys
    included. expiration: the message's own TTL before that, in decimal digits of milliseconds, None for none.
    """

    queue: str
    reason: str
    exchange: str
    routing_keys: tuple[bytes, ...]
    expiration: bytes | None


def last_death(message: Message) -> Death | None:
    """Return the most recent death of a message; None if it did not die in this broker."""
    if not message.died or message.headers is None:
        return None
    deaths = message.headers.get("x-death")
    if deaths is None or not deaths.value:
        return None
    table: Table = deaths.value[0].value
    # The entry with the most recent death moves to the front, but keeps the details of its first one.
    expiration = table.get("original-expiration")
    return Death(
        text(table["queue"].value),
        text(table["reason"].value),
        text(table["exchange"].value),
        tuple([key.value for key in table["routing-keys"].value]),
        None if expiration is None else expiration.value,
    )


def revived(message: Message, death: Death, keep_history: bool, restore_expiration: bool) -> Message:
    """Return a dead letter as it was before its most recent death.

    It has the exchange and the routing keys with which it had entered that queue. keep_history: it retains the headers
    about dead-lettering. restore_expiration: it also has its expiration again.
    """
    properties = decode_properties(message.properties)
    if not keep_history:
        headers = {name: value for name, value in properties["headers"].items() if name not in _HISTORY}
        if headers:
            properties["headers"] = headers
        else:
            del properties["headers"]
    expiration = death.expiration if restore_expiration else None
    if expiration is not None:
        properties["expiration"] = expiration
    key, *others = death.routing_keys or (b"",)
    made = message.rewritten(encode_address(death.exchange, key), encode_properties(properties))
    made.restore(message.persistent, message.priority, tuple(others), len(others), keep_history)
    if expiration is not None:
        made.expiration_ms = int(expiration)
    return made


def absolved(message: Message) -> Message:
    """Return a followed message that is redriven with the headers about dead-lettering: its copies count again."""
    rejections = Field("l", count_rejections(message.properties))
    return message.rewritten(message.address, with_headers(message.properties, {REDRIVEN_REJECTIONS: rejections}))
