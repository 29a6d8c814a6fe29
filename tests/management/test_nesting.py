import pytest

from amqpbroker.management.nesting import too_deep


@pytest.mark.parametrize(
    ("text", "decoded", "levels"),
    [
        (b"1", 1, 0),
        (b'"[[["', "[[[", 0),
        (b"[]", [], 1),
        (b"[[],[],[]]", [[], [], []], 2),
        (b'{"a":[{}]}', {"a": [{}]}, 3),
        (b'[{"a":[]},1]', [{"a": []}, 1], 3),
    ],
)
def test_nesting_levels_of_json_are_counted(text, decoded, levels):
    assert not too_deep(text, decoded, levels)
    if levels:
        assert too_deep(text, decoded, levels - 1)
