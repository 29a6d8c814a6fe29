from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from amqpbroker.wire import property_flags
from amqpbroker.wire.properties import PROPERTIES, SLOW, decode_properties, encode_properties, flags_of, scan
from amqpbroker.wire.values import MalformedError, longstr
from tests.fuzz.effort import effort
from tests.wire.fields import properties


@given(values=properties)
@effort(150)
def test_encoded_properties_are_decoded_again(values: dict[str, Any]) -> None:
    raw = encode_properties(values)
    assert decode_properties(raw) == values
    assert flags_of(raw) == sum(flag for name, flag, _ in PROPERTIES if name in values)


@given(values=properties)
@effort(100)
def test_scan_and_decoder_read_the_same_delivery_mode_and_priority(values: dict[str, Any]) -> None:
    raw = encode_properties(values)
    assert scan(raw, flags_of(raw)) == (values.get("delivery_mode", 0), values.get("priority", 0))


@given(raw=st.binary(max_size=40))
@effort(200)
def test_any_bytes_are_malformed_or_accepted_by_decoder_and_scan(raw: bytes) -> None:
    try:
        values = decode_properties(raw)
    except MalformedError:
        values = None
    try:
        scanned = scan(raw, flags_of(raw))
    except MalformedError:
        scanned = None
    if values is not None:
        assert scanned == (values.get("delivery_mode", 0), values.get("priority", 0))


@given(values=properties, data=st.data())
@effort(100)
def test_truncated_or_extended_properties_are_malformed(values: dict[str, Any], data: st.DataObject) -> None:
    raw = encode_properties({**values, "app_id": b"app"})
    for wrong in (raw[: data.draw(st.integers(0, len(raw) - 1))], raw + b"x"):
        with pytest.raises(MalformedError):
            decode_properties(wrong)
        with pytest.raises(MalformedError):
            scan(wrong, flags_of(wrong))


@pytest.mark.parametrize("raw", [b"", b"\0", b"\0\1", b"\0\2", b"\0\3\0\0"])
def test_property_flags_unknown_to_the_basic_class_are_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        flags_of(raw)


def test_encoded_properties_have_the_same_bytes_as_in_pamqp() -> None:
    theirs = Basic.Properties(
        content_type="text/plain",
        content_encoding="gzip",
        headers={"a": "b"},
        delivery_mode=2,
        priority=3,
        correlation_id="c",
        reply_to="r",
        expiration="9",
        message_id="m",
        message_type="t",
        user_id="u",
        app_id="app",
    ).marshal()
    ours = {
        "content_type": b"text/plain",
        "content_encoding": b"gzip",
        "headers": {"a": longstr("b")},
        "delivery_mode": 2,
        "priority": 3,
        "correlation_id": b"c",
        "reply_to": b"r",
        "expiration": b"9",
        "message_id": b"m",
        "message_type": b"t",
        "user_id": b"u",
        "app_id": b"app",
    }
    assert encode_properties(ours) == theirs


@pytest.mark.parametrize("name", [name for name, _, _ in PROPERTIES])
def test_only_properties_that_publish_must_decode_are_flagged_slow(name: str) -> None:
    kind = next(kind for known, _, kind in PROPERTIES if known == name)
    value: Any = {"shortstr": b"1", "table": {}}.get(kind, 1)
    slow = flags_of(encode_properties({name: value})) & SLOW != 0
    assert slow == (name in ("headers", "reply_to", "expiration", "user_id"))


def test_property_flags_are_those_of_pamqp():
    names = {"message_type": "TYPE"}
    assert {name: getattr(property_flags, names.get(name, name.upper())) for name, _, _ in PROPERTIES} == {
        name: flag for name, flag, _ in PROPERTIES
    }
    assert sum(flag for _, flag, _ in PROPERTIES) + property_flags.UNDEFINED == 0xFFFF


def test_encoding_an_unknown_message_property_is_refused():
    with pytest.raises(ValueError, match="unknown message properties: colour, size"):
        encode_properties({"message_type": b"t", "size": 1, "colour": b"red"})
