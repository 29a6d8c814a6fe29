import random
import struct
from itertools import repeat

import pytest

from amqpbroker.cli.perf.deliveries import Deliveries
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.template import now_ns
from amqpbroker.wire import frames, methods

MARK = b"thisrun!"


def delivery(tag, body, frame_max=4096, key="key", redelivered=False, channel=1):
    arguments = {"consumer_tag": "perf", "delivery_tag": tag, "redelivered": redelivered, "exchange": "ex"}
    method = methods.encode("basic.deliver", routing_key=key, **arguments)
    return frames.frame(frames.METHOD, channel, method) + frames.content(channel, b"\x10\x00\x02", body, frame_max)


def method(name, **arguments):
    return frames.frame(frames.METHOD, 0, methods.encode(name, **arguments))


def fed(data, sizes, mark=b"", channels=1):
    """Return the counts for data that is read in pieces of these sizes."""
    deliveries, others = Deliveries(mark, channels, 1 << 16), []
    at, sizes = 0, iter(sizes)
    while at < len(data):
        space = deliveries.space()
        piece = data[at : at + min(next(sizes), len(space))]
        space[: len(piece)] = piece
        others += deliveries.advance(len(piece))
        at += len(piece)
    return deliveries, others


MIXED = b"".join(
    [
        *(delivery(tag, b"x" * 16) for tag in range(1, 8)),
        frames.HEARTBEAT_FRAME,
        *(delivery(tag, b"x" * 16) for tag in range(8, 12)),
        delivery(12, b"y" * 600, frame_max=256),
        delivery(13, b""),
        delivery(14, b""),
        method("connection.blocked", reason="low on memory"),
        *(delivery(tag, b"x" * 16, key="other") for tag in range(15, 20)),
        *(delivery(tag, b"x" * 16, redelivered=True) for tag in range(20, 25)),
    ]
)
MIXED_BYTES = 11 * 16 + 600 + 10 * 16


def test_counts_are_the_same_for_every_split():
    for split in range(len(MIXED)):
        deliveries, others = fed(MIXED, [split or 1, *[len(MIXED)] * 3])
        assert (deliveries.come[1], deliveries.body_bytes, deliveries.rest()) == (24, MIXED_BYTES, b"")
        assert others == [(0, methods.encode("connection.blocked", reason="low on memory"))]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 50, 87, 88, 89, 1000])
def test_counts_are_the_same_for_pieces_of_every_size(size):
    deliveries, others = fed(MIXED, repeat(size))
    assert (deliveries.come[1], deliveries.body_bytes, len(others)) == (24, MIXED_BYTES, 1)


@pytest.mark.parametrize("seed", range(30))
def test_deliveries_with_bodies_of_all_sizes_are_counted(seed):
    chance = random.Random(seed)
    bodies = chance.choices([0, 1, 16, 16, 16, 17, 300], k=chance.randrange(60))
    data = b"".join(delivery(tag, b"x" * size, 128) for tag, size in enumerate(bodies, 1))
    deliveries, _ = fed(data, iter(lambda: chance.randint(1, 900), 0))
    assert (deliveries.come[1], deliveries.body_bytes) == (len(bodies), sum(bodies))


def test_equal_deliveries_are_counted_without_parsing():
    one = len(delivery(1, b"x" * 16))
    data = bytearray(b"".join(delivery(tag, b"x" * 16) for tag in range(1, 51)))
    data[20 * one - 1] = 0  # an end byte, for which reading it frame by frame would end with an error
    deliveries, _ = fed(data, [one, len(data)])
    assert deliveries.come[1] == 50


def test_whole_deliveries_of_many_lengths_are_not_read_frame_by_frame():
    some = [bytearray(delivery(tag, b"x" * (16 + tag))) for tag in range(1, 51)]
    method_bytes = some[30].index(frames.END) + 1
    some[30][method_bytes - 1] = 0  # an end byte, as above
    deliveries, _ = fed(b"".join(some), repeat(10_000))
    assert (deliveries.come[1], deliveries.body_bytes) == (50, sum(range(17, 67)))


def test_deliveries_after_a_gap_in_the_tags_are_counted():
    data = b"".join(delivery(tag, b"x" * 16) for tag in [1, 2, 3, 9, 10, 11])
    deliveries, _ = fed(data, [200, *[len(data)] * 2])
    assert deliveries.come[1] == 6


def test_two_long_deliveries_are_not_counted_as_three():
    one = len(delivery(1, b"x" * 16))
    longer = delivery(2, b"y" * (16 + one))
    assert len(longer) == 2 * one
    data = delivery(1, b"x" * 16) + longer + delivery(3, b"x" * 16)
    deliveries, _ = fed(data, [one, len(data)])
    assert (deliveries.come[1], deliveries.body_bytes) == (3, 48 + one)


@pytest.mark.parametrize("size", [16, 40, 10_000])
@pytest.mark.parametrize("piece", [61, 1 << 16])
def test_ages_of_stamped_messages_are_measured(size, piece):
    sent = now_ns() - 1_000_000
    body = struct.pack(">8sQ", MARK, sent).ljust(size, b"x")
    foreign = struct.pack(">8sQ", b"another!", sent).ljust(size, b"x")
    bodies = [body, body, body, foreign, body, foreign, body]
    data = b"".join(delivery(tag, one) for tag, one in enumerate(bodies, 1))
    deliveries, _ = fed(data, [len(data) // 7, *[piece] * (len(data) // piece + 2)], mark=MARK)
    assert deliveries.come[1] == 7
    assert len(deliveries.ages_ns) == 5
    assert all(1_000_000 <= age < 10**9 for age in deliveries.ages_ns)


def test_messages_too_small_for_a_stamp_have_no_age():
    data = b"".join(delivery(tag, MARK) for tag in range(1, 9))
    deliveries, _ = fed(data, [100, len(data)], mark=MARK)
    assert (deliveries.come[1], deliveries.ages_ns) == (8, [])


def test_invalid_frames_are_reported():
    with pytest.raises(PerfError, match="end byte"):
        fed(b"\x01\x00\x01\x00\x00\x00\x04\x00\x0a\x00\x0a\x00", [100])
    with pytest.raises(PerfError, match="more than was negotiated"):
        fed(b"\x03\x00\x01\xff\x00\x00\x04\x00\x0a\x00\x0a\x00", [100])


def by_channel(counts, chance):
    """Return deliveries of several channels in random order, and the bytes of each."""
    tags = [0] * len(counts)
    order = [channel for channel, count in enumerate(counts, 1) for _ in range(count)]
    chance.shuffle(order)
    found = []
    for channel in order:
        tags[channel - 1] += 1
        found.append(delivery(tags[channel - 1], b"x" * 16, channel=channel))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_deliveries_are_counted_per_channel(seed):
    chance = random.Random(seed)
    counts = [chance.randrange(40) for _ in range(chance.randint(2, 12))]
    data = b"".join(by_channel(counts, chance))
    deliveries, _ = fed(data, iter(lambda: chance.randint(1, 2000), 0), channels=len(counts))
    assert deliveries.come[1:] == counts


def test_equal_deliveries_of_several_channels_parse_only_the_last():
    some = by_channel([20, 30, 10], random.Random(1))
    looked_at = {max(at for at, one in enumerate(some) if one[2] == channel) for channel in (1, 2, 3)}
    unseen = next(at for at in range(1, len(some)) if at not in looked_at)
    data = bytearray(b"".join(some))
    each = len(some[0])
    data[(unseen + 1) * each - 1] = 0  # an end byte, as above
    deliveries, _ = fed(data, [each, len(data)], channels=3)
    assert deliveries.come[1:] == [20, 30, 10]


def test_deliveries_with_interleaved_frames_are_counted():
    whole = [delivery(tag, b"x" * 16, channel=channel) for tag in (1, 2) for channel in (1, 2)]
    head = len(whole[0]) - 24  # its body frame is 24 bytes
    mixed = b"".join([one[:head] for one in whole[:2]] + [one[head:] for one in whole[:2]])
    deliveries, _ = fed(mixed + whole[2] + whole[3], [len(mixed), 1000], channels=2)
    assert deliveries.come[1:] == [2, 2]


def test_deliveries_on_channels_above_255_are_counted():
    data = b"".join(delivery(tag, b"x" * 16, channel=channel) for tag in range(1, 30) for channel in (1, 257))
    deliveries, _ = fed(data, [300, len(data)], channels=300)
    assert (deliveries.come[1], deliveries.come[257], sum(deliveries.come)) == (29, 29, 58)


@pytest.mark.parametrize("seed", range(20))
def test_ages_are_measured_on_several_channels_for_bodies_of_all_sizes(seed):
    chance = random.Random(seed)
    tags, sizes, data = [0] * 4, [], b""
    for _ in range(chance.randrange(20, 80)):
        channel, size = chance.randrange(1, 4), chance.choice([0, 16, 16, 50, 51, 400, chance.randrange(16, 300)])
        tags[channel] += 1
        sizes.append(size)
        body = struct.pack(">8sQ", MARK, now_ns() - 1_000_000).ljust(size, b"x") if size else b""
        data += delivery(tags[channel], body, 256, channel=channel)
        data += frames.HEARTBEAT_FRAME * (chance.random() < 0.05)
    deliveries, others = fed(data, iter(lambda: chance.randint(1, 3000), 0), mark=MARK, channels=3)
    assert (deliveries.come, deliveries.body_bytes) == ([0, *tags[1:]], sum(sizes))
    assert len(deliveries.ages_ns) == sum(size > 0 for size in sizes)
    assert all(1_000_000 <= age < 10**10 for age in deliveries.ages_ns)
    assert deliveries.rest() == b""
    assert others == []


def test_message_is_counted_when_it_is_complete():
    data = delivery(1, b"x" * 30) + delivery(2, b"y" * 300)
    first = len(delivery(1, b"x" * 30))
    for size in range(first, len(data)):
        deliveries, _ = fed(data[:size], [size])
        assert (deliveries.come[1], deliveries.body_bytes) == (1, 30)


def test_message_larger_than_the_buffer_is_counted():
    data = delivery(1, b"x" * 30) + delivery(2, b"y" * 200_000, 4096) + delivery(3, b"x" * 31)
    deliveries, _ = fed(data, repeat(10_000))
    assert (deliveries.come[1], deliveries.body_bytes) == (3, 200_061)


@pytest.mark.parametrize("frame_max", [4096, 8192])
def test_age_of_a_message_is_measured_at_its_first_body_frame(frame_max):
    body = struct.pack(">8sQ", MARK, now_ns()).ljust(10_000, b"x")
    data = delivery(1, body, frame_max)
    deliveries, _ = fed(data[:-1000], repeat(10_000), mark=MARK)
    assert (deliveries.come[1], len(deliveries.ages_ns)) == (0, 1)
