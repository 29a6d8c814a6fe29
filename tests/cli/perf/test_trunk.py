from collections import Counter

import pytest

from amqpbroker.cli.perf.acknowledgements import cancelling, up_to
from amqpbroker.cli.perf.consumer import Consumer
from amqpbroker.cli.perf.deliveries import Deliveries
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.lane import Lane
from amqpbroker.cli.perf.pace import Steady
from amqpbroker.cli.perf.plan import Consuming, Publishing
from amqpbroker.cli.perf.publisher import Publisher
from amqpbroker.cli.perf.template import Kind, Template
from amqpbroker.cli.perf.templates import Templates
from amqpbroker.cli.perf.trunk import Trunk
from amqpbroker.wire import frames, methods
from tests.cli.perf.link import FakeLink

KIND = Kind("", "q", 20, {})
EACH = Template(KIND, 4096).each


def method(name, channel, **arguments):
    return frames.frame(frames.METHOD, channel, methods.encode(name, **arguments))


def delivery(channel, tag):
    deliver = method("basic.deliver", channel, consumer_tag="perf", delivery_tag=tag)
    return deliver + frames.content(channel, b"\0\0", b"body", 4096)


def publishers(channels=2, chunk=10, **work):
    link = FakeLink()
    lanes = [Lane(link) for _ in range(channels)]
    templates = [Templates([Template(KIND, 4096, EACH * chunk, channel)]) for channel in range(1, channels + 1)]
    publishing = Publishing(1, (KIND,), **work)
    roles = [Publisher(lane, publishing, some, False) for lane, some in zip(lanes, templates, strict=True)]
    return Trunk(link, lanes, roles), link


def consumers(**work):
    link = FakeLink()
    lanes = [Lane(link), Lane(link)]
    roles = [Consumer(lane, Consuming(("q",), **work), Deliveries(), at) for at, lane in enumerate(lanes, 1)]
    return Trunk(link, lanes, roles), link


def channels_of(data):
    """How many publishes each channel sent; fails unless they are whole, one after the other."""
    found, at = Counter(), 0
    while at < len(data):
        _, channel, _ = frames.FRAME_HEAD.unpack_from(data, at)
        expected = bytes(Template(KIND, 4096, EACH, channel).take(1))
        assert data[at : at + EACH] == expected
        found[channel] += 1
        at += EACH
    return found


def test_each_channel_publishes_up_to_its_limit():
    some, link = publishers(3, limit=25)
    some.begin(0.0)
    assert channels_of(link.sent) == {1: 25, 2: 25, 3: 25}
    assert (some.counts()["published"], some.done, some.writes) == (75, True, False)


def test_while_the_socket_takes_part_of_it_all_have_their_turn():
    some, link = publishers()
    link.takes = 0
    some.begin(0.0)
    assert (some.counts()["published"], some.writes) == (0, True)
    for _ in range(40):
        link.takes = 9 * EACH + 1
        some.due(0.0)
        assert some.counts()["published"] == len(link.sent) // EACH
    assert all(count > 100 for count in channels_of(link.sent[: -(len(link.sent) % EACH)]).values())


def test_confirms_split_anywhere_find_their_channel():
    told = method("basic.ack", 2, delivery_tag=3, multiple=True) + method("basic.nack", 1, delivery_tag=1)
    told += frames.HEARTBEAT_FRAME + method("basic.ack", 1, delivery_tag=3, multiple=True)
    for split in range(1, len(told)):
        some, link = publishers(limit=3, window=3)
        some.begin(0.0)
        for piece in (told[:split], told[split:]):
            link.incoming = piece
            some.readable()
        assert some.counts() == {"published": 6, "returned": 0, "confirmed": 5, "refused": 1}
        assert some.done


def test_a_blocked_connection_publishes_on_no_channel():
    some, link = publishers(window=5)
    some.begin(0.0)
    link.incoming = method("connection.blocked", 0, reason="low on disk")
    link.incoming += b"".join(method("basic.ack", channel, delivery_tag=5, multiple=True) for channel in (1, 2))
    some.readable()
    assert (some.blocked, some.counts()["published"], some.writes) == ("low on disk", 10, False)
    link.incoming = method("connection.unblocked", 0)
    some.readable()
    assert (some.blocked, some.counts()["published"]) == ("", 20)
    assert some.blocked_s > 0


def test_it_wakes_for_the_channel_that_is_due_first(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    some, _ = publishers(pace=Steady(10.0))
    some.begin(now)
    assert some.counts()["published"] == 2
    assert some.wake == pytest.approx(100.1)
    now = 100.31
    some.due(now)
    assert some.counts()["published"] == 8


def test_each_channel_acknowledges_what_it_got():
    some, link = consumers(ack_every=2, limit=3)
    some.begin(0.0)
    link.incoming = delivery(2, 1) + delivery(1, 1) + delivery(1, 2) + delivery(2, 2) + delivery(2, 3)
    some.readable()
    assert (some.counts()["consumed"], some.done) == (5, False)
    acks = up_to(2, 1) + up_to(3, 2) + cancelling("perf", 2)
    assert link.sent == acks
    link.incoming = delivery(1, 3)
    some.readable()
    assert some.done
    some.finish(1.0)
    assert link.sent == acks + up_to(3, 1) + cancelling("perf", 1)


def test_it_ends_with_what_is_sent_and_read_by_halves():
    some, link = publishers(limit=2)
    link.takes = 5
    some.begin(0.0)
    link.incoming = method("basic.ack", 1, delivery_tag=1)[:9]
    some.readable()
    link.comes_while_closing["basic.return"] = 3
    assert some.finish(1.0)
    assert (len(link.sent), len(link.unread)) == (2 * EACH, 9)
    assert some.counts()["returned"] == 3


def test_a_close_is_told():
    some, link = publishers()
    some.begin(0.0)
    link.incoming = method("channel.close", 2, reply_code=404, reply_text="NOT_FOUND - no queue 'x'")
    with pytest.raises(PerfError, match="the broker closed the channel: 404 NOT_FOUND - no queue 'x'"):
        some.readable()
