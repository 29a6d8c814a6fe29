import pytest

from amqpbroker.store import record
from amqpbroker.store.groups import Groups


@pytest.mark.parametrize("flags", [0, record.DEATHS, record.TRANSIENT])
@pytest.mark.parametrize("entry", [(1, 1, 0, 0), (7, 1 << 40, 1_700_000_000_000, record.MAX_COUNT)])
def test_a_lone_publish_is_the_group_of_its_record(entry, flags):
    content = record.Content(b"\2ex\3key", b"frames", 3, 255, (), 0, flags)
    payload = record.publish(content, [entry])
    groups = Groups(100)
    octets = groups.add_lone(content.address, content.frames, content.size, content.priority, flags, *entry)
    written = b"".join(groups.take())
    assert written == record.group(payload) + payload
    assert (octets, groups.position) == (len(written), 100 + len(written))
    assert record.content(written, record.GROUP_HEAD.size) == content


def test_an_excerpt_is_the_record_with_fewer_entries():
    content = record.Content(b"\0\1q", b"frames", 3, 1, (b"cc", b"bcc"), 1, False)
    entries = [(number, number + 10, 0, number) for number in range(4)]
    before = b"something before"
    data = before + record.publish(content, entries) + record.publish(content, [(9, 9, 0, 0)])
    places = [len(before) + record.PUBLISH_HEAD.size + number * record.ENTRY.size for number in range(4)]
    other = len(data) - 1
    for kept in ([0, 1, 2, 3], [1, 3], [0]):
        wanted = [places[number] for number in kept]
        again, found = record.excerpt(data, len(before), [*wanted, other])
        assert found == wanted
        assert again == record.publish(content, [entries[number] for number in kept])
