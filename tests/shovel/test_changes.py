from amqpbroker.broker.shovels.definition import read
from amqpbroker.shovel.changes import Changes, way
from amqpbroker.wire.properties import decode_properties, encode_properties
from amqpbroker.wire.values import Field, longstr

RAW = encode_properties({"headers": {"b": Field("B", 1), "z": Field("l", 2)}, "priority": 3, "app_id": b"x"})


def test_no_changes_leave_every_byte():
    assert Changes({}, None, None).made(RAW) == RAW


def test_shovel_sets_the_configured_properties():
    made = decode_properties(Changes({"app_id": "me", "delivery_mode": 2}, None, None).made(RAW))
    assert made == {**decode_properties(RAW), "app_id": b"me", "delivery_mode": 2}


def test_new_entry_of_x_shovelled_is_first():
    first, second = {"shovel-name": longstr("1")}, {"shovel-name": longstr("2")}
    made = Changes({}, second, None).made(Changes({}, first, None).made(RAW))
    headers = decode_properties(made)["headers"]
    assert headers["x-shovelled"] == Field("A", [Field("F", second), Field("F", first)])
    assert headers["b"] == Field("B", 1)


def test_x_shovelled_that_is_not_a_list_is_moved():
    raw = encode_properties({"headers": {"x-shovelled": longstr("what")}})
    headers = decode_properties(Changes({}, {}, None).made(raw))["headers"]
    assert headers["x-shovelled"] == Field("A", [Field("F", {})])
    assert headers["x-invalid-headers"].value["x-shovelled"] == Field("A", [longstr("what")])


def test_x_shovelled_timestamp_is_in_seconds():
    made = Changes({}, None, lambda: 1_700_000_000_999).made(b"\0\0")
    assert decode_properties(made) == {"headers": {"x-shovelled-timestamp": Field("l", 1_700_000_000)}}


def told(**value):
    definition = read("s", {"src-uri": "amqp://", "dest-uri": "amqp://far", **value}, False)
    entry = way("me@here", "v", "s", definition.source, definition.destination, "amqp://", "amqp://far")
    return {key: field.value.decode() for key, field in entry.items()}


def test_x_shovelled_has_the_shovel_and_both_addresses():
    common = {
        "shovelled-by": "me@here",
        "shovel-type": "dynamic",
        "shovel-name": "s",
        "shovel-vhost": "v",
        "src-uri": "amqp://",
        "dest-uri": "amqp://far",
    }
    by_queue = told(**{"src-queue": "a", "dest-queue": "b"})
    assert list(by_queue.items()) == [*common.items(), ("src-queue", "a"), ("dest-queue", "b")]
    assert told(**{"src-exchange": "x", "dest-exchange": "y", "dest-exchange-key": "k"}) == {
        **common,
        "src-exchange": "x",
        "src-exchange-key": "",
        "dest-exchange": "y",
        "dest-exchange-key": "k",
    }
