import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.plan import Publishing
from amqpbroker.cli.perf.pool import Pool
from amqpbroker.cli.perf.publisher import Outstanding, Publisher
from amqpbroker.cli.perf.schedule import Steady, Step
from amqpbroker.cli.perf.template import Kind, Template, Templates
from amqpbroker.cli.perf.variety import Variety
from amqpbroker.wire import frames, methods
from tests.cli.perf.link import FakeLink
from tests.cli.perf.publishes import parsed


def test_single_and_multiple_confirms_are_counted():
    outstanding = Outstanding()
    outstanding.confirmed(2, multiple=False, refused=False)
    outstanding.confirmed(3, multiple=True, refused=False)
    assert (outstanding.answered, outstanding.refused) == (3, 0)


def test_a_publish_that_is_confirmed_twice_counts_once():
    outstanding = Outstanding()
    for _ in range(2):
        outstanding.confirmed(1, multiple=False, refused=False)
        outstanding.confirmed(4, multiple=True, refused=True)
        outstanding.confirmed(6, multiple=False, refused=False)
        outstanding.confirmed(6, multiple=False, refused=True)
    assert (outstanding.answered, outstanding.refused) == (5, 3)


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans(), st.booleans()), max_size=40))
def test_confirms_are_counted_like_a_set(told):
    outstanding, times = Outstanding(timed=True), []
    outstanding.published(1, list(range(101, 131)))
    answered, refused = set(), 0
    for tag, multiple, is_refused in told:
        new = set(range(1 if multiple else tag, tag + 1)) - answered
        answered |= new
        refused += len(new) * is_refused
        times = outstanding.confirmed(tag, multiple, is_refused)
        assert sorted(times) == sorted(100 + one for one in new)
        assert (outstanding.answered, outstanding.refused) == (len(answered), refused)


MARK = b"thisrun!"


def method(name, channel=1, **arguments):
    return frames.frame(frames.METHOD, channel, methods.encode(name, **arguments))


def publisher(mark=b"", chunk=10, channels=1, **work):
    kind = Kind("", "q", 20, {}, mark=mark)
    each = Template(kind, 4096).each
    link = FakeLink()
    templates = [Templates([Template(kind, 4096, each * chunk, channel)]) for channel in range(1, channels + 1)]
    return Publisher(link, Publishing(1, (kind,), **work), templates, bool(mark)), link, each


def channels_of(data):
    """Return the number of publishes of each channel; fail unless all are whole and in sequence."""
    found = Counter()
    kind = Kind("", "q", 20, {})
    each = Template(kind, 4096).each
    for at in range(0, len(data), each):
        _, channel, _ = frames.FRAME_HEAD.unpack_from(data, at)
        assert data[at : at + each] == bytes(Template(kind, 4096, each, channel).next_publishes(1))
        found[channel] += 1
    return found


def test_publisher_stops_at_its_limit():
    some, link, each = publisher(limit=25)
    some.begin(0.0)
    assert len(link.sent) == 25 * each
    assert (some.counts()["published"], some.done, some.writes) == (25, True, False)


def test_only_whole_messages_count_as_published():
    some, link, each = publisher(limit=25)
    link.takes = 12 * each + 1
    some.begin(0.0)
    assert (some.counts()["published"], some.done, some.writes) == (12, False, True)
    link.takes = each - 1
    some.due(0.0)
    assert some.counts()["published"] == 13
    link.takes = 1 << 20
    some.due(0.0)
    assert (some.counts()["published"], some.done) == (25, True)
    assert len(link.sent) == 25 * each


def test_confirms_allow_further_publishes():
    some, link, _ = publisher(limit=100, window=8)
    some.begin(0.0)
    assert (some.counts()["published"], some.writes) == (8, False)
    link.incoming = method("basic.ack", delivery_tag=1)
    some.readable()
    assert some.counts()["published"] == 8  # not a write for each confirm
    link.incoming = method("basic.ack", delivery_tag=5, multiple=True) + method("basic.nack", delivery_tag=7)
    some.readable()
    assert some.counts()["published"] == 14
    assert some.counts() == {"published": 14, "published_bytes": 280, "returned": 0, "confirmed": 5, "refused": 1}


@pytest.mark.parametrize("window", [1, 2, 3, 100])
def test_publisher_is_done_when_all_messages_are_confirmed(window):
    some, link, _ = publisher(limit=10, window=window)
    some.begin(0.0)
    for _ in range(10):
        assert not some.done
        link.incoming = method("basic.ack", delivery_tag=some.counts()["published"], multiple=True)
        some.readable()
        if some.counts()["published"] == 10 and some.counts()["confirmed"] == 10:
            break
    assert some.done


def test_confirms_and_returns_can_be_split_at_any_byte():
    told = method("basic.ack", delivery_tag=2, multiple=True) + frames.HEARTBEAT_FRAME
    told += method("basic.return", reply_code=312, reply_text="NO_ROUTE") + frames.content(1, b"\0\0", b"body", 4096)
    told += method("basic.ack", delivery_tag=3)
    for split in range(1, len(told)):
        some, link, _ = publisher(limit=3, window=3)
        some.begin(0.0)
        for piece in (told[:split], told[split:]):
            link.incoming = piece
            some.readable()
        assert some.counts() == {"published": 3, "published_bytes": 60, "returned": 1, "confirmed": 3, "refused": 0}
        assert some.done


def test_a_blocked_connection_publishes_nothing():
    some, link, _ = publisher(limit=100, window=10)
    some.begin(0.0)
    link.incoming = method("connection.blocked", 0, reason="low on disk")
    some.readable()
    assert some.blocked == "low on disk"
    link.incoming = method("basic.ack", delivery_tag=10, multiple=True)
    some.readable()
    assert (some.counts()["published"], some.writes) == (10, False)
    link.incoming = method("connection.unblocked", 0)
    some.readable()
    assert (some.counts()["published"], some.blocked) == (20, "")
    assert some.blocked_s > 0


def test_a_finished_publisher_stays_finished_when_blocked():
    some, link, _ = publisher(limit=5)
    some.begin(0.0)
    link.incoming = method("connection.blocked", 0, reason="low on disk")
    some.readable()
    assert (some.done, some.blocked) == (True, "low on disk")


def test_blocked_publisher_is_done_after_last_confirm():
    some, link, _ = publisher(limit=5, window=5)
    some.begin(0.0)
    link.incoming = method("connection.blocked", 0, reason="low on disk")
    some.readable()
    assert not some.done
    link.incoming = method("basic.ack", delivery_tag=5, multiple=True)
    some.readable()
    assert some.done


@pytest.mark.parametrize(
    "stop",
    [method("connection.blocked", 0, reason="low on disk"), method("channel.flow", active=False)],
    ids=["blocked", "flow"],
)
def test_publisher_stopped_by_blocked_or_flow_does_not_wake(monkeypatch, stop):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    some, link, _ = publisher(pace=Steady(10.0))
    some.begin(now)
    assert some.wake == pytest.approx(100.1)
    link.incoming = stop
    some.readable()
    assert some.wake == float("inf")


def test_channel_flow_is_answered_and_obeyed():
    some, link, _ = publisher(window=10)
    some.begin(0.0)
    link.sent = b""
    link.incoming = method("channel.flow", active=False) + method("basic.ack", delivery_tag=10, multiple=True)
    some.readable()
    assert link.sent == method("channel.flow-ok", active=False)
    link.incoming = method("channel.flow", active=True)
    some.readable()
    assert link.sent.startswith(method("channel.flow-ok", active=False) + method("channel.flow-ok", active=True))
    assert some.counts()["published"] == 20


@pytest.mark.parametrize("name", ["channel.close", "connection.close"])
def test_close_by_the_broker_is_an_error_with_its_reply_text(name):
    some, link, _ = publisher(window=1)
    some.begin(0.0)
    link.incoming = method(name, reply_code=404, reply_text="NOT_FOUND - no exchange 'x' in vhost '/'")
    with pytest.raises(PerfError, match=r"127.0.0.1:5672: the broker closed the .*: 404 NOT_FOUND - no exchange 'x'"):
        some.readable()


def test_latencies_of_confirms_are_measured():
    some, link, _ = publisher(mark=MARK, limit=5, window=5)
    some.begin(0.0)
    link.incoming = method("basic.ack", delivery_tag=2) + method("basic.ack", delivery_tag=4, multiple=True)
    some.readable()
    assert some.latencies()["confirm"].count == 4
    link.incoming = method("basic.ack", delivery_tag=5)
    some.readable()
    assert some.latencies()["confirm"].count == 1
    assert some.latencies()["confirm"].count == 0


def test_rate_limited_publisher_sends_each_message_when_it_is_due(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    some, _, _ = publisher(pace=Steady(10.0))
    some.begin(now)
    assert some.counts()["published"] == 1
    assert some.wake == pytest.approx(100.1)
    now = 100.31
    some.due(now)
    assert some.counts()["published"] == 4
    assert some.wake == pytest.approx(100.4)


def test_body_size_changes_with_the_next_message_started(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    kinds = [Kind("", "q", size, {}) for size in (20, 500)]
    templates = Templates([Template(kind, 4096) for kind in kinds], [Step(20, 1.0), Step(500, 1.0)])
    small, large = (Template(kind, 4096).each for kind in kinds)
    link = FakeLink()
    some = Publisher(link, Publishing(1, tuple(kinds), pace=Steady(10.0)), [templates], False)
    link.takes = small // 2
    some.begin(now)
    now = 101.05
    link.takes = 0
    some.due(now)
    assert some.counts()["published"] == 0
    link.takes = 1 << 20
    some.due(now)
    assert some.counts()["published"] == 11
    assert len(link.sent) == small + 10 * large
    now = 102.0
    some.due(now)
    assert len(link.sent) == small + 10 * large + 10 * small


def test_each_channel_publishes_up_to_its_limit():
    some, link, _ = publisher(channels=3, limit=25)
    some.begin(0.0)
    assert channels_of(link.sent) == {1: 25, 2: 25, 3: 25}
    assert (some.counts()["published"], some.done, some.writes) == (75, True, False)


def test_channels_rotate_while_the_socket_accepts_part_of_the_data():
    some, link, each = publisher(channels=2)
    link.takes = 0
    some.begin(0.0)
    assert (some.counts()["published"], some.writes) == (0, True)
    for _ in range(40):
        link.takes = 9 * each + 1
        some.due(0.0)
        assert some.counts()["published"] == len(link.sent) // each
    assert all(count > 100 for count in channels_of(link.sent[: -(len(link.sent) % each)]).values())


def test_confirms_split_at_any_byte_are_counted_for_their_channel():
    told = method("basic.ack", 2, delivery_tag=3, multiple=True) + method("basic.nack", 1, delivery_tag=1)
    told += frames.HEARTBEAT_FRAME + method("basic.ack", 1, delivery_tag=3, multiple=True)
    for split in range(1, len(told)):
        some, link, _ = publisher(channels=2, limit=3, window=3)
        some.begin(0.0)
        for piece in (told[:split], told[split:]):
            link.incoming = piece
            some.readable()
        assert some.counts() == {"published": 6, "published_bytes": 120, "returned": 0, "confirmed": 5, "refused": 1}
        assert some.done


def test_a_blocked_connection_publishes_on_no_channel():
    some, link, _ = publisher(channels=2, window=5)
    some.begin(0.0)
    link.incoming = method("connection.blocked", 0, reason="low on disk")
    link.incoming += b"".join(method("basic.ack", channel, delivery_tag=5, multiple=True) for channel in (1, 2))
    some.readable()
    assert (some.blocked, some.counts()["published"], some.writes) == ("low on disk", 10, False)
    link.incoming = method("connection.unblocked", 0)
    some.readable()
    assert (some.blocked, some.counts()["published"]) == ("", 20)
    assert some.blocked_s > 0


def test_channel_flow_stops_only_its_channel():
    some, link, _ = publisher(channels=2, window=5)
    some.begin(0.0)
    link.incoming = method("channel.flow", 1, active=False)
    link.incoming += b"".join(method("basic.ack", channel, delivery_tag=5, multiple=True) for channel in (1, 2))
    some.readable()
    assert (some.counts()["published"], some.writes) == (15, False)
    link.incoming = method("channel.flow", 1, active=True)
    some.readable()
    assert some.counts()["published"] == 20


def test_publisher_wakes_for_the_channel_that_is_due_first(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    some, _, _ = publisher(channels=2, pace=Steady(10.0))
    some.begin(now)
    assert some.counts()["published"] == 2
    assert some.wake == pytest.approx(100.1)
    now = 100.31
    some.due(now)
    assert some.counts()["published"] == 8


def test_finish_sends_the_rest_of_messages_and_keeps_partly_read_frames():
    some, link, each = publisher(channels=2, limit=2)
    link.takes = 5
    some.begin(0.0)
    link.incoming = method("basic.ack", 1, delivery_tag=1)[:9]
    some.readable()
    link.comes_while_closing["basic.return"] = 3
    assert some.finish(1.0)
    assert (len(link.sent), len(link.unread)) == (2 * each, 9)
    assert some.counts()["returned"] == 3


def test_outstanding_confirms_are_waited_for_at_the_end():
    some, link, each = publisher(window=10)
    some.begin(0.0)
    some.wind_up(1.0)
    assert not some.done
    link.incoming = method("basic.ack", delivery_tag=9, multiple=True)
    some.readable()
    assert not some.done
    link.incoming = method("basic.nack", delivery_tag=10)
    some.readable()
    assert some.done
    assert (some.counts()["published"], len(link.sent)) == (10, 10 * each)
    assert (some.counts()["confirmed"], some.counts()["refused"]) == (9, 1)


def test_partly_sent_message_is_completed_at_the_end():
    some, link, each = publisher(window=10)
    link.takes = each // 2
    some.begin(0.0)
    link.takes = 1 << 20
    some.wind_up(1.0)
    assert len(link.sent) == 10 * each
    assert not some.done
    link.incoming = method("basic.ack", delivery_tag=10, multiple=True)
    some.readable()
    assert some.done


def test_publisher_without_confirms_ends_at_once():
    some, _, _ = publisher(pace=Steady(10.0))
    some.begin(0.0)
    some.wind_up(1.0)
    assert some.done


def test_blocked_publisher_is_done_at_the_end_of_the_run():
    some, link, _ = publisher(window=10)
    some.begin(0.0)
    link.incoming = method("connection.blocked", 0, reason="low on disk")
    some.readable()
    some.wind_up(1.0)
    assert some.done


def test_published_bytes_are_counted_for_changing_body_sizes(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    kinds = [Kind("", "q", size, {}) for size in (20, 500)]
    templates = Templates([Template(kind, 4096) for kind in kinds], [Step(20, 1.0), Step(500, 1.0)])
    link = FakeLink()
    some = Publisher(link, Publishing(1, tuple(kinds), pace=Steady(10.0)), [templates], False)
    some.begin(now)
    now = 101.05
    link.takes = 5
    some.due(now)
    assert (some.counts()["published"], some.counts()["published_bytes"]) == (1, 20)
    link.takes = 1 << 20
    some.due(now)
    assert (some.counts()["published"], some.counts()["published_bytes"]) == (11, 20 + 10 * 500)


def test_channels_start_after_a_random_delay(monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    delays = iter([3.0, 1.5])
    monkeypatch.setattr("random.uniform", lambda least, most: next(delays) if (least, most) == (0, 5.0) else None)
    some, _, _ = publisher(channels=2, pace=Steady(2.0), start_delay_s=5.0)
    some.begin(now)
    assert (some.counts()["published"], some.wake, some.writes) == (0, 101.5, False)
    now = 101.5
    some.due(now)
    assert (some.counts()["published"], some.wake) == (1, 102.0)
    now = 103.0
    some.due(now)
    assert some.counts()["published"] == 4 + 1


def test_publisher_stopped_before_its_start_delay_sends_nothing():
    some, link, _ = publisher(window=5, start_delay_s=1e9)
    some.begin(time.monotonic())
    some.wind_up(time.monotonic())
    assert (some.done, link.sent) == (True, b"")


def test_messages_of_random_sizes_are_counted_when_they_are_sent_whole():
    kind = Kind("", "q", 0, {}, variety=Variety(sizes=(0, 500), keys=True))
    link = FakeLink()
    some = Publisher(link, Publishing(1, (kind,)), [Templates([Pool(kind, kind.variety, 50, 4096)])], False)
    link.takes = 0
    some.begin(0.0)
    for _ in range(60):
        link.takes = 1111
        some.due(0.0)
        whole = publishes_in(link.sent)
        assert some.counts()["published"] == len(whole)
        assert some.counts()["published_bytes"] == sum(len(body) for _, _, body in whole)
    assert len(whole) > 150
    assert len({arguments["routing_key"] for arguments, _, _ in whole}) == len(whole)


def publishes_in(data):
    """Return the number of whole publishes."""
    at, end, size = 0, 0, 0
    while at + 7 <= len(data):
        kind, _, length = frames.FRAME_HEAD.unpack_from(data, at)
        if at + length + frames.OVERHEAD > len(data):
            break
        if kind == frames.HEADER:
            size = int.from_bytes(data[at + 11 : at + 19], "big")
        at += length + frames.OVERHEAD
        size -= length if kind == frames.BODY else 0
        if kind != frames.METHOD and not size:
            end = at
    return parsed(data[:end])
