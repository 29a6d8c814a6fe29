from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.ready_line import SLACK
from amqpbroker.broker.queues.lines.returned_line import ReturnedLine
from tests.broker.queueing import message
from tests.broker.queues.lines.lines import QUEUE, entry


def line_of(*sequences: int) -> ReturnedLine:
    line = ReturnedLine()
    line.add([entry(sequence) for sequence in sequences])
    return line


def sequences(line: ReturnedLine) -> list[int]:
    return [entry.sequence for entry in line]


def removed(line: ReturnedLine, sequence: int) -> int:
    assert line.contains(sequence)
    return line.remove(sequence).sequence


def test_entries_leave_in_the_order_of_their_return() -> None:
    line = line_of(5, 1)
    line.add([entry(3)])
    assert (line.count, line.first().sequence) == (3, 5)
    assert [line.pop().sequence for _ in range(3)] == [5, 1, 3]
    assert line.count == 0


def test_entry_is_taken_from_any_position() -> None:
    line = line_of(5, 1, 3)
    assert removed(line, 1) == 1
    assert (line.count, sequences(line), line.contains(1)) == (2, [5, 3], False)
    assert [line.pop().sequence for _ in range(2)] == [5, 3]


def test_entries_behind_another_are_read_without_taken_ones() -> None:
    line = line_of(5, 1, 3, 4, 2)
    removed(line, 3)

    def behind(sequence: int, count: int = 10) -> list[int]:
        return [each.sequence for each in line.behind(sequence, count)]

    assert (behind(0), behind(5), behind(1), behind(2)) == ([5, 1, 4, 2], [1, 4, 2], [4, 2], [])
    assert behind(3) == [4, 2], "a taken one still has its place"
    assert behind(5, 2) == [1, 4]
    assert behind(9) == [5, 1, 4, 2], "the first ones behind one that is gone"
    assert sequences(line) == [5, 1, 4, 2]


def test_first_entry_is_never_a_taken_one() -> None:
    line = line_of(1, 2, 3, 4)
    for sequence in 2, 3, 1:
        removed(line, sequence)
    assert (line.count, line.first().sequence) == (1, 4)
    line.add([entry(5), entry(6)])
    removed(line, 5)
    assert line.pop().sequence == 4
    assert line.first().sequence == 6


def test_entries_added_and_popped_after_a_search_are_found_only_while_they_are_there() -> None:
    line = line_of(1)
    assert not line.contains(2)
    line.add([entry(2)])
    assert line.contains(2)
    line.pop()
    assert not line.contains(1)


def test_taken_entries_stay_in_memory_up_to_a_bound() -> None:
    line = line_of(*range(1000))
    for sequence in range(1, 1000):
        removed(line, sequence)
        assert len(line._entries) <= 2 * line.count + SLACK
    assert sequences(line) == [0]


def test_cleared_line_contains_nothing() -> None:
    line = line_of(1, 2, 3)
    removed(line, 2)
    assert [entry.sequence for entry in line.clear()] == [1, 3]
    assert (line.count, sequences(line), line.contains(1)) == (0, [], False)


def test_only_entries_with_a_deadline_have_an_item() -> None:
    line = line_of(1)
    line.add([Entry(message(), QUEUE, 7, 1000)])
    assert line.deadlines() == [1000 << 64 | 7 << 8]
