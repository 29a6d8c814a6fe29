"""Checks of a published message's properties, as RabbitMQ does them (rabbit_channel, basic.publish)."""

import re
from collections.abc import Collection
from typing import Final

from amqpbroker import errors
from amqpbroker.store.record import fits
from amqpbroker.wire.erlang import erlang_characters, erlang_string
from amqpbroker.wire.values import TYPE_NAMES, Table

#: Longest time to live: ten years of 365 days (MAX_EXPIRY_TIMER in RabbitMQ's rabbit.hrl).
MAX_EXPIRY_MS: Final = 315_360_000_000

_INTEGER = re.compile(rb"[+-]?[0-9]+")


def expiration_ms(raw: bytes) -> int:
    """Parse an expiration property to a message TTL. Raises AmqpError 406 (rabbit_basic:parse_expiration/1)."""
    match = _INTEGER.match(raw)
    if match is None:
        raise errors.invalid_expiration(erlang_characters(raw), "no_integer")
    left = raw[match.end() :]
    value = int(match[0])
    problem = f"{{leftover_string,{erlang_string(left.decode('latin-1'))}}}" if left else expiry_problem(value)
    if problem is not None:
        raise errors.invalid_expiration(erlang_characters(raw), problem)
    return value


def expiry_problem(value_ms: int) -> str | None:
    """Return RabbitMQ's text for an invalid time to live, or None if it is valid (rabbit_misc:check_expiry/1)."""
    if value_ms < 0:
        return f"{{value_negative,{value_ms}}}"
    if value_ms > MAX_EXPIRY_MS:
        return f"{{value_too_large,{value_ms}}}"
    return None


def extra_routing_keys(headers: Table) -> tuple[tuple[bytes, ...], int]:
    """Return the further routing keys of the CC and BCC headers, and the number of those from CC, which come first.

    Elements of the arrays that are not longstrs are ignored. Raises AmqpError 406 if a header is not an array
    (rabbit_basic:header_routes/1), or if there are more keys than can be stored.
    """
    cc_keys = _keys(headers, "CC")
    keys = cc_keys + _keys(headers, "BCC")
    if keys and not fits(keys):
        raise errors.too_many_routing_keys()
    return keys, len(cc_keys)


def _keys(headers: Table, name: str) -> tuple[bytes, ...]:
    field = headers.get(name)
    if field is None:
        return ()
    if field.kind != "A":
        raise errors.invalid_message_header(name, TYPE_NAMES[field.kind])
    return tuple([item.value for item in field.value if item.kind == "S"])


def without_bcc(headers: Table) -> Table:
    """Return the headers as they are stored and delivered, without BCC, which consumers must not see."""
    return {name: field for name, field in headers.items() if name != "BCC"}


def check_user_id(user_id: str, user: str, tags: Collection[str]) -> None:
    """Check the user_id of a message.

    Raises AmqpError 406 unless it is the publishing user, or the user may impersonate.

    user_id: bytes that are not UTF-8 are surrogate escapes (rabbit_access_control:check_user_id/2).
    """
    if user_id != user and "impersonator" not in tags:
        raise errors.user_id_mismatch(erlang_characters(user_id.encode("utf-8", "surrogateescape")), user)
