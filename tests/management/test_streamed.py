import json

import pytest

from amqpbroker.management.streamed import encoded


@pytest.mark.parametrize(
    "value",
    [{"a": [1, "b", None, 0.5, True]}, 10**20, -(10**20), {"a": [2**64]}, "\ud800", {"\udfff": "\u00e4"}, 10**400],
)
def test_every_json_value_is_encoded(value):
    assert json.loads(encoded(value)) == value


def test_encoded_json_is_compact_also_with_large_integers():
    assert encoded({"a": [1, 2]}) == b'{"a":[1,2]}'
    assert encoded({"a": [1, 2**64]}) == b'{"a":[1,18446744073709551616]}'


@pytest.mark.parametrize("value", [object(), {"a": {1, 2}}, [float("nan"), 2**64]])
def test_encoding_a_value_that_json_lacks_is_an_error(value):
    with pytest.raises((TypeError, ValueError)):
        encoded(value)
