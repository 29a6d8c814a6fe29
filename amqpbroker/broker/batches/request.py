"""Headers of a message that make it a member of a batch."""

import hashlib
from typing import Final, NamedTuple, final

from amqpbroker import errors
from amqpbroker.broker.publishing.publish_checks import MAX_EXPIRY_MS
from amqpbroker.message.message import Message
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.raw_headers import find_header, header, message_id
from amqpbroker.wire.values import INTEGER_KINDS, TYPE_NAMES, Field, Table, text

ID: Final = "x-batch-id"
SIZE: Final = "x-batch-size"
EXCHANGE: Final = "x-batch-exchange"
ROUTING_KEY: Final = "x-batch-routing-key"
EVENTS: Final = "x-batch-events"
TTL: Final = "x-batch-ttl"
OUTER_SIZE: Final = "x-batch-outer-size"
OUTER_TTL: Final = "x-batch-outer-ttl"
EVENT: Final = "x-batch-event"
#: Number that the broker gives to a member without a message id.
MEMBER: Final = "x-batch-member"

#: Header of the outer batch -> header in the event message's batch. Event messages have `EVENT`, and are members of the
#: batch that the outer headers name.
OUTER: Final = {
    "x-batch-outer-id": ID,
    OUTER_SIZE: SIZE,
    "x-batch-outer-exchange": EXCHANGE,
    "x-batch-outer-routing-key": ROUTING_KEY,
    "x-batch-outer-events": EVENTS,
    OUTER_TTL: TTL,
}
_OUTER_NAMES: Final = {inner: outer for outer, inner in OUTER.items()}
_INNER_NAMES: Final = {name: name for name in _OUTER_NAMES}

COMPLETE: Final = "complete"
SUCCESS: Final = "success"
DEATH: Final = "death"
#: All events, in the order in which they are sent.
ALL_EVENTS: Final = (DEATH, COMPLETE, SUCCESS)

DEFAULT_TTL_MS: Final = 24 * 60 * 60 * 1000
_ID_BYTES: Final = 255
_NAME_BYTES: Final = 255
_KEY_BYTES: Final = 12
_MAX_SIZE: Final = 2**31 - 1

_ID: Final = ID.encode()
_EVENT: Final = EVENT.encode()
_OUTER_ID: Final = b"x-batch-outer-id"
_MEMBER: Final = MEMBER.encode()


_NO_HEADERS: Table = {}


@final
class Request(NamedTuple):
    """A message's headers about its batch; None for absent ones.

    id: of the batch. user: publishes the message, or owns the inner batch. exchange, routing_key: of event messages.
    is_reply: the routing key is the message's reply_to, which may differ among members. events: to be sent. outer:
    headers of the outer batch, for the event message. is_event: the message is an event message of an inner batch.
    """

    id: bytes
    user: str
    size: int | None = None
    exchange: str | None = None
    routing_key: bytes | None = None
    is_reply: bool = False
    events: frozenset[str] | None = None
    ttl_ms: int | None = None
    outer: Table = _NO_HEADERS
    is_event: bool = False


def request_of(message: Message, user: str, most: int) -> Request | None:
    """Return the headers about a batch; None if the message is not for a batch.

    Without an id, other headers about a batch have no meaning. Those about the outer batch are checked even without its
    id, which a later member may add. most: maximum size of a batch. Raises AmqpError 406 for an invalid header.
    """
    headers = message.headers or {}
    if EVENT in headers:
        return _request(headers, _OUTER_NAMES, user, most) if _OUTER_NAMES[ID] in headers else None
    if ID not in headers:
        return None
    outer = {name: headers[name] for name in OUTER if name in headers}
    if outer:
        outer_request(outer, user, most)
    return _request(headers, _INNER_NAMES, user, most, decode_properties(message.properties).get("reply_to"), outer)


def outer_request(outer: Table, user: str, most: int) -> Request:
    """Return the headers about an outer batch, with an empty id if they have none.

    most: maximum size of a batch. Raises AmqpError 406 for an invalid header.
    """
    return _request(outer, _OUTER_NAMES, user, most)


def _request(
    headers: Table,
    names: dict[str, str],
    user: str,
    most: int,
    reply_to: bytes | None = None,
    outer: Table | None = None,
) -> Request:
    """Return the headers about a batch. names: of these headers; see `_OUTER_NAMES`."""
    id_ = _optional(headers, names[ID])
    if id_ == b"":
        raise _invalid(names[ID], f"expected 1 to {_ID_BYTES} bytes")
    size = _number(headers, names[SIZE], 0, min(most, _MAX_SIZE))
    exchange = _optional(headers, names[EXCHANGE])
    key = _optional(headers, names[ROUTING_KEY])
    is_reply = key is None and not exchange and bool(reply_to)
    return Request(
        id_ or b"",
        user,
        size,
        None if exchange is None else text(exchange),
        reply_to if is_reply else key,
        is_reply,
        _events(names[EVENTS], headers),
        _number(headers, names[TTL], 1, MAX_EXPIRY_MS),
        outer or {},
        names is _OUTER_NAMES,
    )


def check_ttl(request: Request, most_ms: int) -> None:
    """Raise AmqpError 406 if a message names a longer TTL of its batch, or of the outer one, than `batch.max_ttl`."""
    outer = request.outer.get(OUTER_TTL)
    for name, ttl_ms in ((TTL, request.ttl_ms), (OUTER_TTL, None if outer is None else outer.value)):
        if ttl_ms is not None and ttl_ms > most_ms:
            raise errors.ttl_too_long(name, ttl_ms, most_ms, "batch.max_ttl")


def batch_id(message: Message) -> bytes | None:
    """Return the id of the batch that a message is a member of, None if it is of no batch."""
    properties = message.properties
    field_ = header(properties, _OUTER_ID if find_header(properties, _EVENT) else _ID)
    return field_.value if field_ is not None and field_.kind == "S" else None


def member_key(message: Message) -> bytes | None:
    """Return the key of a member, from its message id or its number; None if it has none."""
    properties = message.properties
    named = message_id(properties)
    if named:
        return hashlib.sha256(b"i" + named).digest()[:_KEY_BYTES]
    number = header(properties, _MEMBER)
    if number is None or number.kind not in INTEGER_KINDS:
        return None
    return hashlib.sha256(b"n%d" % number.value).digest()[:_KEY_BYTES]


def _text(name: str, given: Field) -> bytes:
    if given.kind != "S":
        raise _invalid(name, f"expected longstr, got {TYPE_NAMES[given.kind]}")
    value: bytes = given.value
    if len(value) > _NAME_BYTES:
        raise _invalid(name, f"expected at most {_NAME_BYTES} bytes, got {len(value)}")
    return value


def _optional(headers: Table, name: str) -> bytes | None:
    given = headers.get(name)
    return None if given is None else _text(name, given)


def _number(headers: Table, name: str, least: int, most: int) -> int | None:
    given = headers.get(name)
    if given is None:
        return None
    if given.kind not in INTEGER_KINDS:
        raise _invalid(name, f"expected integer, got {TYPE_NAMES[given.kind]}")
    if not least <= given.value <= most:
        raise _invalid(name, f"expected {least} to {most}, got {given.value}")
    number: int = given.value
    return number


def _events(name: str, headers: Table) -> frozenset[str] | None:
    given = _optional(headers, name)
    if given is None:
        return None
    events = [each.strip() for each in text(given).split(",")]
    for event in events:
        if event not in ALL_EVENTS:
            raise _invalid(name, f"expected some of complete,success,death, got '{event}'")
    return frozenset(events)


def _invalid(name: str, problem: str) -> errors.AmqpError:
    return errors.invalid_header(name, problem)
