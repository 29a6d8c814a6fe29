from amqpbroker.broker.queues.deadlines import Deadlines
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.priority_line import PriorityLine
from amqpbroker.broker.queues.lines.ready_line import SLACK, ReadyLine, deadline_item
from tests.broker.queueing import message
from tests.broker.queues.lines.lines import QUEUE


def add(line: ReadyLine, deadlines: Deadlines, sequence: int, deadline_ms: int, priority: int = 0) -> None:
    entry = Entry(message(priority=priority), QUEUE, sequence, deadline_ms)
    line.push(entry)
    if deadline_ms:
        deadlines.add(entry)


def taken(deadlines: Deadlines, before_ms: int) -> list[int]:
    found = []
    while (entry := deadlines.pop_before(deadline_item(before_ms, 0, 0))) is not None:
        found.append(entry.sequence)
    return found


def test_entries_are_taken_by_deadline_then_by_sequence() -> None:
    line = PriorityLine(255)
    deadlines = Deadlines(line)
    for sequence, deadline_ms, priority in (1, 30, 255), (2, 10, 0), (3, 0, 7), (4, 20, 1), (5, 10, 200):
        add(line, deadlines, sequence, deadline_ms, priority)
    assert deadlines.first_ms == 10
    assert taken(deadlines, 30) == [2, 5, 4]
    assert (line.count, deadlines.first_ms) == (2, 30)
    assert taken(deadlines, 31) == [1]
    assert (line.count, deadlines.first_ms) == (1, 0)


def test_items_of_entries_that_have_left_the_line_are_skipped() -> None:
    line = FifoLine()
    deadlines = Deadlines(line)
    for sequence in 1, 2, 3:
        add(line, deadlines, sequence, 10)
    line.pop()
    assert taken(deadlines, 11) == [2, 3]


def test_entry_that_returned_is_taken_once() -> None:
    line = FifoLine()
    deadlines = Deadlines(line)
    add(line, deadlines, 1, 10)
    entry = line.pop()
    line.requeue([entry])
    deadlines.add(entry)
    assert taken(deadlines, 11) == [1]
    assert len(deadlines) == 0


def test_heap_is_rebuilt_when_most_items_belong_to_no_entry() -> None:
    line = FifoLine()
    deadlines = Deadlines(line)
    for sequence in range(1, 1001):
        add(line, deadlines, sequence, 2000 - sequence)
    for left in range(999, 0, -1):
        line.pop()
        deadlines.shrink(left)
        assert left <= len(deadlines) <= 2 * left + SLACK
    assert taken(deadlines, 2000) == [1000]


def test_deadlines_of_a_full_line_are_found() -> None:
    line = PriorityLine(3)
    for sequence, deadline_ms in (1, 0), (2, 20), (3, 10):
        line.push(Entry(message(priority=sequence), QUEUE, sequence, deadline_ms))
    assert taken(Deadlines(line), 100) == [3, 2]
