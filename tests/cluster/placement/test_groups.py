"""Moves between the brokers that should lead a group of vhosts."""

from collections import Counter

import pytest

from amqpbroker.cluster.placement.groups import Group, Led, levels
from amqpbroker.cluster.placement.order import Broker, Order


def group(counts, may_move=True):
    """Return a group. counts: the number of vhosts of its candidates, and of another broker, `x`."""
    order = Order([Broker(name, pattern=None if name == "x" else "") for name in (*counts, "x")], lambda *_: True)
    made = Group(order.candidates("v"), order)
    for leader, count in counts.items():
        for number in range(count):
            made.add(Led(f"{leader}{number}", leader, may_move))
    return made


@pytest.mark.parametrize(
    ("bases", "number", "expected"),
    [
        ([0, 0, 0], 9, (3, 3)),
        ([0, 0, 0], 10, (3, 4)),
        ([0, 0, 0], 0, (0, 0)),
        ([0, 0, 100], 10, (5, 5)),
        ([0, 4, 5], 3, (3, 3)),
        ([0, 4, 5], 4, (4, 4)),
        ([0, 4, 5], 6, (5, 5)),
        ([2, 2, 8], 3, (3, 4)),
        ([7], 2, (9, 9)),
    ],
)
def test_levels_share_further_vhosts_evenly(bases, number, expected):
    assert levels(bases, number) == expected


def test_vhosts_of_earlier_groups_count():
    counts = {"a": 4, "b": 0, "x": 0}
    assert Counter(group({"a": 2, "b": 2}).moves(counts).values()) == {"b": 2}
    assert counts == {"a": 4, "b": 4, "x": 0}


def test_vhosts_of_other_brokers_come_to_candidates():
    found = group({"a": 2, "b": 0, "x": 2}).moves({"a": 0, "b": 0, "x": 0})
    assert Counter(found.values()) == {"b": 2}
    assert found.keys() == {"x0", "x1"}


def test_broker_does_not_hand_over_vhosts_because_it_receives_others():
    found = group({"a": 3, "b": 0, "c": 0, "x": 6}).moves(dict.fromkeys("abcx", 0))
    assert not {"a0", "a1", "a2"} & found.keys()
    assert Counter(found.values()) == {"b": 3, "c": 3}


def test_vhosts_that_a_broker_will_take_count_for_what_it_receives():
    made = group({"a": 4, "b": 0})
    for _ in range(4):
        made.add_coming("b")
    counts = {"a": 0, "b": 0, "x": 0}
    assert made.moves(counts) == {}
    assert counts == {"a": 4, "b": 4, "x": 0}


def test_vhosts_that_may_not_move_stay():
    assert group({"a": 4, "b": 0, "x": 2}, may_move=False).moves({"a": 0, "b": 0, "x": 0}) == {}
