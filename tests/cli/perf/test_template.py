import struct

import pytest

from amqpbroker.cli.perf.template import Kind, Template
from amqpbroker.wire import frames, methods, properties

MARK = b"thisrun!"


def parsed(data, frame_max):
    """Publishes as (arguments of basic.publish, properties, body)."""
    at, found = 0, []
    while at < len(data):
        kind, channel, size = frames.FRAME_HEAD.unpack_from(data, at)
        assert channel == 1
        assert size + frames.OVERHEAD <= frame_max
        payload = bytes(data[at + 7 : at + 7 + size])
        at += size + frames.OVERHEAD
        assert data[at - 1] == frames.END
        if kind == frames.METHOD:
            found.append([methods.decode(methods.BY_NAME["basic.publish"], payload), None, b""])
        elif kind == frames.HEADER:
            found[-1][1] = (int.from_bytes(payload[4:12], "big"), properties.decode_properties(payload[12:]))
        else:
            found[-1][2] += payload
    for publish in found:
        size, publish[1] = publish[1]
        assert len(publish[2]) == size
    return found


def template(*, size=20, frame_max=4096, chunk_bytes=2000, **more):
    return Template(Kind("ex", "key", size, {"delivery_mode": 2}, **more), frame_max, chunk_bytes)


@pytest.mark.parametrize("size", [0, 1, 20, 4088, 4089, 10_000])
def test_publishes(size):
    some = template(size=size, mandatory=True)
    count = min(some.most, 3)
    publishes = parsed(some.take(count), 4096)
    assert len(publishes) == count
    for arguments, props, body in publishes:
        assert (arguments["exchange"], arguments["routing_key"], arguments["mandatory"]) == ("ex", "key", True)
        assert props == {"delivery_mode": 2}
        assert len(body) == size


def test_a_chunk_is_as_many_as_fit_but_at_least_one():
    some = template()
    assert some.each * some.most <= 2000 < some.each * (some.most + 1)
    assert len(some.take(some.most)) == some.each * some.most
    assert template(size=5000).most == 1


def test_priorities_take_turns_from_one_chunk_to_the_next():
    some = template(max_priority=2)
    taken = [parsed(some.take(count), 4096) for count in (2, 3, some.most, 1)]
    priorities = [props["priority"] for publishes in taken for _, props, _ in publishes]
    assert priorities == [at % 3 for at in range(6 + some.most)]


def stamps(publishes):
    return [struct.unpack(">8sQ", body[:16]) for _, _, body in publishes]


@pytest.mark.parametrize("max_priority", [None, 2])
def test_stamps_one_for_all_or_one_each(max_priority):
    some = template(mark=MARK, max_priority=max_priority)
    assert stamps(parsed(some.take_stamped(4, [0x0102030405060708]), 4096)) == [(MARK, 0x0102030405060708)] * 4
    assert stamps(parsed(some.take_stamped(3, [5, 6, 7]), 4096)) == [(MARK, 5), (MARK, 6), (MARK, 7)]
    assert stamps(parsed(some.take_stamped(1, [8]), 4096)) == [(MARK, 8)]


def test_a_stamp_in_a_body_of_several_frames():
    some = template(mark=MARK, size=10_000)
    (publish,) = parsed(some.take_stamped(1, [9]), 4096)
    assert stamps([publish]) == [(MARK, 9)]
    assert len(publish[2]) == 10_000


def test_a_body_that_is_given():
    some = template(size=0, body=b"as it is")
    assert some.size == 8
    assert [body for _, _, body in parsed(some.take(2), 4096)] == [b"as it is"] * 2
