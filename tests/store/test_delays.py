"""Due times of delayed copies in the store: they survive restarts and compaction, and end with their copies."""

import pytest

from amqpbroker.message.message import Copy
from amqpbroker.store import record
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.recovered import Copies
from tests.broker.storing import DIRECTORY, Node, StepCommitter, finish, publish
from tests.memory_log import MemoryLog


def dues(node, queue_id=1):
    """Return the due times that a broker would start with: sequence -> due time."""
    found = crashed(node).copies.get(queue_id)
    if found is None or not found.dues_ms:
        return {}
    return {sequence: due_ms for sequence, due_ms in zip(found.sequences, found.dues_ms, strict=True) if due_ms}


def crashed(node):
    """Return the contents of the journal after a power failure."""
    files = node.files.copy()
    files.power_loss()
    return Journal(DIRECTORY, files).recover()


def stored(node, *texts):
    """Publish messages, and return their entries."""
    client = node.client()
    publish(client, *texts)
    client.turn()
    return list(node.broker.vhosts["/"].queues["q"].ready)


def read_back(entry):
    """Return the entry as it is after it was paged out and read again: another object at the same position."""
    again = Copy(entry.message, 1, entry.sequence, 0)
    again.position = entry.position
    return again


def test_due_times_are_recovered_with_the_queues_copies():
    node = Node()
    first, _, third = stored(node, "1", "2", "3")
    node.persistence.delayed(first, 5_000)
    node.persistence.delayed(third, 2**63)
    node.persistence.sync()
    assert dues(node) == {1: 5_000, 3: 2**63}
    assert crashed(node).returned == {}


def test_the_last_delay_counts_and_0_ends_it():
    node = Node()
    first, second, third = stored(node, "1", "2", "3")
    for due_ms in 1_000, 2_000:
        node.persistence.delayed(first, due_ms)
    node.persistence.delayed(second, 1_000)
    node.persistence.sync()
    node.persistence.delayed(second, 0)
    node.persistence.delayed(third, 1_000)
    node.persistence.delayed(third, 0)
    node.persistence.sync()
    assert dues(node) == {1: 2_000}


def test_the_delay_of_a_settled_copy_is_not_recovered():
    node = Node()
    first, second = stored(node, "1", "2")
    for entry in first, second:
        node.persistence.delayed(entry, 1_000)
    node.persistence.settle(first)
    node.persistence.sync()
    assert dues(node) == {2: 1_000}
    assert node.persistence._dues == {second.position: 1_000}
    node.persistence.settle(second)
    node.persistence.sync()
    assert (dues(node), node.persistence._dues) == ({}, {})


def test_a_copy_that_was_settled_before_the_write_has_no_record():
    node = Node(committer=StepCommitter)
    (entry,) = stored(node, "1")
    node.persistence.delayed(entry, 1_000)
    node.persistence.settle(entry)
    finish(node)
    assert (dues(node), node.persistence._dues) == ({}, {})


def test_a_copy_that_was_read_back_before_the_write_of_its_return_leaves_nothing_when_it_is_settled():
    node = Node()
    (entry,) = stored(node, "1")
    node.persistence.returned(entry)
    node.persistence.delayed(entry, 1_000)
    node.persistence.settle(read_back(entry))
    node.persistence.sync()
    assert (dues(node), node.persistence._dues, node.persistence._counts) == ({}, {}, {})


def test_the_last_delay_of_a_copy_counts_if_it_was_read_back_before_the_write_of_the_first():
    node = Node()
    (entry,) = stored(node, "1")
    node.persistence.delayed(entry, 1_000)
    node.persistence.begin()
    node.persistence.delayed(read_back(entry), 2_000)
    node.persistence.end()
    node.persistence.sync()
    assert dues(node) == {1: 2_000}


def test_the_last_delay_counts_if_only_the_last_one_is_in_a_group():
    node = Node()
    (entry,) = stored(node, "1")
    node.persistence.delayed(entry, 1_000)
    node.persistence.begin()
    node.persistence.delayed(entry, 2_000)
    node.persistence.end()
    node.persistence.sync()
    assert dues(node) == {1: 2_000}


def test_the_last_delay_counts_if_its_group_absorbs_that_of_the_first():
    node = Node()
    first, second, third = stored(node, "1", "2", "3")
    store = node.persistence
    replacement = Copy(first.message, 1, 4, 0)
    store.begin()
    store.delayed(first, 1_000)
    store.enqueue(replacement)
    store.end()
    store.begin()
    for entry in first, second, third:
        store.delayed(entry, 2_000)
    store.settle(replacement)
    store.end()
    store.sync()
    assert dues(node) == {1: 2_000, 2: 2_000, 3: 2_000}


def test_a_copy_and_its_delay_in_one_group_are_written_together_or_not_at_all():
    node = Node()
    (entry,) = stored(node, "1")
    store = node.persistence
    store.begin()
    copy = Copy(entry.message, 1, 2, 0)
    store.enqueue(copy)
    store.delayed(copy, 1_000)
    store.end()
    before = len(node.files.contents[next(iter(node.files.contents))])
    store.sync()
    data = bytes(node.files.contents[next(iter(node.files.contents))])
    assert dues(node) == {2: 1_000}
    groups = record.groups_end(data[before + record.BATCH_HEAD.size :])
    assert groups == record.first_group(data[before + record.BATCH_HEAD.size :])


@pytest.mark.parametrize("moves", [1, 2])
def test_due_times_survive_compaction(moves):
    node = Node()
    node.persistence.log.segment_bytes = 2_000
    first, second = stored(node, "1", "2")
    node.persistence.delayed(first, 1_000)
    node.persistence.delayed(second, 2_000)
    node.persistence.sync()
    client = node.client()
    for _ in range(2):
        client.get("q", no_ack=False)
    for number in range(200 * moves):
        publish(client, f"{number:0100}")
        client.turn()
        client.get("q")
        client.turn()
    assert node.persistence.log.oldest > moves
    assert dues(node) == {1: 1_000, 2: 2_000}
    node.persistence.delayed(second, 3_000)
    node.persistence.sync()
    assert dues(node) == {1: 1_000, 2: 3_000}
    node.persistence.settle(first)
    node.persistence.sync()
    assert dues(node) == {2: 3_000}


def test_more_delays_than_a_record_holds_are_divided():
    node = Node(limits={"positions": 3})
    entries = stored(node, *map(str, range(10)))
    for entry in entries:
        node.persistence.delayed(entry, 1_000 + entry.sequence)
    node.persistence.sync()
    assert dues(node) == {number: 1_000 + number for number in range(1, 11)}


def test_a_log_in_memory_recovers_due_times():
    log = MemoryLog()
    log.recover()
    start = log.next_position()
    frames = b"\x02" + bytes(40)
    content = record.Content(b"\0\1q", frames, 0, 0, (), 0, 0)
    payload = record.publish(content, [(1, 1, 0, 0)]) + record.delayed(
        [(start + record.GROUP_BYTES + record.PUBLISH_BYTES, 7_000)]
    )
    log.write(log.batch([record.group(payload), payload]))
    found = MemoryLog(before=log).recover()
    assert list(found.copies[1].dues_ms) == [7_000]


def test_copies_are_divided_by_their_due_times():
    copies = Copies()
    for sequence in range(1, 5):
        copies._append(sequence, sequence * 100, 0, 10, -1)
    ready, delayed = copies.divided(1_000)
    assert (ready, list(delayed.positions)) == (copies, [])
    copies.delay({200: 1_000, 400: 1_001, 999: 1})
    assert list(copies.dues_ms) == [0, 1_000, 0, 1_001]
    ready, delayed = copies.divided(1_000)
    assert (list(ready.sequences), list(delayed.sequences), list(delayed.dues_ms)) == ([1, 2, 3], [4], [1_001])
    ready, delayed = copies.divided(0)
    assert (list(ready.positions), list(delayed.positions)) == ([100, 300], [200, 400])
    copies.delay({999: 1})
    assert len(copies.dues_ms) == 0
