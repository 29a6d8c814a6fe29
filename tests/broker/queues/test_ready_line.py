import random
import tracemalloc

import pytest

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.ready_line import FifoLine, PriorityLine, QuorumLine, StrictQuorumLine
from amqpbroker.message.message import Message
from tests.broker.queueing import declare, make_vhost

#: Whose copies they are, which is nothing to a line.
QUEUE = declare(make_vhost())


def entry(sequence: int, priority: int = 0, body: bytes = b"x") -> Entry:
    message = Message(b"\0\0", b"\0\0", body)
    message.priority = priority
    return Entry(message, QUEUE, sequence, 0)


def drain(line):
    return [line.pop().sequence for _ in range(line.count)]


@pytest.mark.parametrize("make", [FifoLine, lambda: PriorityLine(5), QuorumLine])
def test_first_in_first_out_with_count_and_size(make):
    line = make()
    for i in range(5):
        line.push(entry(i, body=b"x" * i))
    assert (line.count, line.size) == (5, 10)
    assert line.head().sequence == 0
    assert drain(line) == [0, 1, 2, 3, 4]
    assert (line.count, line.size) == (0, 0)


def test_fifo_requeue_goes_back_to_the_original_position():
    line = FifoLine()
    for i in range(6):
        line.push(entry(i))
    taken = [line.pop() for _ in range(4)]
    line.requeue([taken[3]])
    line.requeue([taken[1], taken[0]])
    assert [e.sequence for e in line.line] == [0, 1, 3, 4, 5]
    line.requeue([taken[2]])
    assert drain(line) == [0, 1, 2, 3, 4, 5]


def test_fifo_requeue_at_random_keeps_the_order():
    chance = random.Random(3)
    line = FifoLine()
    for i in range(200):
        line.push(entry(i))
    out = []
    for _ in range(2000):
        if line.count and chance.random() < 0.6:
            out.append(line.pop())
        elif out:
            chance.shuffle(out)
            back, out = out[: len(out) // 2 + 1], out[len(out) // 2 + 1 :]
            line.requeue(back)
        assert [e.sequence for e in line.line] == sorted(e.sequence for e in line.line)
    line.requeue(out) if out else None
    assert drain(line) == list(range(200))


def test_priority_highest_first_and_fifo_within_one():
    line = PriorityLine(9)
    for i, priority in enumerate([0, 9, 3, 9, 200, 3]):
        line.push(entry(i, priority))
    assert drain(line) == [1, 3, 4, 2, 5, 0]


def test_priority_requeue_goes_back_inside_its_level():
    line = PriorityLine(9)
    for i, priority in enumerate([5, 5, 5, 1]):
        line.push(entry(i, priority))
    first, second = line.pop(), line.pop()
    line.requeue([second, first])
    assert drain(line) == [0, 1, 2, 3]


def test_priority_what_leaves_together_leaves_by_priority():
    entries = [entry(i, priority) for i, priority in enumerate([0, 9, 3, 200, 0])]
    assert [e.sequence for e in PriorityLine(5).ranked(entries)] == [1, 3, 2, 0, 4]
    assert [line.ranked(entries) for line in (FifoLine(), QuorumLine())] == [entries, entries]


def test_quorum_returned_messages_come_first_in_the_order_of_their_return():
    line = QuorumLine()
    for i in range(6):
        line.push(entry(i))
    taken = [line.pop() for _ in range(4)]
    line.requeue([taken[3]])
    line.requeue([taken[1]])
    assert drain(line) == [3, 1, 4, 5]


def test_quorum_what_is_put_last_is_behind_all_whatever_its_priority():
    line = QuorumLine()
    line.push(entry(1, 0))
    line.put_last(entry(2, 9))
    line.push(entry(3, 9))
    line.push(entry(4, 0))
    assert (line.count, line.size) == (4, 4)
    assert drain(line) == [3, 1, 2, 4]


def test_quorum_two_of_high_priority_to_one_normal():
    line = QuorumLine()
    for i in range(1, 5):
        line.push(entry(i, 0))
    for i in range(5, 11):
        line.push(entry(i, 5))
    assert drain(line) == [5, 6, 1, 7, 8, 2, 9, 10, 3, 4]


@pytest.mark.parametrize(("handed", "order"), [(0, "hhnhn"), (1, "hnhhn"), (2, "nhhnh"), (3, "hhnhn")])
def test_quorum_what_was_handed_past_the_line_takes_its_turn(handed: int, order: str):
    line = QuorumLine()
    sequences = range(1 + handed, 6 + handed)
    for sequence, priority in zip(sequences, (0, 0, 5, 5, 5), strict=True):
        line.push(entry(sequence, priority))
    assert "".join(["nh"[line.pop().message.priority > 4] for _ in range(5)]) == order


def test_quorum_a_purge_starts_the_turns_anew():
    line = QuorumLine()
    for sequence in (1, 2):
        line.push(entry(sequence))
    line.pop()
    line.clear()
    for sequence, priority in ((3, 0), (4, 5), (5, 5)):
        line.push(entry(sequence, priority))
    assert drain(line) == [4, 5, 3]


def test_quorum_the_turn_of_a_normal_one_is_for_what_is_older_than_the_first_high_one():
    line = QuorumLine()
    for i, priority in enumerate((5, 5, 5, 0, 5, 0, 5, 5), 1):
        line.push(entry(i, priority))
    assert drain(line) == [1, 2, 3, 5, 7, 4, 8, 6]


def test_strict_quorum_returned_messages_come_first_and_then_the_highest_priority_up_to_31():
    line = StrictQuorumLine()
    for i, priority in enumerate([4, 31, 0, 200, 30]):
        line.push(entry(i, priority))
    taken = [line.pop(), line.pop()]
    line.requeue([taken[1], taken[0]])
    assert (line.count, line.size) == (5, sum(each.message.size for each in line))
    assert drain(line) == [3, 1, 4, 0, 2]


def test_a_line_costs_nothing_for_priorities_that_were_never_used():
    def costs(max_priority: int) -> int:
        tracemalloc.start()
        try:
            line = PriorityLine(max_priority)
            line.push(entry(1, priority=1))
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert costs(255) < costs(2) + 4_000


@pytest.mark.parametrize("make", [FifoLine, lambda: PriorityLine(5), QuorumLine, StrictQuorumLine])
def test_looking_on_shows_the_order_in_which_they_leave_and_changes_nothing(make):
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
