import pytest

from amqpbroker.cli.perf.options import parsed, properties_of, table_of
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import Field


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("x-queue-type=quorum", {"x-queue-type": "quorum"}),
        ("x-max-length=10, x-b=true,x-f=0.5", {"x-max-length": 10, "x-b": True, "x-f": 0.5}),
        ('{"x-max-length": 10, "a": "b,c=d"}', {"x-max-length": 10, "a": "b,c=d"}),
    ],
)
def test_perf_arguments_are_parsed_from_pairs_or_json(text, values):
    assert parsed(text) == values


@pytest.mark.parametrize(("text", "said"), [("a", "KEY=VALUE"), ("=1", "KEY=VALUE"), ("{a", "not valid JSON")])
def test_invalid_pairs_are_refused(text, said):
    with pytest.raises(ValueError, match=said):
        parsed(text)


def test_python_values_become_typed_table_fields():
    values = {"i": 1, "l": 1 << 40, "b": True, "d": 0.5, "s": "é", "a": [1], "t": {"n": None}}
    assert table_of(values) == {
        "i": Field("I", 1),
        "l": Field("l", 1 << 40),
        "b": Field("t", True),
        "d": Field("d", 0.5),
        "s": Field("S", "é".encode()),
        "a": Field("A", [Field("I", 1)]),
        "t": Field("F", {"n": Field("V", None)}),
    }
    with pytest.raises(ValueError, match="x is too large"):
        table_of({"x": 1 << 63})


def test_unknown_message_properties_become_headers():
    values = properties_of(
        {"content-type": "text/plain", "priority": 3, "expiration": 1000, "x-mine": 1, "headers": {"h": 2}}
    )
    assert values == {
        "content_type": b"text/plain",
        "priority": 3,
        "expiration": b"1000",
        "headers": {"h": Field("I", 2), "x-mine": Field("I", 1)},
    }
    assert decode_properties(encode_properties(values)) == values


@pytest.mark.parametrize(
    "given",
    [{"priority": 256}, {"priority": "high"}, {"timestamp": -1}, {"timestamp": "1969-12-31"}, {"app_id": "x" * 256}],
)
def test_invalid_properties_are_refused(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        properties_of(given)


def test_java_names_of_message_properties_are_accepted():
    assert properties_of({"contentType": "text/plain", "deliveryMode": 2, "X-Mine": "a"}) == {
        "content_type": b"text/plain",
        "delivery_mode": 2,
        "headers": {"X-Mine": Field("S", b"a")},
    }


@pytest.mark.parametrize("name", ["type", "Type", "message-type", "messageType"])
def test_message_type_is_a_property_under_each_of_its_names(name):
    values = properties_of({name: "order.created"})
    assert values == {"message_type": b"order.created"}
    assert decode_properties(encode_properties(values)) == values


def test_timestamp_is_parsed_from_seconds_or_iso_8601():
    assert properties_of({"timestamp": 1196500530}) == properties_of({"timestamp": "2007-12-01T10:15:30+01:00"})
    with pytest.raises(ValueError, match="timestamp must be seconds since 1970, or of the form 2007-"):
        properties_of({"timestamp": "yesterday"})


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999"])
def test_infinite_numbers_are_parsed_as_text(text):
    assert parsed(f"key={text}") == {"key": text}
