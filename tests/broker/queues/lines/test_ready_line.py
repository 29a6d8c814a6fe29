import random

import pytest

from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.priority_line import PriorityLine
from amqpbroker.broker.queues.lines.quorum_lines import QuorumLine, StrictQuorumLine
from tests.broker.queues.lines.lines import drain, entry


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


def test_only_the_strict_quorum_line_counts_messages_by_priority():
    assert [make().by_priority() for make in (FifoLine, lambda: PriorityLine(5), QuorumLine)] == [None] * 3
    line = StrictQuorumLine()
    for number, priority in enumerate((7, 7, 0, 9), 1):
        line.push(entry(number, priority=priority))
    assert line.by_priority() == {4: 1, 7: 2, 9: 1}
