"""What the broker must know of a message's properties when it is published, and what it rewrites in them."""

from typing import Any, Final

from mypy_extensions import i64

from amqpbroker import errors
from amqpbroker.broker.publishing.publish_checks import check_user_id, expiration_ms, extra_routing_keys, without_bcc
from amqpbroker.broker.users.users import User
from amqpbroker.message.message import Message
from amqpbroker.wire.frames import PROPERTIES_AT
from amqpbroker.wire.headers import normalised
from amqpbroker.wire.properties import SLOW, decode_properties, encode_properties, flags_of, scan
from amqpbroker.wire.property_edit import merge_headers, sort_headers
from amqpbroker.wire.property_walk import PSEUDO_QUEUE, PSEUDO_QUEUE_BYTES, PropertyWalk
from amqpbroker.wire.values import Table, text

#: Properties that carry nothing but delivery mode and priority -> 256 if persistent, plus the priority.
KNOWN: dict[bytes, int] = {}
KNOWN_SIZE: Final = 4
_KNOWN_COUNT: Final = 4096

#: Common instance: the inspection of one publish ends before that of the next begins.
_WALK: Final = PropertyWalk()


def inspect(message: Message, properties: bytes, user: User | None, reply: bytes | None) -> None:
    """Fill in what the properties say of a message that `user` publishes on a channel.

    reply: the name, as on the wire, that replies to the channel are published to. Without a user the property user-id
    may be any.

    Raises AmqpError, or MalformedError for properties that are none. Checks in RabbitMQ's order
    (rabbit_channel:handle_method of basic.publish).
    """
    walk = _WALK
    if len(properties) > KNOWN_SIZE and walk.walk(properties) and _may_be(walk, properties, user):
        message.persistent = walk.mode == 2
        message.priority = walk.priority
        message.expiration_ms = walk.expiration_ms
        message.undecoded = walk.has_headers
        if walk.reply_at:
            end = walk.reply_at + 1 + PSEUDO_QUEUE_BYTES
            properties = properties[: walk.reply_at] + _name(reply) + properties[end:]
            message.replace_properties(properties)
        if walk.unsorted_at:
            _sort_headers(message, properties, walk.unsorted_at)
        return
    flags = flags_of(properties)
    mode, message.priority = scan(properties, flags)
    message.persistent = mode == 2
    if flags & SLOW:
        _inspect_fields(message, properties, user, reply)
    elif len(properties) <= KNOWN_SIZE and len(KNOWN) < _KNOWN_COUNT:
        KNOWN[properties] = (256 if mode == 2 else 0) + message.priority


def _sort_headers(message: Message, properties: bytes, at: i64) -> None:
    """Sort the headers at `at` in the properties of the message."""
    frames = message.frames
    if frames is not None:
        moved = sort_headers(frames, PROPERTIES_AT + at)
        if moved is not None:
            message.frames = moved
            return
    message.replace_properties(sort_headers(properties, at) or merge_headers(properties, at))


def _name(reply: bytes | None) -> bytes:
    """Return the name, as on the wire, that replies are published to. Raises AmqpError 406 for None."""
    if reply is None:
        raise errors.precondition_failed("fast reply consumer does not exist")
    return reply


def _may_be(walk: PropertyWalk, properties: bytes, user: User | None) -> bool:
    """Return whether the properties have no user id or the user's own name as user id."""
    return user is None or walk.user_end == 0 or text(properties[walk.user_at : walk.user_end]) == user.name


def _inspect_fields(message: Message, properties: bytes, user: User | None, reply: bytes | None) -> None:
    values: dict[str, Any] = decode_properties(properties)
    rewritten = False
    if values.get("reply_to") == PSEUDO_QUEUE:
        values["reply_to"] = _name(reply)[1:]
        rewritten = True
    if "expiration" in values:
        message.expiration_ms = expiration_ms(values["expiration"])
        shown = str(message.expiration_ms).encode()
        if values["expiration"] != shown:
            values["expiration"] = shown
            rewritten = True
    headers: Table | None = values.get("headers")
    if headers is not None:
        message.extra_keys, message.cc_keys = extra_routing_keys(headers)
        if "BCC" in headers:
            headers = without_bcc(headers)
            values["headers"] = headers
            rewritten = True
        message.headers = headers
    if user is not None and "user_id" in values:
        check_user_id(text(values["user_id"]), user.name, user.tags)
    kept = normalised(encode_properties(values) if rewritten else properties)
    if kept is not properties:
        message.replace_properties(kept)
