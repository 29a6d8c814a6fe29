"""Keys and bindings of an application: their numbers, and a queue for each message."""

import re

import pytest

from tests.bench.application import messages
from tests.bench.routing import (
    HEADERS_QUEUES,
    QUEUES,
    TOPIC_KEYS,
    headers_bindings,
    own_key_bindings,
    own_keys,
    topic_bindings,
)


def expression(bindings):
    """Return a regular expression for keys that match a pattern, in which `#` is the last word or missing."""
    patterns = [re.escape(pattern).replace(r"\.\#", r"(\..+)?").replace(r"\*", "[^.]+") for _, pattern in bindings]
    return re.compile("|".join(patterns))


def test_the_topic_exchange_has_240_keys_and_204_bindings_of_4_queues():
    bindings = list(topic_bindings())
    assert len(set(TOPIC_KEYS)) == 240
    assert len(set(bindings)) == 204
    assert {queue for queue, _ in bindings} == set(range(QUEUES)) == set(range(4))


@pytest.mark.parametrize(
    ("keys", "bindings"), [(TOPIC_KEYS, topic_bindings()), (tuple(own_keys(2_000)), own_key_bindings())]
)
def test_every_key_matches_a_binding(keys, bindings):
    matching = expression(bindings)
    assert [key for key in keys if not matching.fullmatch(key)] == []


def test_own_routing_keys_are_all_different_and_reproducible():
    keys = list(own_keys(40_000))
    assert len(set(keys)) == 40_000
    assert min(map(len, keys)) >= 20
    assert max(map(len, keys)) == 200
    assert list(own_keys(100, seed=2)) == list(own_keys(100, seed=2)) != keys[:100]


def test_every_message_matches_one_of_1000_headers_bindings():
    bindings = list(headers_bindings())
    assert len(bindings) == 1_000
    assert {queue for queue, _ in bindings} == set(range(HEADERS_QUEUES)) == set(range(10))
    wanted = [(each["tenant"], each["attempt"]) for _, each in bindings]
    assert len(set(wanted)) == 1_000
    for properties, _ in messages(500):
        headers = properties["headers"]
        assert wanted.count((headers["tenant"], headers["attempt"])) == 1
