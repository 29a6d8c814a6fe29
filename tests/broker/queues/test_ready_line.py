import random

import pytest

from amqpbroker.broker.queues.fifo_line import FifoLine
from amqpbroker.broker.queues.priority_line import PriorityLine
from amqpbroker.broker.queues.quorum_lines import QuorumLine, StrictQuorumLine
from amqpbroker.broker.queues.ready_line import place_of
from tests.broker.queues.lines import drain, entry


@pytest.mark.parametrize("make", [FifoLine, lambda: PriorityLine(5), QuorumLine])
def test_ready_line_is_first_in_first_out_with_count_and_size(make):
    line = make()
    for i in range(5):
        line.push(entry(i, body=b"x" * i))
    assert (line.count, line.size) == (5, 10)
    assert line.head().sequence == 0
    assert drain(line) == [0, 1, 2, 3, 4]
    assert (line.count, line.size) == (0, 0)


@pytest.mark.parametrize("make", [FifoLine, lambda: PriorityLine(5), QuorumLine, StrictQuorumLine])
def test_iteration_of_a_ready_line_is_in_order_and_removes_no_entry(make):
    chance = random.Random(5)
    for length in range(40):
        line = make()
        for i in range(length):
            line.push(entry(i + 1, priority=chance.choice((0, 0, 3, 7))))
        taken = [line.pop() for _ in range(length // 3)]
        if taken:
            line.requeue(taken[: len(taken) // 2 + 1])
        looked = [[each.sequence for each in line] for _ in range(2)]
        assert looked == [drain(line)] * 2


@pytest.mark.parametrize("make", [FifoLine, lambda: PriorityLine(5), QuorumLine, StrictQuorumLine])
def test_places_of_a_ready_line_are_in_order_and_find_their_entries(make):
    chance = random.Random(6)
    for length in range(40):
        line = make()
        for i in range(length):
            line.push(entry(i + 1, priority=chance.choice((0, 0, 3, 7))))
        taken = [line.pop() for _ in range(length // 3)]
        if taken:
            line.requeue(taken[: len(taken) // 2 + 1])
        places = [place_of(place) for place in line.places()]
        entries = list(line)
        assert [sequence for sequence, _ in places] == [each.sequence for each in entries]
        assert all(line.contains(*place) for place in places)
        assert [line.find(*place) for place in places] == entries
        for place in chance.sample(places, len(places)):
            found = line.find(*place)
            assert line.remove(*place) is found
            assert not line.contains(*place)
        assert line.count == 0


def test_only_the_strict_quorum_line_counts_messages_by_priority():
    assert [make().by_priority() for make in (FifoLine, lambda: PriorityLine(5), QuorumLine)] == [None] * 3
    line = StrictQuorumLine()
    for number, priority in enumerate((7, 7, 0, 9), 1):
        line.push(entry(number, priority=priority))
    assert line.by_priority() == {4: 1, 7: 2, 9: 1}
