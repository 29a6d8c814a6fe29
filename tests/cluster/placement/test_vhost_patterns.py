"""Patterns of the vhosts that brokers prefer."""

import pytest

from amqpbroker.cluster.placement.vhost_patterns import VhostPatterns, check_pattern
from amqpbroker.store.log import StoreError


@pytest.mark.parametrize(
    ("pattern", "vhost", "matches"),
    [
        ("^orders", "orders-eu", True),
        ("^orders", "my-orders", False),
        ("eu$", "orders-eu", True),
        ("^(a|b)$", "b", True),
        ("(", "(", False),
    ],
)
def test_patterns_are_found_in_the_names_of_vhosts(pattern, vhost, matches):
    patterns = VhostPatterns()
    assert [patterns.match(pattern, vhost) for _ in range(2)] == [matches] * 2


def test_an_invalid_pattern_is_refused_with_its_place():
    check_pattern("")
    with pytest.raises(StoreError, match=r"^store\.vhosts = a\(: .* at character \d+; write a regular expression"):
        check_pattern("a(")
