import pytest

from amqpbroker.store.journal import record
from amqpbroker.store.journal.groups import Groups
from amqpbroker.wire.frames import lone_content

SETTLED = record.settle([5])
RETURNED = record.returned([(61, 2)])


@pytest.mark.parametrize("behind", [b"", SETTLED, SETTLED + RETURNED])
@pytest.mark.parametrize("size", [0, 3, 40_000])
def test_a_lone_copy_is_written_as_any_other_group(behind: bytes, size: int) -> None:
    frames = lone_content(1, b"\0\0", [b"x" * size], size)
    content = record.Content(b"\1e\1k", frames, size, 4, (), 0, record.DEATHS)
    published = record.publish(content, [(7, 2**40, 2**41, 9)])
    any_group, lone = Groups(100), Groups(100)
    for _ in range(3):
        any_group.add(published + behind)
        octets = lone.add_lone(b"\1e\1k", frames, size, 4, record.DEATHS, 7, 2**40, 2**41, 9, behind)
        assert octets == record.GROUP_OCTETS + len(published)
    assert lone.position == any_group.position
    assert b"".join(lone.take()) == b"".join(any_group.take())
