import pytest

from amqpbroker.management.failure import ApiError
from amqpbroker.management.formats.messages import got, published
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field


def message(body=b"", routing_key=b"k", **properties):
    return Message(encode_address("x", routing_key), encode_properties(properties), body)


def body(**changes):
    return {"properties": {}, "routing_key": "k", "payload": "p", "payload_encoding": "string", **changes}


def test_message_published_over_http_is_shown_with_the_same_values():
    properties = {"type": "t", "headers": {"n": 1, "f": 0.5, "l": ["a", True]}, "timestamp": 5, "priority": 1}
    shown = got(published("x", body(properties=properties, payload="é")), True, 7, "auto", None)
    assert shown == {
        "payload_bytes": 2,
        "redelivered": True,
        "exchange": "x",
        "routing_key": "k",
        "message_count": 7,
        "properties": properties,
        "payload": "é",
        "payload_encoding": "string",
    }


@pytest.mark.parametrize(
    ("data", "encoding", "truncate", "payload", "payload_encoding"),
    [
        (b"ab", "auto", None, "ab", "string"),
        (b"ab", "base64", None, "YWI=", "base64"),
        (b"\xff", "auto", None, "/w==", "base64"),
        (b"a\xff", "auto", 1, "a", "string"),
        (b"ab", "auto", 0, "", "string"),
        (b"ab", "base64", 1, "YQ==", "base64"),
    ],
)
def test_payload_is_shown_with_encoding_and_truncation(data, encoding, truncate, payload, payload_encoding):
    shown = got(message(data), False, 0, encoding, truncate)
    assert (shown["payload"], shown["payload_encoding"]) == (payload, payload_encoding)
    assert shown["payload_bytes"] == len(data)


def test_values_that_are_not_utf_8_are_shown_in_base64():
    headers = {"x": Field("S", b"\xff"), "\udcff": Field("V", None)}
    shown = got(message(routing_key=b"\xff", headers=headers, app_id=b"\xfe"), False, 0, "auto", None)
    assert shown["routing_key"] == "Not UTF-8, base64 is: /w=="
    assert shown["properties"] == {
        "headers": {"x": "Not UTF-8, base64 is: /w==", "Not UTF-8, base64 is: /w==": "undefined"},
        "app_id": "Not UTF-8, base64 is: /g==",
    }


def test_message_without_properties_shows_an_empty_list():
    assert got(message(), False, 0, "auto", None)["properties"] == []
    assert published("x", body(properties=[])).properties == b"\0\0"


@pytest.mark.parametrize(
    "changes",
    [
        {"routing_key": 5},
        {"routing_key": "x" * 256},
        {"properties": "x"},
        {"properties": {"headers": "x"}},
        {"properties": {"headers": {"n": 2**70}}},
        {"properties": {"priority": True}},
        {"properties": {"type": "x" * 256}},
    ],
)
def test_invalid_message_is_refused_with_400(changes):
    with pytest.raises(ApiError) as refused:
        published("x", body(**changes))
    assert refused.value.status == 400
