"""Inspection of encoded properties at a publish has the same result as decoded properties."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.broker.publishing.inspection import inspect
from amqpbroker.broker.publishing.publish_checks import (
    MAX_EXPIRY_MS,
    check_user_id,
    expiration_ms,
    extra_routing_keys,
    without_bcc,
)
from amqpbroker.broker.queues.direct_reply import DirectReply
from amqpbroker.broker.users.users import User
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message
from amqpbroker.wire.headers import normalised
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.wire.fields import fields, names

GUEST = User("guest")
IMPERSONATOR = dataclasses.replace(GUEST, tags=("impersonator",))
Found = tuple[Any, ...]


def found(properties: bytes, user: User = GUEST, reply: DirectReply | None = None) -> Found:
    """Return the attributes of a message with these properties, or the error of the publish."""
    message = Message(b"\0\1q", properties, b"body")
    try:
        inspect(message, properties, user, reply)
    except AmqpError as error:
        return (str(error),)
    expected = decode_properties(message.properties).get("headers")
    assert message.headers == expected
    extra = (message.extra_keys, message.cc_keys)
    return message.properties, message.persistent, message.priority, message.expiration_ms, *extra


def decoded(properties: bytes, user: User = GUEST) -> Found:
    """Return the same from decoded properties."""
    values = decode_properties(properties)
    keys: tuple[tuple[bytes, ...], int] = ((), 0)
    expires_ms = -1
    try:
        if "expiration" in values:
            expires_ms = expiration_ms(values["expiration"])
            values["expiration"] = b"%d" % expires_ms
        if "headers" in values:
            keys = extra_routing_keys(values["headers"])
            values["headers"] = without_bcc(values["headers"])
        if "user_id" in values:
            check_user_id(values["user_id"].decode("utf-8", "surrogateescape"), user.name, user.tags)
    except AmqpError as error:
        return (str(error),)
    kept = normalised(encode_properties(values))
    return kept, values.get("delivery_mode") == 2, values.get("priority", 0), expires_ms, *keys


CC = {"CC": Field("A", [longstr("a"), Field("I", 1), longstr("")])}
BCC = {"BCC": Field("A", [longstr("b"), longstr("c")])}


@pytest.mark.parametrize(
    "headers",
    [
        CC,
        BCC,
        {**BCC, **CC},
        {**CC, **BCC},
        {"a": Field("I", 1), **BCC, "z": longstr("")},
        {"z": Field("I", 1), **BCC, "a": longstr(""), **CC},
        {"CC": Field("A", [longstr("k" * 300)])},
        {"BCC": Field("A", [longstr(str(i)) for i in range(300)])},
        {"CC": longstr("a"), **BCC},
        {"CC": Field("A", []), "BCC": Field("A", [])},
        {"CC": Field("A", [longstr("k" * 250)] * 300)},
    ],
    ids=lambda headers: ",".join(headers),
)
@pytest.mark.parametrize("others", [{}, {"expiration": b"007", "delivery_mode": 2, "user_id": b"guest", "priority": 3}])
def test_further_routing_keys_are_used_and_bcc_is_removed(headers: dict[str, Field], others: dict[str, Any]) -> None:
    properties = encode_properties({"content_type": b"text", "headers": headers, "message_id": b"7", **others})
    assert found(properties) == decoded(properties)


@pytest.mark.parametrize("expiration", ["05000", "+5000", "0", "00", "-0", "-1", "", "5x", MAX_EXPIRY_MS])
@pytest.mark.parametrize("more", [0, 1])
def test_an_expiration_is_written_as_a_number(expiration: str | int, more: int) -> None:
    raw = str(expiration + more if isinstance(expiration, int) else expiration + "1" * more).encode()
    properties = encode_properties({"headers": {"b": longstr(""), **BCC}, "reply_to": b"r", "expiration": raw})
    assert found(properties) == decoded(properties)


@pytest.mark.parametrize("user", [GUEST, IMPERSONATOR], ids=["guest", "impersonator"])
@pytest.mark.parametrize("name", [b"guest", b"other", b"", b"\xff"])
def test_only_impersonators_may_use_another_user_id(user: User, name: bytes) -> None:
    properties = encode_properties({"headers": BCC, "user_id": name, "expiration": b"01"})
    assert found(properties, user) == decoded(properties, user)
    assert (len(found(properties, user)) > 1) == (name == b"guest" or user is IMPERSONATOR)


def test_direct_reply_without_consumer_is_refused_before_invalid_keys() -> None:
    many = {"CC": Field("A", [longstr("k" * 255)] * 300)}
    for headers in (many, {**many, **BCC}, CC):
        (error,) = found(encode_properties({"headers": headers, "reply_to": b"amq.rabbitmq.reply-to"}))
        assert "fast reply consumer does not exist" in error


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "headers": st.dictionaries(st.one_of(names, st.sampled_from(["CC", "BCC"])), fields),
            "delivery_mode": st.integers(0, 255),
            "priority": st.integers(0, 255),
            "reply_to": st.binary(max_size=9),
            "expiration": st.from_regex(rb"\A[+-]?0*[0-9]{0,13}\Z").filter(lambda value: len(value) < 256),
            "message_id": st.binary(max_size=9),
            "user_id": st.sampled_from([b"guest", b"other"]),
        },
    ),
    st.sampled_from([GUEST, IMPERSONATOR]),
)
def test_inspection_of_published_properties_equals_decoding_them(values: dict[str, Any], user: User) -> None:
    properties = encode_properties(values)
    assert found(properties, user) == decoded(properties, user)
