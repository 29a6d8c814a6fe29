import pytest

from amqpbroker.broker.queues.lines.quorum_lines import QuorumLine, StrictQuorumLine
from tests.broker.queues.lines.lines import drain, entry


def test_quorum_returned_messages_come_first_in_the_order_of_their_return():
    line = QuorumLine()
    for i in range(6):
        line.push(entry(i))
    taken = [line.pop() for _ in range(4)]
    line.requeue([taken[3]])
    line.requeue([taken[1]])
    assert drain(line) == [3, 1, 4, 5]


def test_quorum_message_requeued_last_is_behind_all_priorities():
    line = QuorumLine()
    line.push(entry(1, 0))
    line.requeue_last(entry(2, 9))
    line.push(entry(3, 9))
    line.push(entry(4, 0))
    assert (line.count, line.size) == (4, 4)
    assert drain(line) == [3, 1, 2, 4]


def test_quorum_queue_delivers_two_high_priority_messages_per_normal_one():
    line = QuorumLine()
    for i in range(1, 5):
        line.push(entry(i, 0))
    for i in range(5, 11):
        line.push(entry(i, 5))
    assert drain(line) == [5, 6, 1, 7, 8, 2, 9, 10, 3, 4]


@pytest.mark.parametrize(("handed", "order"), [(0, "hhnhn"), (1, "hnhhn"), (2, "nhhnh"), (3, "hhnhn")])
def test_quorum_direct_deliveries_advance_the_priority_order(handed: int, order: str):
    line = QuorumLine()
    sequences = range(1 + handed, 6 + handed)
    for sequence, priority in zip(sequences, (0, 0, 5, 5, 5), strict=True):
        line.push(entry(sequence, priority))
    assert "".join(["nh"[line.pop().message.priority > 4] for _ in range(5)]) == order


def test_quorum_purge_resets_the_priority_order():
    line = QuorumLine()
    for sequence in (1, 2):
        line.push(entry(sequence))
    line.pop()
    line.clear()
    line.start_after(2)
    for sequence, priority in ((3, 0), (4, 5), (5, 5)):
        line.push(entry(sequence, priority))
    assert drain(line) == [4, 5, 3]


def test_quorum_normal_message_precedes_only_younger_high_priority_ones():
    line = QuorumLine()
    for i, priority in enumerate((5, 5, 5, 0, 5, 0, 5, 5), 1):
        line.push(entry(i, priority))
    assert drain(line) == [1, 2, 3, 5, 7, 4, 8, 6]


def test_strict_quorum_returned_messages_precede_priorities_up_to_31():
    line = StrictQuorumLine()
    for i, priority in enumerate([4, 31, 0, 200, 30]):
        line.push(entry(i, priority))
    taken = [line.pop(), line.pop()]
    line.requeue([taken[1], taken[0]])
    assert (line.count, line.size) == (5, sum(each.message.size for each in line))
    assert drain(line) == [3, 1, 4, 0, 2]
