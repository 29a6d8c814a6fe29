import random
import re
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.broker.exchanges.topic import TopicType
from tests.broker.routed import Box, bind, routed


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        # Seen on RabbitMQ 4.0.5: the empty key has no words, but between dots there are empty ones.
        (b"", [b""], [b"a", b"."]),
        (b"#", [b"", b".", b"a", b"a.b", b"..."], []),
        (b"*", [b"a"], [b"", b".", b"a.b"]),
        (b"*.*", [b".", b"a.", b".a", b"a.b"], [b"a", b"a.b.c", b""]),
        (b"a.b", [b"a.b"], [b"a", b"a.b.", b"A.b", b"a..b"]),
        (b"a..b", [b"a..b"], [b"a.b"]),
        (b"*.orange.*", [b"quick.orange.rabbit"], [b"orange", b"quick.orange.male.rabbit"]),
        (b"lazy.#", [b"lazy", b"lazy.", b"lazy.brown.fox"], [b"lazyy", b"quick.lazy"]),
        (b"#.b", [b"b", b"a.b", b"a.a.b", b"b.b", b".b"], [b"a", b"b.a", b""]),
        (b"a.#.b", [b"a.b", b"a.x.b", b"a.b.b", b"a..b"], [b"a", b"b", b"a.b.c"]),
        (b"#.#", [b"", b"a", b"a.b"], []),
        (b"#.*.#", [b"a", b"a.b", b"."], [b""]),
        (b"*.#", [b"a", b"a.b", b"."], [b""]),
        (b"#.a.#.a.#", [b"a.a", b"a.x.a", b"x.a.x.a.x"], [b"a", b"x.a"]),
        (b"a*.b", [b"a*.b"], [b"ax.b"]),
        (b"*", [b"*", b"#"], []),
        (b"#.x", [b"#.x", b"*.x", b"x"], [b"#"]),
    ],
)
def test_topic_pattern_matches_the_same_keys_as_in_rabbitmq(
    pattern: bytes, matching: list[bytes], other: list[bytes]
) -> None:
    topic = TopicType()
    bind(topic, Box("q"), pattern)
    for key in matching:
        assert set(routed(topic, key)) == {"q"}, key
    for key in other:
        assert routed(topic, key) == [], key


words = st.sampled_from(["a", "b", "", "*", "#"])
keys = st.lists(words, max_size=5).map(".".join)


@cache
def _expression(pattern: str) -> "re.Pattern[str]":
    """Return the pattern as a regular expression over a key in which every word, dot included, reads `.word`."""
    parts = {"*": r"\.[^.]*", "#": r"(\.[^.]*)*"}
    return (
        re.compile("".join(parts.get(word, r"\." + re.escape(word)) for word in pattern.split(".")))
        if pattern
        else re.compile("")
    )


@pytest.mark.explore
@given(patterns=st.lists(keys, max_size=8), key=keys, gone=st.integers(0, 8))
def test_topic_matching_agrees_with_regular_expressions(patterns: list[str], key: str, gone: int) -> None:
    topic = TopicType()
    bindings = [bind(topic, Box(pattern), pattern.encode()) for pattern in patterns]
    for binding in bindings[:gone]:
        topic.unbind(binding)
    dotted = f".{key}" if key else ""
    expected = {pattern for pattern in patterns[gone:] if _expression(pattern).fullmatch(dotted)}
    assert set(routed(topic, key.encode())) == expected


def test_target_stays_until_its_last_binding_with_the_pattern_is_removed() -> None:
    topic, box = TopicType(), Box("q")
    first, second = bind(topic, box, b"a.*"), bind(topic, box, b"a.*")
    topic.unbind(first)
    assert routed(topic, b"a.b") == ["q"]
    topic.unbind(second)
    assert routed(topic, b"a.b") == []


def test_topic_routing_of_earlier_keys_does_not_affect_later_ones() -> None:
    topic = TopicType()
    for name, pattern in (("a", b"x.*"), ("b", b"*.y"), ("c", b"#")):
        last = bind(topic, Box(name), pattern)
    for _ in range(2):
        assert set(routed(topic, b"x.y")) == {"a", "b", "c"}
        assert set(routed(topic, b"x.z")) == {"a", "c"}
        assert routed(topic, b"z") == ["c"]
    topic.unbind(last)
    assert routed(topic, b"z") == []
    assert set(routed(topic, b"x.y")) == {"a", "b"}


def test_topic_index_is_empty_after_all_bindings_are_removed() -> None:
    topic = TopicType()
    kept = bind(topic, Box("kept"), b"a.b")
    for pattern in (b"a", b"a.b.c.d", b"a.b.*.#", b"#", b"", b"x.y"):
        topic.unbind(bind(topic, Box("q"), pattern))
    assert routed(topic, b"a.b.c.d") == []
    assert routed(topic, b"a.b") == ["kept"]
    topic.unbind(kept)
    root = topic._bindings._root
    assert not root.follows()
    assert root.targets is None


@pytest.mark.parametrize("key", [b"*", b"#", b"a"])
def test_cost_of_wildcards_is_bounded_by_patterns_times_words(key: bytes) -> None:
    """Count steps, not seconds: without bounds these would be 2^100 and more."""
    topic = TopicType()
    bind(topic, Box("ones"), b".".join([b"*"] * 100))
    bind(topic, Box("many"), b".".join([b"#"] * 100 + [b"z"]))
    assert routed(topic, b".".join([key] * 100)) == ["ones"]
    assert routed(topic, b".".join([key] * 100 + [b"z"])) == ["many"]


@pytest.mark.explore
def test_topic_lookup_finds_the_matching_ones_among_many_bindings() -> None:
    """Check that a look-up among 100,000 bindings visits only those that match."""
    topic = TopicType()
    chance = random.Random(1)
    shared = Box("q")
    bindings = [bind(topic, shared, b"device.%d.%d.*" % (number % 1000, number)) for number in range(100_000)]
    bind(topic, Box("all"), b"device.#")
    for _ in range(2000):
        number = chance.randrange(100_000)
        assert routed(topic, b"device.%d.%d.on" % (number % 1000, number)) == ["all", "q"]
    for binding in bindings:
        topic.unbind(binding)
    assert routed(topic, b"device.7.7.on") == ["all"]
