"""Messages that vary as configured, as frames."""

import struct
from collections import Counter

import pytest

from amqpbroker.wire.frames import BODY, HEADER, METHOD
from amqpbroker.wire.reader import FrameReader
from tests.bench.varied import CHUNK_MESSAGES, MARK, Varied


def frames(data: bytes) -> list[tuple[int, int, bytes]]:
    """Return type, channel and payload of each frame."""
    reader = FrameReader(0)
    reader.feed(data)
    found = list(reader.frames())
    assert reader.held == 0
    return found


def payloads(what: Varied, kind: int, sent: int = 1) -> list[bytes]:
    """Return the payloads of the frames of a type in the first chunks, as they are sent."""
    chunks = what.chunks()
    data = b"".join(chunks[i % len(chunks)].replace(MARK.encode(), b"%06d" % (i + 1)) for i in range(sent))
    return [payload for each, _, payload in frames(data) if each == kind]


def keys(what: Varied, sent: int = 1) -> Counter[bytes]:
    return Counter(payload[8 + payload[6] : -1] for payload in payloads(what, METHOD, sent))


def test_repeated_message_never_changes():
    for kind in (METHOD, HEADER, BODY):
        assert len(set(payloads(Varied(), kind))) == 1


@pytest.mark.parametrize("count", [1, 2, 500, 700])
def test_keys_are_used_in_rotation(count):
    what = Varied(keys=count, key="a.{}")
    assert sorted(keys(what, 2)) == [key.encode() for key in what.all_keys()]
    assert len(what.all_keys()) == count


@pytest.mark.parametrize("percent", [1, 10, 50, 100])
def test_given_percentage_of_routing_keys_never_repeats(percent):
    found = keys(Varied(fresh_keys=percent), sent=3)
    common = found.pop(b"0000000000", 0)
    assert common == 3 * CHUNK_MESSAGES * (100 - percent) // 100
    assert set(found.values()) == {1}


@pytest.mark.parametrize("percent", [1, 100])
def test_keys_of_a_pool_are_all_bound(percent):
    what = Varied(fresh_keys=percent, pool=1000)
    assert set(keys(what, sent=what.chunk_numbers)) <= {key.encode() for key in what.all_keys()}
    assert len(keys(what, sent=what.chunk_numbers)) >= 1000


@pytest.mark.parametrize(("what", "different"), [(Varied(properties=20), 20), (Varied(properties=1), 1)])
def test_properties_are_used_in_rotation(what, different):
    assert len(set(payloads(what, HEADER))) == different


@pytest.mark.parametrize("percent", [0, 10, 100])
def test_given_percentage_of_properties_never_repeats(percent):
    found = Counter(payloads(Varied(properties=1, fresh_properties=percent), HEADER, sent=2))
    assert sum(count == 1 for count in found.values()) == 2 * CHUNK_MESSAGES * percent // 100


@pytest.mark.parametrize("spread", [0, 2, 200, 2000])
def test_sizes_are_spread_around_their_average(spread):
    sizes = [struct.unpack_from(">Q", payload, 4)[0] for payload in payloads(Varied(size=1000, spread=spread), HEADER)]
    assert (min(sizes), max(sizes)) == (1000 - spread // 2, 1000 + spread // 2)
    assert sum(sizes) / len(sizes) == pytest.approx(1000, abs=1)


def test_channels_alternate_by_messages_or_frames():
    whole = frames(Varied(channels=2).chunks()[0])
    assert [each[:2] for each in whole[:6]] == [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)]
    split = frames(Varied(channels=2, by_frame=True).chunks()[0])
    assert [each[:2] for each in split[:6]] == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]
    assert sorted(whole) == sorted(split)
