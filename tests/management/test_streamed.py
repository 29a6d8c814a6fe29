import json

import pytest

from amqpbroker.management.streamed import encoded


@pytest.mark.parametrize(
    "value",
    [{"a": [1, "b", None, 0.5, True]}, 10**20, -(10**20), {"a": [2**64]}, "\ud800", {"\udfff": "\u00e4"}, 10**400],
)
def test_whatever_json_can_say_is_written(value):
    assert json.loads(encoded(value)) == value


def test_it_is_short_either_way():
    assert encoded({"a": [1, 2]}) == b'{"a":[1,2]}'
    assert encoded({"a": [1, 2**64]}) == b'{"a":[1,18446744073709551616]}'


@pytest.mark.parametrize("value", [object(), {"a": {1, 2}}, [float("nan"), 2**64]])
def test_what_json_cannot_say_is_an_error(value):
    with pytest.raises((TypeError, ValueError)):
        encoded(value)
