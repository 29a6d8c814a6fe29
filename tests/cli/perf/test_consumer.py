import struct

import pytest

from amqpbroker.cli.perf.consumer import Consumer, SingleAcks, back_up_to, cancelling, up_to
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.plan import Consuming
from amqpbroker.cli.perf.template import now_ns
from amqpbroker.wire import frames, methods
from tests.cli.perf.link import FakeLink


def ack(tag, multiple=False, channel=1):
    return frames.frame(frames.METHOD, channel, methods.encode("basic.ack", delivery_tag=tag, multiple=multiple))


def test_multiple_ack_is_encoded():
    assert up_to(7) == ack(7, multiple=True)


@pytest.mark.parametrize(
    ("first", "last"), [(1, 1), (1, 3), (255, 257), (65_534, 65_537), ((1 << 24) - 2, (1 << 24) + 1)]
)
def test_single_acks_of_a_range_are_encoded(first, last):
    assert SingleAcks().between(first, last) == b"".join(ack(tag) for tag in range(first, last + 1))


def test_single_acks_of_consecutive_ranges_are_encoded():
    acks, first = SingleAcks(), 65_400
    for last in (65_400, 65_500, 65_535, 65_536, 70_000):
        assert acks.between(first, last) == b"".join(ack(tag) for tag in range(first, last + 1))
        first = last + 1


def test_empty_range_of_deliveries_has_no_acks():
    assert SingleAcks().between(5, 4) == b""


def test_acks_on_another_channel_are_encoded():
    assert up_to(7, 600) == ack(7, multiple=True, channel=600)
    assert SingleAcks(600).between(255, 256) == ack(255, channel=600) + ack(256, channel=600)


def test_requeue_is_encoded_as_a_multiple_nack():
    back = methods.encode("basic.nack", delivery_tag=7, multiple=True, requeue=True)
    assert back_up_to(7, 2) == frames.frame(frames.METHOD, 2, back)


def test_cancel_is_encoded_with_nowait():
    cancel = methods.encode("basic.cancel", consumer_tag="c", nowait=True)
    assert cancelling("c", 2) == frames.frame(frames.METHOD, 2, cancel)


MARK = b"thisrun!"


def delivery(channel, tag, body=b"x" * 16):
    deliver = methods.encode("basic.deliver", consumer_tag="perf", delivery_tag=tag)
    return frames.frame(frames.METHOD, channel, deliver) + frames.content(channel, b"\0\0", body, 4096)


def deliveries(first, last, body=b"x" * 16):
    return b"".join(delivery(1, tag, body) for tag in range(first, last + 1))


def consumer(**work):
    link = FakeLink()
    some = Consumer(link, Consuming(("q",), **work), [f"q{number}" for number in range(1, 10)])
    some.begin(100.0)
    return some, link


def read(some, link, data):
    link.incoming = data
    while link.incoming:
        some.readable()


def test_consumer_acknowledges_each_message():
    some, link = consumer()
    read(some, link, deliveries(1, 3))
    read(some, link, deliveries(4, 9))
    assert some.counts()["consumed"] == 9
    assert link.sent == SingleAcks().between(1, 9)


def test_consumer_acknowledges_several_messages_with_one_frame():
    some, link = consumer(ack_every=5)
    read(some, link, deliveries(1, 4))
    assert link.sent == b""
    read(some, link, deliveries(5, 7))
    assert link.sent == up_to(7)
    read(some, link, deliveries(8, 12))
    assert link.sent == up_to(7) + up_to(12)


def test_none():
    some, link = consumer(auto_ack=True)
    read(some, link, deliveries(1, 2000))
    assert (some.counts(), link.sent) == ({"consumed": 2000, "consumed_bytes": 32_000}, b"")


@pytest.mark.parametrize("ack_every", [0, 100])
def test_deliveries_beyond_the_limit_are_not_counted_or_acknowledged(ack_every):
    some, link = consumer(limit=7, ack_every=ack_every)
    read(some, link, deliveries(1, 5))
    assert not some.done
    read(some, link, deliveries(6, 20))
    assert some.done
    assert some.counts()["consumed"] == 7
    sent = up_to(7) if ack_every else SingleAcks().between(1, 7)
    sent += cancelling("perf") + back_up_to(20)
    assert link.sent == sent
    some.due(200.0)
    assert link.sent == sent
    read(some, link, deliveries(21, 30))
    assert link.sent == sent + back_up_to(30)


def test_consumer_is_limited_to_its_rate(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    some, link = consumer(rate=10.0)
    read(some, link, deliveries(1, 20))
    assert some.counts()["consumed"] == 0
    assert some.wake == pytest.approx(100.1)
    now = 101.05
    some.due(now)
    assert some.counts()["consumed"] == 10
    assert link.sent == SingleAcks().between(1, 10)
    read(some, link, deliveries(21, 1020))
    assert not some.reads
    now = 300.0
    some.due(now)
    assert (some.counts()["consumed"], some.reads, some.wake) == (1020, True, float("inf"))


def test_consumer_measures_latencies():
    some, link = consumer(mark=MARK)
    read(some, link, deliveries(1, 4, struct.pack(">8sQ", MARK, now_ns() - 5_000_000)))
    found = some.latencies()["message"]
    assert found.count == 4
    assert found.shortest_ns >= 5_000_000
    assert some.latencies()["message"].count == 0


def test_cancel_by_the_broker_is_an_error():
    some, link = consumer(channels=2)
    with pytest.raises(PerfError, match=r"127.0.0.1:5672: the broker cancelled the consumer of q2; was that deleted\?"):
        read(some, link, frames.frame(frames.METHOD, 2, methods.encode("basic.cancel", consumer_tag="perf")))


def test_each_channel_acknowledges_its_own_deliveries():
    some, link = consumer(channels=2, ack_every=2, limit=3)
    read(some, link, delivery(2, 1) + delivery(1, 1) + delivery(1, 2) + delivery(2, 2) + delivery(2, 3))
    assert (some.counts()["consumed"], some.done) == (5, False)
    acks = up_to(2, 1) + up_to(3, 2) + cancelling("perf", 2)
    assert link.sent == acks
    read(some, link, delivery(1, 3))
    assert some.done
    some.finish(1.0)
    assert link.sent == acks + up_to(3, 1) + cancelling("perf", 1)


def test_each_channel_acknowledges_its_last_deliveries_at_the_end():
    some, link = consumer(channels=2, ack_every=10)
    read(some, link, delivery(2, 1) + delivery(1, 1) + delivery(2, 2) + b"half")
    some.finish(1.0)
    assert link.sent == up_to(1, 1) + up_to(2, 2)
    assert link.unread == b"half"


def test_rate_of_a_consumer_applies_to_each_channel(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    some, link = consumer(channels=2, rate=10.0)
    read(some, link, b"".join(delivery(1, tag) for tag in range(1, 4)) + delivery(2, 1))
    assert some.counts()["consumed"] == 0
    now = 100.25
    some.due(now)
    assert some.counts()["consumed"] == 3
    assert some.wake == pytest.approx(100.3)
    assert link.sent == SingleAcks(1).between(1, 2) + SingleAcks(2).between(1, 1)


def test_rate_limited_consumer_does_not_make_up_for_idle_time(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    some, link = consumer(rate=10.0)
    now = 150.0
    read(some, link, deliveries(1, 30))
    assert some.counts()["consumed"] == 0
    assert some.wake == pytest.approx(150.1)
    now = 151.05
    some.due(now)
    assert some.counts()["consumed"] == 10
    now = 153.05
    some.due(now)
    assert some.counts()["consumed"] == 30
    now = 170.0
    read(some, link, deliveries(31, 32))
    assert some.counts()["consumed"] == 30
    assert some.wake == pytest.approx(170.05)


def test_rate_limited_consumer_makes_up_for_lateness(monkeypatch):
    """A small prefetch limits the deliveries that arrive while the consumer is late."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    some, link = consumer(rate=10.0)
    read(some, link, deliveries(1, 2))
    now = 100.45
    some.due(now)
    assert some.counts()["consumed"] == 2
    read(some, link, deliveries(3, 6))
    assert some.counts()["consumed"] == 4
    assert some.wake == pytest.approx(100.5)


def test_consumer_duration_ends_with_the_last_message_within_the_limit(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    some, link = consumer(limit=7)
    now = 101.0
    read(some, link, deliveries(1, 7))
    now = 200.0
    read(some, link, deliveries(8, 20))
    assert some.last == 101.0


def test_bytes_of_deliveries_are_counted():
    some, link = consumer()
    read(some, link, deliveries(1, 5) + deliveries(6, 8, b"y" * 1000))
    assert some.counts() == {"consumed": 8, "consumed_bytes": 5 * 16 + 3 * 1000}


def test_bytes_beyond_the_limit_are_not_counted():
    some, link = consumer(limit=4)
    read(some, link, deliveries(1, 10))
    assert some.counts() == {"consumed": 4, "consumed_bytes": 64}


def test_consumed_bytes_are_0_without_messages():
    assert consumer()[0].counts() == {"consumed": 0, "consumed_bytes": 0}
