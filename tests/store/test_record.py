import pytest

from amqpbroker.store import record

MANY_KEYS = tuple(b"%d" % number for number in range(256))
LONG_KEYS = (b"k" * 256, b"", b"k" * 1000)


@pytest.mark.parametrize("keys", [(b"cc", b"bcc"), MANY_KEYS, LONG_KEYS])
def test_extra_keys_are_decoded_again(keys):
    content = record.Content(b"\0\1q", b"frames", 3, 1, keys, 2, record.TRANSIENT)
    data = b"before" + record.publish(content, [(1, 1, 0, 0)])
    assert record.content(data + b"after", 6) == content
    assert record.publish_end(data + b"after", 6) == len(data)
    assert record.publish_size(data, 6) >= len(data) - 6


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"\0\0\0\1\0\0\0\2k", b"\0\0\0\1\0\0\0"])
def test_cut_off_extra_keys_are_reported_as_damage(data):
    with pytest.raises(record.DamagedError):
        record.from_pieces([data])


@pytest.mark.parametrize(
    ("keys", "fits"),
    [
        ((b"k" * 255,) * 255, True),
        ((b"k" * 255,) * 256, False),
        ((b"k" * (65_025 - 8),), True),
        ((b"k" * (65_025 - 7),), False),
        ((b"",) * 16_255, True),
        ((b"",) * 16_256, False),
    ],
)
def test_extra_keys_above_the_size_limit_do_not_fit(keys, fits):
    assert record.fits(keys) is fits
    if fits:
        content = record.Content(b"\0\1q", b"frames", 3, 1, keys, 1, 0)
        assert record.content(record.publish(content, [(1, 1, 0, 0)])) == content


@pytest.mark.parametrize("keys", [(b"cc", b"bcc"), MANY_KEYS, LONG_KEYS])
def test_an_excerpt_is_the_record_with_fewer_entries(keys):
    content = record.Content(b"\0\1q", b"frames", 3, 1, keys, 1, 0)
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
