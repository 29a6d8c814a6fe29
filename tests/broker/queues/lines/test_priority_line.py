import tracemalloc

from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.priority_line import PriorityLine
from amqpbroker.broker.queues.lines.quorum_lines import QuorumLine
from tests.broker.queues.lines.lines import drain, entry


def test_priority_queue_takes_highest_priority_first_and_fifo_within_it():
    line = PriorityLine(9)
    for i, priority in enumerate([0, 9, 3, 9, 200, 3]):
        line.push(entry(i, priority))
    assert drain(line) == [1, 3, 4, 2, 5, 0]


def test_requeued_message_returns_to_its_place_in_its_priority():
    line = PriorityLine(9)
    for i, priority in enumerate([5, 5, 5, 1]):
        line.push(entry(i, priority))
    first, second = line.pop(), line.pop()
    line.requeue([second, first])
    assert drain(line) == [0, 1, 2, 3]


def test_messages_removed_together_are_sorted_in_a_priority_queue_only():
    entries = [entry(i, priority) for i, priority in enumerate([0, 9, 3, 200, 0])]
    assert [e.sequence for e in PriorityLine(5).ranked(entries)] == [1, 3, 2, 0, 4]
    assert [line.ranked(entries) for line in (FifoLine(), QuorumLine())] == [entries, entries]


def test_unused_priorities_take_no_memory():
    def costs(max_priority: int) -> int:
        tracemalloc.start()
        try:
            line = PriorityLine(max_priority)
            line.push(entry(1, priority=1))
            return tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    assert costs(255) < costs(2) + 4_000
