import pytest

from amqpbroker.cli.perf.pool import (
    BYTES,
    LEAST_POOL_MESSAGES,
    MESSAGES,
    POOL_MESSAGES,
    UNIQUE_KEY_BYTES,
    Pool,
    pool_size,
)
from amqpbroker.cli.perf.template import Kind
from amqpbroker.cli.perf.variety import Variety
from amqpbroker.wire.values import Field
from tests.cli.perf.publishes import parsed, stamps

MARK = b"thisrun!"


def kind(*, size=20, properties=(), **more):
    return Kind("ex", "key", size, dict(properties), **more)


def pool(variety, count=10, *, chunk_bytes=1 << 18, number=0, channel=1, **more):
    return Pool(kind(**more), variety, count, 4096, chunk_bytes, channel, number)


def taken(some, count, most=1 << 30):
    """Return a number of publishes, in calls of at most `most`."""
    found = []
    while len(found) < count:
        found += parsed(some.next_publishes(min(some.most, most, count - len(found))))
    return found


def keys(publishes):
    return [arguments["routing_key"] for arguments, _, _ in publishes]


def test_bodies_of_random_sizes_repeat_in_the_same_order():
    some = pool(Variety(sizes=(30, 300)), 100)
    first, again = taken(some, 100), taken(some, 100, most=7)
    assert first == again
    bodies = [body for _, _, body in first]
    assert len(set(bodies)) == 100
    sizes = [len(body) for body in bodies]
    assert 30 <= min(sizes) < 60
    assert 270 < max(sizes) <= 300
    assert all((arguments["exchange"], arguments["routing_key"]) == ("ex", "key") for arguments, _, _ in first)


def test_random_sizes_include_both_limits():
    sizes = {len(body) for _, _, body in taken(pool(Variety(sizes=(0, 2)), 100), 100)}
    assert sizes == {0, 1, 2}


def test_bodies_of_random_sizes_can_have_several_frames():
    some = pool(Variety(sizes=(5000, 20_000)), mark=MARK)
    publishes = parsed(some.next_stamped(10, list(range(10))))
    assert stamps(publishes) == [(MARK, number) for number in range(10)]
    assert max(len(body) for _, _, body in publishes) > 8000


@pytest.mark.parametrize("variety", [Variety(properties=True), Variety(keys=True), Variety(sizes=(20, 20))])
def test_messages_without_variety_are_the_same(variety):
    (arguments, properties, body), *_ = taken(pool(variety, properties={"delivery_mode": 2}, mandatory=True), 10)
    assert arguments["mandatory"]
    assert properties["delivery_mode"] == 2
    assert len(body) == 20
    assert (arguments["routing_key"] == "key") is not variety.keys
    assert (properties == {"delivery_mode": 2}) is not variety.properties
    assert (body == b"x" * 20) is (variety.sizes is None)


def test_given_properties_override_random_properties():
    given = {"message_type": b"mine", "headers": {"tenant": Field("I", 1), "more": Field("I", 2)}}
    for _, properties, _ in taken(pool(Variety(properties=True), properties=given), 10):
        assert properties["message_type"] == b"mine"
        assert list(properties["headers"]) == ["tenant", "attempt", "trace-id", "more"]
        assert properties["headers"]["tenant"] == Field("I", 1)


def test_priorities_rotate():
    some = pool(Variety(properties=True), 12, max_priority=2)
    assert [properties["priority"] for _, properties, _ in taken(some, 30)] == [0, 1, 2] * 10


@pytest.mark.parametrize("sizes", [None, (20, 40)])
@pytest.mark.parametrize("most", [1, 3, 1000])
def test_unique_keys_do_not_repeat_when_the_pool_restarts(sizes, most):
    found = keys(taken(pool(Variety(keys=True, sizes=sizes), 16), 16 * 300, most))
    assert len(set(found)) == len(found)
    assert all(key.startswith("key.0.") for key in found)
    assert found[0] == "key.0.00000000.0000"
    assert found[16 * 256 + 1] == "key.0.00000100.0001"


def test_pools_share_no_key_nor_message():
    first, other = (taken(pool(Variety(keys=True, sizes=(50, 50)), number=number, channel=1), 30) for number in (1, 11))
    assert not set(keys(first)) & set(keys(other))
    assert not {body for _, _, body in first} & {body for _, _, body in other}


def test_unique_key_adds_at_most_a_fixed_number_of_bytes():
    some = pool(Variety(keys=True), number=123_456_789)
    assert len(keys(taken(some, 1))[0]) == len("key") + UNIQUE_KEY_BYTES


def test_unique_key_with_an_empty_prefix_has_no_leading_dot():
    some = Pool(Kind("", "", 0, {}), Variety(keys=True), 10, 4096)
    assert keys(taken(some, 11))[::10] == ["0.00000000.0000", "0.00000001.0000"]


def test_pools_with_the_same_seed_send_the_same_messages():
    variety = Variety(7, (20, 500), properties=True, keys=True)
    assert taken(pool(variety), 30) == taken(pool(variety), 30)
    assert taken(pool(variety), 10) != taken(pool(Variety(8, (20, 500), properties=True, keys=True)), 10)


@pytest.mark.parametrize("variety", [Variety(properties=True), Variety(sizes=(16, 90)), Variety(keys=True)])
def test_messages_get_one_stamp_for_all_or_one_each(variety):
    some = pool(variety, mark=MARK)
    assert stamps(parsed(some.next_stamped(4, [0x0102030405060708]))) == [(MARK, 0x0102030405060708)] * 4
    assert stamps(parsed(some.next_stamped(3, [5, 6, 7]))) == [(MARK, 5), (MARK, 6), (MARK, 7)]
    assert stamps(parsed(some.next_stamped(3, [8]))) == [(MARK, 8)] * 3
    assert stamps(parsed(some.next_stamped(1, [9]))) == [(MARK, 9)]


def test_write_has_about_the_requested_size_and_at_least_one_message():
    some = pool(Variety(sizes=(20, 500)), 200, chunk_bytes=5000)
    lengths = []
    for _ in range(20):
        most = some.most
        lengths.append(len(some.next_publishes(most)))
        assert most >= 1
    assert 2500 < max(lengths) < 10_000
    assert pool(Variety(sizes=(5000, 6000)), chunk_bytes=100).most == 1


def test_unsent_messages_are_counted():
    some = pool(Variety(sizes=(0, 300)), 20)
    some.next_publishes(5)
    data = bytes(some.next_publishes(15))
    sizes = [len(body) for _, _, body in parsed(data)]
    assert some.last_bytes == sum(sizes)
    lengths = [len(pool_head(data, count)) for count in range(15, 0, -1)]
    whole = [len(data) - length for length in lengths]  # sent so much, so many are left: 0, 1, 2 ...
    for left, sent in enumerate(lengths):
        expected = left, sum(sizes[15 - left :])
        assert some.unsent(len(data) - sent) == expected
        if left:
            assert some.unsent(whole[left - 1] + 1) == expected


def pool_head(data, count):
    """Return the bytes of the first publishes."""
    for end in range(len(data) + 1):
        if data[end : end + 3] in (b"", b"\x01\x00\x01") and end:
            count -= 1
            if not count:
                return data[:end]
    raise AssertionError("not so many")


@pytest.mark.parametrize(
    ("some", "pools", "count"),
    [
        (kind(), 1, POOL_MESSAGES),
        (kind(), MESSAGES // POOL_MESSAGES, POOL_MESSAGES),
        (kind(), 100, MESSAGES // 100),
        (kind(), 1_000_000, LEAST_POOL_MESSAGES),
        (kind(body=b"x" * 100_000), 1, BYTES // 100_300),
        (kind(size=100_000), 2, BYTES // 200_600),
        (kind(variety=Variety(sizes=(0, 200_000))), 1, BYTES // 100_300),
        (kind(size=50_000_000), 1, LEAST_POOL_MESSAGES),
        (kind(max_priority=2), 1, 4098),
        (kind(max_priority=255), 1_000_000, 256),
    ],
)
def test_many_pools_and_large_messages_make_small_pools(some, pools, count):
    assert pool_size(some, pools) == count
