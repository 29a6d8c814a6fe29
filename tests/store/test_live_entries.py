import random

import pytest

from amqpbroker.store.live_entries import LiveEntries, LiveEntriesBySegment
from amqpbroker.store.record import OFFSET_BITS


@pytest.mark.parametrize("order", ["as they came", "backwards", "any"])
def test_live_entries_and_their_bytes_are_counted(order):
    chance = random.Random(1)
    entries = {20 * number + chance.randint(0, 9): chance.randint(1, 1000) for number in range(500)}
    living = LiveEntries()
    for offset, size in entries.items():
        living.add(offset, size)
    offsets = list(entries)
    if order == "backwards":
        offsets.reverse()
    elif order == "any":
        chance.shuffle(offsets)
    left = dict(entries)
    for offset in offsets:
        assert (living.count, living.size_bytes) == (len(left), sum(left.values()))
        assert living.settle(offset) == left.pop(offset)
    assert (living.count, living.size_bytes) == (0, 0)


def test_settling_an_entry_that_is_not_live_changes_nothing():
    living = LiveEntries()
    living.add(40, 7)
    living.add(80, 9)
    assert living.settle(40) == 7
    assert [living.settle(offset) for offset in (40, 39, 41, 79, 81)] == [0] * 5
    assert (living.count, living.size_bytes) == (1, 9)


def test_live_entries_between_two_offsets_are_found():
    living = LiveEntries()
    for offset in range(0, 100, 10):
        living.add(offset, 1)
    living.settle(30)
    assert living.between(20, 50) == [20, 40]
    assert living.between(21, 40) == []
    assert living.between(95, 1000) == []


def test_has_is_true_for_entries_that_are_not_settled():
    living = LiveEntriesBySegment()
    living.add([1 << OFFSET_BITS | 40, 1 << OFFSET_BITS | 80], [7, 9])
    living.settle([1 << OFFSET_BITS | 40])
    asked = [1 << OFFSET_BITS | offset for offset in (39, 40, 79, 80, 81)]
    assert [living.has(position) for position in (*asked, 80, 2 << OFFSET_BITS | 80)] == [
        False,
        False,
        False,
        True,
        False,
        False,
        False,
    ]
