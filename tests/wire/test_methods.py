from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands

from amqpbroker.wire.methods import BY_NAME, CLASS_IDS, METHODS, Method, NotUtf8Error, decode, encode, shortstr
from amqpbroker.wire.values import MalformedError
from tests.fuzz.effort import effort
from tests.wire.fields import arguments

methods = st.sampled_from(sorted(METHODS.values()))
calls = methods.flatmap(lambda method: st.tuples(st.just(method), arguments(method)))


def test_known_methods_are_those_of_the_specification_and_access_request() -> None:
    assert set(METHODS) == {*commands.INDEX_MAPPING, 30 << 16 | 10, 30 << 16 | 11}
    assert {"queue.declare-ok", "basic.get-empty", "connection.update-secret", "access.request"} <= set(BY_NAME)
    assert {10, 20, 30, 40, 50, 60, 85, 90} == CLASS_IDS
    assert all(METHODS[method.ids] is method for method in BY_NAME.values())


@given(call=calls)
@effort(300)
def test_encoded_arguments_are_decoded_again(call: tuple[Method, dict[str, Any]]) -> None:
    method, values = call
    payload = encode(method.name, **values)
    assert payload[:4] == method.class_id.to_bytes(2, "big") + method.method_id.to_bytes(2, "big")
    assert decode(method, payload) == values


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_missing_method_arguments_are_encoded_as_empty_values(name: str) -> None:
    method = BY_NAME[name]
    empty: dict[str, Any] = {"shortstr": "", "longstr": b"", "table": {}, "bit": False}
    assert decode(method, encode(name)) == {field: empty.get(kind, 0) for field, kind in method.fields}


@given(call=calls, data=st.data())
@effort(150)
def test_a_truncated_or_extended_method_is_malformed(call: tuple[Method, dict[str, Any]], data: st.DataObject) -> None:
    method, values = call
    payload = encode(method.name, **values)
    with pytest.raises(MalformedError):
        decode(method, payload + b"x")
    if len(payload) > 4:
        with pytest.raises(MalformedError):
            decode(method, payload[: data.draw(st.integers(4, len(payload) - 1))])


@given(method=methods, raw=st.binary(max_size=40))
@effort(300)
def test_any_bytes_decode_as_method_arguments_or_are_malformed(method: Method, raw: bytes) -> None:
    try:
        values = decode(method, b"\0\0\0\0" + raw)
    except MalformedError:
        return
    assert decode(method, encode(method.name, **values)) == values


def test_consecutive_bit_arguments_share_bytes() -> None:
    declare = encode("queue.declare", queue="q", passive=True, nowait=True)
    assert declare == bytes.fromhex("0032000a 0000 0171 11 00000000")
    nack = encode("basic.nack", delivery_tag=1, requeue=True)
    assert nack == bytes.fromhex("003c0078 0000000000000001 02")
    assert encode("access.request", realm="/data", read=True)[-1] == 0b10000


def test_shortstr_that_is_not_utf_8_raises_not_utf8_error() -> None:
    with pytest.raises(NotUtf8Error):
        decode(BY_NAME["queue.declare"], encode("queue.declare", queue=b"\xff"))


def test_a_client_accepts_a_routing_key_of_any_bytes() -> None:
    """A broker accepts them in a publish; recorded as trace/bytes_that_are_no_text."""
    got = encode("basic.get-ok", routing_key=b"k\xff", message_count=1)
    assert decode(BY_NAME["basic.get-ok"], got, any_bytes=True)["routing_key"] == "k\udcff"


def test_unknown_method_argument_raises_type_error() -> None:
    with pytest.raises(TypeError, match="queu"):
        encode("queue.declare", queu="q")


def test_a_long_shortstr_is_cut_on_a_character() -> None:
    assert shortstr("x" * 300) == b"\xff" + b"x" * 255
    assert shortstr("x" + "é" * 200) == b"\xff" + ("x" + "é" * 127).encode()
    assert shortstr("é" * 200) == b"\xfe" + ("é" * 127).encode()
    assert shortstr(b"raw") == b"\x03raw"
