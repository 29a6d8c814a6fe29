import pytest

from amqpbroker.management.failure import ApiError
from amqpbroker.management.formats.tables import plain, typed
from amqpbroker.wire.values import MAX_DEPTH, decode_table, encode_table


def nested(levels, inside):
    for _ in range(levels):
        inside = [inside] if isinstance(inside, dict) else {"a": inside}
    return inside


@pytest.mark.parametrize("inside", [1, {"b": 1}, {}, []])
def test_tables_nested_deeper_than_can_be_decoded_are_refused(inside):
    levels = MAX_DEPTH - isinstance(inside, dict | list)
    values = {"x": nested(levels, inside)}
    encoded = encode_table(typed(values))
    assert plain(decode_table(encoded, 4, len(encoded))) == values
    with pytest.raises(ApiError, match="there may be 64 levels below the first"):
        typed({"x": nested(levels + 1, inside)})


def test_argument_names_above_255_bytes_are_refused():
    assert encode_table(typed({"n" * 255: 1}))
    with pytest.raises(ApiError, match="the name of an argument should be less than 255 bytes, actually was 300"):
        typed({"x": {"n" * 300: 1}})
