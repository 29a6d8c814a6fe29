"""Inspection of a published message's properties: values that the broker uses, and values that it rewrites."""

from typing import Any, Final

from mypy_extensions import i64

from amqpbroker import errors
from amqpbroker.broker.publishing.publish_checks import (
    MAX_EXPIRY_MS,
    check_user_id,
    expiration_ms,
    extra_routing_keys,
    without_bcc,
)
from amqpbroker.broker.users.users import User
from amqpbroker.message.message import Message
from amqpbroker.store.record import fits
from amqpbroker.wire.frames import PROPERTIES_AT
from amqpbroker.wire.headers import normalised
from amqpbroker.wire.properties import SLOW, decode_properties, encode_properties, flags_of, scan
from amqpbroker.wire.property_edit import merge_headers, sort_headers, without_header
from amqpbroker.wire.property_walk import JOB_MARK, MARK, PSEUDO_QUEUE, PSEUDO_QUEUE_BYTES, PropertyWalk
from amqpbroker.wire.raw_headers import longstrs
from amqpbroker.wire.values import Table, text

#: Properties that contain only delivery mode and priority -> 256 if persistent, plus the priority.
KNOWN: dict[bytes, int] = {}
KNOWN_SIZE: Final = 4
_KNOWN_COUNT: Final = 4096

#: Length of the names of these headers.
_CC_BYTES: Final = 2
_BCC_BYTES: Final = 3

#: A shared instance, because the inspection of one publish ends before the next one begins.
_WALK: Final = PropertyWalk()


def inspect(message: Message, properties: bytes, user: User | None, reply: bytes | None) -> bool:
    """Set the attributes of a message that follow from its properties; return whether it may have to be followed.

    `user` publishes the message, on a channel whose direct replies are sent to `reply`. Without a user, the property
    user-id may have any value. Raises AmqpError, or MalformedError for malformed properties. The checks are in
    RabbitMQ's order (rabbit_channel:handle_method of basic.publish).
    """
    walk = _WALK
    if len(properties) > KNOWN_SIZE and walk.walk(properties) and _is_allowed(walk, properties, user):
        message.persistent = walk.mode == 2
        message.priority = walk.priority
        message.expiration_ms = walk.expiration_ms
        message.undecoded = walk.has_headers
        if walk.cc_at or walk.bcc_at:
            # Checked before the keys, as in RabbitMQ.
            if walk.reply_at:
                _name(reply)
            _set_extra_keys(message, walk, properties)
        if walk.reply_at or walk.expiration_at or walk.bcc_at:
            properties = _rewritten(walk, properties, reply)
            message.replace_properties(properties)
        if walk.unsorted_at:
            _sort_headers(message, properties, walk.unsorted_at)
        return walk.is_marked
    flags = flags_of(properties)
    mode, message.priority = scan(properties, flags)
    message.persistent = mode == 2
    if flags & SLOW:
        _inspect_fields(message, properties, user, reply)
        return MARK in properties or JOB_MARK in properties
    if len(properties) <= KNOWN_SIZE and len(KNOWN) < _KNOWN_COUNT:
        KNOWN[properties] = (256 if mode == 2 else 0) + message.priority
    return False


def _name(reply: bytes | None) -> bytes:
    """Return the name, as on the wire, that replies are published to.

    Raises AmqpError 406 if there is no reply consumer.
    """
    if reply is None:
        raise errors.precondition_failed("fast reply consumer does not exist")
    return reply


def _is_allowed(walk: PropertyWalk, properties: bytes, user: User | None) -> bool:
    """Return whether the expiration and the user id are valid."""
    if walk.expiration_ms > MAX_EXPIRY_MS:
        return False
    if user is None or walk.user_end == 0:
        return True
    user_id = properties[walk.user_at : walk.user_end].decode("utf-8", "surrogateescape")
    return user_id == user.name or "impersonator" in user.tags


def _set_extra_keys(message: Message, walk: PropertyWalk, properties: bytes) -> None:
    """Set the further routing keys of the message. Raises AmqpError 406 for more keys than can be stored."""
    keys: tuple[bytes, ...] = ()
    if walk.cc_at:
        keys = longstrs(properties, walk.cc_at + 1 + _CC_BYTES)
    cc_keys = len(keys)
    if walk.bcc_at:
        keys += longstrs(properties, walk.bcc_at + 1 + _BCC_BYTES)
    if keys and not fits(keys):
        raise errors.too_many_routing_keys()
    message.set_extra_keys(keys, cc_keys)


def _rewritten(walk: PropertyWalk, properties: bytes, reply: bytes | None) -> bytes:
    """Return the properties as RabbitMQ delivers them, except for the order of headers.

    The last property is changed first, so that the positions of the others do not change. Raises AmqpError 406 if there
    is no consumer of direct replies.
    """
    if walk.expiration_at:
        end = walk.expiration_at + 1 + properties[walk.expiration_at]
        shown = str(walk.expiration_ms).encode()
        properties = properties[: walk.expiration_at] + bytes((len(shown),)) + shown + properties[end:]
    if walk.reply_at:
        end = walk.reply_at + 1 + PSEUDO_QUEUE_BYTES
        properties = properties[: walk.reply_at] + _name(reply) + properties[end:]
    if walk.bcc_at:
        properties = without_header(properties, walk.headers_at, walk.bcc_at)
    return properties


def _sort_headers(message: Message, properties: bytes, at: i64) -> None:
    """Sort the headers at `at` in the properties of the message."""
    frames = message.frames
    if frames is not None:
        moved = sort_headers(frames, PROPERTIES_AT + at)
        if moved is not None:
            message.frames = moved
            return
    message.replace_properties(sort_headers(properties, at) or merge_headers(properties, at))


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
        message.set_extra_keys(*extra_routing_keys(headers))
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
