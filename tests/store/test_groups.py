import pytest

from amqpbroker.broker.exchanges.held import HeldCopy
from amqpbroker.message.message import Message
from amqpbroker.store import record
from amqpbroker.store.groups import LONE_ENTRY, Groups
from amqpbroker.wire.frames import lone_content

SETTLED = record.settle([5])
RETURNED = record.returned([(61, 2)])


def copy_of(frames: bytes, size: int, holder_id: int = 7, sequence: int = 2**40, due_ms: int = 2**41) -> HeldCopy:
    copy = HeldCopy(Message(b"\1e\1k", None, None, size, frames, 1), holder_id, sequence, due_ms)
    copy.message.priority = 4
    copy.message.persistent = True
    return copy


@pytest.mark.parametrize("behind", [b"", SETTLED, SETTLED + RETURNED])
@pytest.mark.parametrize("size", [0, 3, 40_000])
def test_a_lone_copy_is_written_as_any_other_group(behind: bytes, size: int) -> None:
    frames = lone_content(1, b"\0\0", [b"x" * size], size)
    copy = copy_of(frames, size)
    copy.message.died = True
    copy.delivery_count = 9
    content = record.Content(b"\1e\1k", frames, size, 4, (), 0, record.DEATHS)
    published = record.publish(content, [(7, 2**40, 2**41, 9)])
    any_group, lone = Groups(100), Groups(100)
    for _ in range(3):
        any_group.add(published + behind)
        position = lone.position + LONE_ENTRY
        part_bytes = lone.add_lone(copy, behind)
        assert part_bytes == record.GROUP_BYTES + len(published)
        assert copy.position == position
    assert (lone.position, lone.size_bytes) == (any_group.position, any_group.size_bytes)
    assert b"".join(lone.take()) == b"".join(any_group.take())


@pytest.mark.parametrize("delivered", [0, record.DELIVERED])
@pytest.mark.parametrize("flags", [0, record.DEATHS, record.TRANSIENT, record.TRANSIENT | record.DEATHS])
@pytest.mark.parametrize("entry", [(1, 1, 0, 0), (record.MAX_ID, 2**40, 1_700_000_000_000, record.MAX_COUNT)])
def test_a_lone_copy_is_the_group_of_its_record(entry: tuple[int, int, int, int], flags: int, delivered: int) -> None:
    frames = lone_content(1, b"\0\0", [b"abc"], 3)
    copy = copy_of(frames, 3, *entry[:3])
    copy.delivery_count = entry[3] and 100_000
    copy.delivered_ms = 0 if delivered else -1
    copy.message.persistent = not flags & record.TRANSIENT
    copy.message.died = bool(flags & record.DEATHS)
    copy.message.priority = 255
    content = record.Content(b"\1e\1k", frames, 3, 255, (), 0, flags | delivered)
    payload = record.publish(content, [entry])
    groups = Groups(100)
    size = groups.add_lone(copy)
    written = b"".join(groups.take())
    assert written == record.group(payload) + payload
    assert (size, groups.size_bytes, groups.position) == (len(written), len(written), 100 + len(written))
    assert record.content(written, record.GROUP_HEAD.size) == content
