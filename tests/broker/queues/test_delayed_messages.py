"""Delayed returned messages: the container alone, and quorum queues with RabbitMQ 4.3's delayed retry."""

import itertools
import random
from typing import Any

import pytest

from amqpbroker.broker.queues.delayed_messages import DelayedMessages
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.read_retry import RETRY_MS
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS, Bounds
from tests.broker.queueing import (
    Subscriber,
    clock_of,
    declare,
    get,
    message,
    publish,
    ready,
    reasons,
    table,
    with_graves,
)
from tests.broker.storing import Node, bodies
from tests.fault_files import FlakyFiles
from tests.harness import make_broker

RETRY: dict[str, Any] = {"queue_type": "quorum", "delayed_retry_type": "all", "delayed_retry_min": 100}


@pytest.fixture
def vhost() -> Vhost:
    return vhost_of("4.3")


def vhost_of(series: str, **settings: Any) -> Vhost:
    compat = COMPATS[series].configured({"transient_nonexcl_queues": True})
    return make_broker(compat=compat, **settings).vhosts["/"]


def body_of(entry: Entry) -> bytes:
    return entry.message.body


def timers(clock: ManualClock) -> int:
    return len([each for each in clock._heap if each[2].callback is not None])


# --- container of delayed messages ------------------------------------------------------------------------------------


class Line(DelayedMessages):
    """Records released messages in `released`, one list for each release."""

    def __init__(self, vhost: Vhost, batch: int = 1000) -> None:
        self.released: list[list[bytes]] = []
        self._queue = declare(vhost, queue_type="quorum")
        super().__init__(
            vhost.clock,
            self._queue.ledger,
            lambda entries: self.released.append([body_of(entry) for entry in entries]),
            batch,
        )

    def put_one(self, sequence: int, delay_ms: int) -> None:
        due_ms = self._clock.wall_ms() + delay_ms
        self.add(Entry(message(b"%d" % sequence), self._queue, sequence, 0), due_ms)


def test_delayed_messages_are_released_in_order_when_due(vhost: Vhost) -> None:
    clock = clock_of(vhost)
    line = Line(vhost)
    for sequence, delay_ms in (5, 20), (1, 30), (4, 10), (3, 10), (2, 20):
        line.put_one(sequence, delay_ms)
    assert (line.count, line.size, timers(clock)) == (5, 5, 1)
    clock.advance(9)
    assert line.released == []
    clock.advance(1)
    assert line.released == [[b"3", b"4"]]
    assert (line.count, line.size, timers(clock)) == (3, 3, 1)
    clock.advance(20)
    assert line.released == [[b"3", b"4"], [b"2", b"5"], [b"1"]]
    assert (line.count, line.size, timers(clock)) == (0, 0, 0)


def test_delayed_messages_report_their_first_and_last_due_times(vhost: Vhost) -> None:
    clock = clock_of(vhost)
    now_ms = clock.now_ms()
    line = Line(vhost)
    assert (line.next_ms, line.last_ms) == (None, None)
    for sequence, delay_ms in (1, 20), (2, 50), (3, 10):
        line.put_one(sequence, delay_ms)
    assert (line.next_ms, line.last_ms) == (now_ms + 10, now_ms + 50)
    clock.advance(30)
    assert (line.next_ms, line.last_ms) == (now_ms + 50, now_ms + 50)
    clock.advance(20)
    assert (line.next_ms, line.last_ms) == (None, None)
    line.put_one(4, 1)
    assert (line.next_ms, line.last_ms) == (now_ms + 51, now_ms + 51)


def test_delayed_message_is_found_by_its_sequence(vhost: Vhost) -> None:
    now_ms = clock_of(vhost).now_ms()
    line = Line(vhost)
    for sequence, delay_ms in (1, 20), (2, 50):
        line.put_one(sequence, delay_ms)
    found = line.find(2)
    assert found is not None
    assert (found[0], body_of(found[1])) == (now_ms + 50, b"2")
    assert (line.find(3), line.count) == (None, 2)


def test_delayed_messages_are_released_in_batches(vhost: Vhost) -> None:
    clock = clock_of(vhost)
    line = Line(vhost, batch=2)
    for sequence in range(5):
        line.put_one(sequence, 10)
    clock.advance(10)
    assert [len(entries) for entries in line.released] == [2, 2, 1]
    assert list(itertools.chain(*line.released)) == [b"0", b"1", b"2", b"3", b"4"]


def test_cleared_delayed_messages_are_not_released(vhost: Vhost) -> None:
    clock = clock_of(vhost)
    line = Line(vhost)
    for sequence in 1, 2:
        line.put_one(sequence, 10)
    assert sorted(body_of(entry) for _, entry in line.with_due_times()) == [b"1", b"2"]
    assert sorted(map(body_of, line.clear())) == [b"1", b"2"]
    assert (line.count, line.size, line.next_ms, line.last_ms, timers(clock)) == (0, 0, None, None, 0)
    clock.advance(10)
    assert line.released == []


# --- queues -----------------------------------------------------------------------------------------------------------


def take_back(queue: LocalQueue, *, failed: bool = False) -> Entry:
    """Get the next message and return it to the queue."""
    entry = get(queue)
    queue.requeue([entry], failed)
    return entry


def counts(queue: LocalQueue) -> tuple[int, int, int, int]:
    """Return the numbers of messages: all, ready, unacknowledged, delayed."""
    info = queue.info()
    return info.messages, info.messages_ready, info.messages_unacknowledged, info.messages_delayed


def test_returned_message_is_ready_after_the_delay(vhost: Vhost) -> None:
    queue = declare(vhost, **RETRY)
    publish(queue, b"1", b"2")
    take_back(queue)
    assert ready(queue) == [b"2"]
    assert (counts(queue), queue.ready_count, queue.delayed_count) == ((2, 1, 0, 1), 1, 1)
    info = queue.info()
    assert (info.message_bytes, info.message_bytes_ready, info.message_bytes_unacknowledged) == (2, 2, 0)
    clock_of(vhost).advance(99)
    assert ready(queue) == [b"2"]
    clock_of(vhost).advance(1)
    assert ready(queue) == [b"1", b"2"]
    assert counts(queue) == (2, 2, 0, 0)


@pytest.mark.parametrize("series", ["4.0", "4.1", "4.2"])
def test_returned_message_is_not_delayed_before_release_4_3_without_extensions(series: str) -> None:
    compat = COMPATS[series].configured({}, extensions=False)
    queue = declare(make_broker(compat=compat).vhosts["/"], **RETRY)
    publish(queue, b"1")
    take_back(queue)
    assert (ready(queue), queue.dispatcher.delayed, queue.info().delayed_retry) == ([b"1"], None, None)


@pytest.mark.parametrize(
    ("retry_type", "failed", "delayed"),
    [
        ("all", False, True),
        ("all", True, True),
        ("failed", False, False),
        ("failed", True, True),
        ("returned", False, True),
        ("returned", True, False),
        ("disabled", True, False),
    ],
)
def test_delayed_retry_type_selects_which_returns_are_delayed(
    vhost: Vhost, retry_type: str, failed: bool, delayed: bool
) -> None:
    """Check rabbit_fifo:should_delay0/4 (rabbit_fifo.erl:2424 in 4.3.5)."""
    queue = declare(vhost, **{**RETRY, "delayed_retry_type": retry_type})
    publish(queue, b"1")
    take_back(queue, failed=failed)
    assert (queue.delayed_count, queue.ready_count) == (delayed, not delayed)


def test_messages_of_an_ended_channel_count_as_failed(vhost: Vhost) -> None:
    queue = declare(vhost, **{**RETRY, "delayed_retry_type": "failed"})
    publish(queue, b"1", b"2")
    queue.reclaim([get(queue), get(queue)])
    assert counts(queue) == (2, 0, 0, 2)


def test_delay_grows_with_each_failure(vhost: Vhost) -> None:
    """Check rabbit_fifo:calculate_ready_at/4 (rabbit_fifo.erl:2437 in 4.3.5)."""
    queue = declare(vhost, **RETRY, delayed_retry_max=250)
    publish(queue, b"1")
    for failed, delay_ms in (False, 100), (True, 100), (True, 200), (False, 200), (True, 250), (True, 250):
        take_back(queue, failed=failed)
        clock_of(vhost).advance(delay_ms - 1)
        assert queue.ready_count == 0
        clock_of(vhost).advance(1)
        assert queue.ready_count == 1


def test_due_delayed_messages_precede_others_regardless_of_priority(vhost: Vhost) -> None:
    """Check rabbit_fifo:take_next_msg/2 (rabbit_fifo.erl:2586 in 4.3.5)."""
    queue = declare(vhost, **RETRY)
    publish(queue, b"a")
    publish(queue, b"b")
    take_back(queue)
    clock_of(vhost).advance(10)
    take_back(queue)
    publish(queue, b"9", priority=9)
    clock_of(vhost).advance(100)
    assert ready(queue) == [b"a", b"b", b"9"]


def test_messages_due_at_the_same_time_are_in_queue_order(vhost: Vhost) -> None:
    """Check rabbit_fifo:delayed_in/5 (rabbit_fifo.erl:2746 in 4.3.5)."""
    queue = declare(vhost, **RETRY)
    publish(queue, b"1", b"2", b"3")
    held = [get(queue) for _ in range(3)]
    queue.requeue([held[2], held[0], held[1]])
    clock_of(vhost).advance(100)
    assert ready(queue) == [b"1", b"2", b"3"]


def test_consumers_get_other_messages_during_the_delay(vhost: Vhost) -> None:
    queue = declare(vhost, **RETRY)
    one = Subscriber(queue, limit=1).subscribe()
    publish(queue, b"1", b"2")
    one.requeue()
    assert one.take() == [b"1", b"2"]
    one.ack()
    clock_of(vhost).advance(100)
    assert one.got == [(b"1", True)]
    one.ack()
    assert counts(queue) == (0, 0, 0, 0)


def test_blocked_consumer_gets_due_messages_later(vhost: Vhost) -> None:
    queue = declare(vhost, **RETRY)
    one = Subscriber(queue, limit=1).subscribe()
    publish(queue, b"1")
    one.requeue()
    publish(queue, b"2")
    clock_of(vhost).advance(100)
    assert (one.bodies, ready(queue)) == ([b"1", b"2"], [b"1"])
    one.ack()
    assert one.take() == [b"1", b"2", b"1"]


def test_delivery_limit_is_checked_before_the_delay(vhost: Vhost) -> None:
    """Check rabbit_fifo:return_one/8 (rabbit_fifo.erl:2348 in 4.3.5)."""
    queue, grave = with_graves(vhost, **RETRY, delivery_limit=1)
    publish(queue, b"1")
    take_back(queue, failed=True)
    clock_of(vhost).advance(100)
    take_back(queue, failed=True)
    assert (reasons(grave), counts(queue)) == ([(b"1", "delivery_limit")], (0, 0, 0, 0))


def test_messages_are_delayed_without_a_delivery_limit_too(vhost: Vhost) -> None:
    queue = declare(vhost, **RETRY, delivery_limit=-1)
    publish(queue, b"1")
    for failures in range(1, 30):
        take_back(queue, failed=True)
        assert counts(queue) == (1, 0, 0, 1)
        clock_of(vhost).advance(100)
        assert queue.ready_count == 1, failures


def test_rejected_message_is_not_delayed(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, **RETRY)
    publish(queue, b"1")
    queue.reject([get(queue)])
    assert (reasons(grave), counts(queue)) == ([(b"1", "rejected")], (0, 0, 0, 0))


def test_message_that_expires_during_the_delay_is_expired_when_due(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, **RETRY)
    publish(queue, b"late", expiration_ms=50)
    publish(queue, b"in time", expiration_ms=150)
    take_back(queue)
    take_back(queue)
    clock_of(vhost).advance(99)
    assert (reasons(grave), queue.delayed_count) == ([], 2)
    clock_of(vhost).advance(1)
    assert (reasons(grave), ready(queue)) == ([(b"late", "expired")], [b"in time"])
    clock_of(vhost).advance(50)
    assert (ready(queue), queue.expiry.count) == ([], 0)
    assert reasons(grave) == [(b"late", "expired"), (b"in time", "expired")]


def test_delayed_messages_count_for_the_length_limit(vhost: Vhost) -> None:
    """Check rabbit_fifo:evaluate_limit/4 (rabbit_fifo.erl:2485 in 4.3.5)."""
    queue, grave = with_graves(vhost, **RETRY, max_length=2)
    publish(queue, b"1", b"2")
    take_back(queue)
    publish(queue, b"3")
    assert (reasons(grave), ready(queue)) == ([(b"2", "maxlen")], [b"3"])
    take_back(queue)
    publish(queue, b"4")
    assert reasons(grave) == [(b"2", "maxlen"), (b"4", "maxlen")]
    clock_of(vhost).advance(100)
    assert ready(queue) == [b"1", b"3"]


def test_due_message_over_the_limit_is_dropped(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, **RETRY, max_length_bytes=2)
    publish(queue, b"1", b"2")
    held = [get(queue), get(queue)]
    publish(queue, b"3", b"4")
    queue.requeue(held)
    assert (ready(queue), queue.delayed_count) == ([], 2)
    assert reasons(grave) == [(b"4", "maxlen"), (b"3", "maxlen")]
    clock_of(vhost).advance(100)
    assert ready(queue) == [b"1", b"2"]


def test_a_queue_refuses_publishes_because_of_delayed_messages(vhost: Vhost) -> None:
    queue = declare(vhost, **RETRY, max_length=5, overflow="reject-publish")
    publish(queue, *[b"%d" % number for number in range(6)])
    for _ in range(6):
        take_back(queue)
    assert not queue.publish(message(b"x"))
    clock_of(vhost).advance(100)
    assert not queue.publish(message(b"x"))
    for _ in range(2):
        queue.ack(get(queue))
    assert queue.publish(message(b"x"))


def test_purge_removes_delayed_messages(vhost: Vhost) -> None:
    """Check the clause for #purge{} of rabbit_fifo:apply_/3 (rabbit_fifo.erl:501 in 4.3.5)."""
    queue = declare(vhost, **RETRY)
    publish(queue, b"1", b"2", b"3")
    take_back(queue)
    held = get(queue)
    assert queue.purge() == 2
    assert (counts(queue), timers(clock_of(vhost))) == ((1, 0, 1, 0), 0)
    queue.ack(held)
    clock_of(vhost).advance(100)
    assert counts(queue) == (0, 0, 0, 0)


def test_a_queue_with_delayed_messages_is_not_empty(vhost: Vhost) -> None:
    queue = declare(vhost, **RETRY)
    publish(queue, b"1")
    take_back(queue)
    with pytest.raises(Exception, match="not empty"):
        vhost.delete_queue(queue, if_empty=True)
    clock_of(vhost).advance(100)
    assert ready(queue) == [b"1"]


@pytest.mark.parametrize("end", ["queue", "vhost", "broker"])
def test_deleted_queue_leaves_no_delayed_messages(end: str) -> None:
    broker = make_broker(compat=COMPATS["4.3"])
    vhost = broker.vhosts["/"]
    clock = clock_of(vhost)
    before = timers(clock)
    queue = declare(vhost, **RETRY)
    publish(queue, b"1")
    take_back(queue)
    assert timers(clock) == before + 1
    if end == "queue":
        vhost.delete_queue(queue)
    elif end == "vhost":
        vhost.close()
    else:
        vhost.discard()
    assert (queue.dispatcher.delayed, timers(clock)) == (None, before)


def test_message_returned_to_a_deleted_queue_is_dropped(vhost: Vhost) -> None:
    queue = declare(vhost, **RETRY)
    publish(queue, b"1")
    held = get(queue)
    vhost.delete_queue(queue)
    queue.requeue([held])
    assert (queue.dispatcher.delayed, timers(clock_of(vhost))) == (None, 0)


def test_changed_policy_does_not_affect_delayed_messages(vhost: Vhost) -> None:
    queue = declare(vhost, **RETRY)
    publish(queue, b"1", b"2")
    take_back(queue)
    queue.apply_settings(declare(vhost, "other", queue_type="quorum").settings)
    take_back(queue)
    assert (ready(queue), queue.delayed_count) == ([b"2"], 1)
    clock_of(vhost).advance(100)
    assert ready(queue) == [b"2", b"1"]


def test_delay_counts_neither_as_acknowledgement_nor_as_publish(vhost: Vhost) -> None:
    queue = declare(vhost, **RETRY)
    publish(queue, b"1", b"2")

    def shown() -> dict[str, int]:
        return dict(zip(queue.counter_names, queue.counters(), strict=True))

    for round_number in range(1, 4):
        queue.requeue([get(queue), get(queue)])
        for _ in range(2):
            now = shown()
            assert (now["publish"], now["ack"], now["get"]) == (2, 0, 2 * round_number)
            clock_of(vhost).advance(100)
    assert (shown()["messages_ready"], shown()["messages_unacknowledged"]) == (2, 0)


def test_many_due_messages_are_released_in_batches() -> None:
    vhost = vhost_of("4.3", bounds=Bounds(releases=10))
    queue = declare(vhost, **RETRY)
    publish(queue, *[b"%03d" % number for number in range(95)])
    queue.requeue([get(queue) for _ in range(95)])
    assert timers(clock_of(vhost)) == 1
    clock_of(vhost).advance(100)
    assert ready(queue) == [b"%03d" % number for number in range(95)]


def test_due_times_of_delayed_messages_are_shown_in_wall_clock_time(vhost: Vhost) -> None:
    clock = clock_of(vhost)
    queue = declare(vhost, **RETRY)
    assert (queue.info().next_delayed_at, queue.info().last_delayed_at) == (None, None)
    publish(queue, b"1", b"2")
    now_ms = clock.now_ms()
    take_back(queue)
    clock.advance(30)
    take_back(queue)
    assert (queue.info().next_delayed_at, queue.info().last_delayed_at) == (now_ms + 100, now_ms + 130)
    clock.stepped(5000)
    assert (queue.info().next_delayed_at, queue.info().last_delayed_at) == (now_ms + 5100, now_ms + 5130)
    clock.advance(69)
    assert queue.ready_count == 0
    clock.advance(1)
    assert queue.ready_count == 1


# --- queues of any kind, with extensions ------------------------------------------------------------------------------

KINDS: dict[str, dict[str, Any]] = {
    "classic": {},
    "priority": {"max_priority": 9},
    "quorum": {"queue_type": "quorum"},
    "single active consumer": {"single_active_consumer": True},
}
of_every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
of_every_release = pytest.mark.parametrize("series", COMPATS)


@of_every_kind
@of_every_release
def test_returned_message_is_delayed_and_delivered_again_to_the_consumer(kind: dict[str, Any], series: str) -> None:
    vhost = vhost_of(series)
    queue = declare(vhost, **kind, delayed_retry_type="all", delayed_retry_min=100, delayed_retry_max=1000)
    one = Subscriber(queue, limit=1).subscribe()
    publish(queue, b"1")
    for failures in 1, 2, 3:
        one.requeue()
        assert counts(queue) == (1, 0, 0, 1)
        clock_of(vhost).advance(100 * failures - 1)
        assert queue.delayed_count == 1
        clock_of(vhost).advance(1)
        assert counts(queue) == (1, 0, 1, 0)
    one.ack()
    assert counts(queue) == (0, 0, 0, 0)


@of_every_kind
@pytest.mark.parametrize(("series", "delays_ms"), [("4.2", [100, 200, 300]), ("4.3", [100, 100, 100])])
def test_only_queues_up_to_4_2_count_returns_without_a_failure(
    kind: dict[str, Any], series: str, delays_ms: list[int]
) -> None:
    vhost = vhost_of(series)
    queue = declare(vhost, **kind, delayed_retry_type="all", delayed_retry_min=100, delayed_retry_max=1000)
    publish(queue, b"1")
    for delay_ms in delays_ms:
        take_back(queue)
        clock_of(vhost).advance(delay_ms - 1)
        assert queue.delayed_count == 1
        clock_of(vhost).advance(1)
        assert queue.ready_count == 1


@of_every_kind
def test_delayed_message_returns_to_the_place_of_a_returned_one(kind: dict[str, Any]) -> None:
    vhost = vhost_of("4.0")
    queue = declare(vhost, **kind, delayed_retry_type="all", delayed_retry_min=100)
    publish(queue, b"1", b"2", b"3")
    take_back(queue)
    take_back(queue)
    publish(queue, b"9", priority=9)
    clock_of(vhost).advance(100)
    assert ready(queue) == ([b"9", b"1", b"2", b"3"] if "max_priority" in kind else [b"1", b"2", b"3", b"9"])


@of_every_kind
def test_delivery_limit_ends_the_retries(kind: dict[str, Any]) -> None:
    vhost = vhost_of("4.0")
    retry = {"delayed_retry_type": "all", "delayed_retry_min": 100}
    queue, grave = with_graves(vhost, **kind, **retry, delivery_limit=2)
    publish(queue, b"1", b"2")
    for _ in range(2):
        queue.requeue([get(queue)])
        clock_of(vhost).advance(100)
    assert reasons(grave) == []
    queue.requeue([get(queue)])
    assert (reasons(grave), counts(queue)) == ([(b"1", "delivery_limit")], (1, 1, 0, 0))
    queue.reject([get(queue)])
    assert reasons(grave) == [(b"1", "delivery_limit"), (b"2", "rejected")]


@of_every_kind
@pytest.mark.parametrize("series", ["4.0", "4.3"])
def test_without_a_delivery_limit_messages_are_retried_forever(kind: dict[str, Any], series: str) -> None:
    vhost = vhost_of(series)
    queue = declare(vhost, **kind, delayed_retry_type="failed", delayed_retry_min=100, delivery_limit=-1)
    publish(queue, b"1", b"2")
    for _ in range(30):
        take_back(queue, failed=True)
        assert counts(queue) == (2, 1, 0, 1)
        clock_of(vhost).advance(100)
        assert ready(queue) == [b"1", b"2"]
    take_back(queue, failed=False)
    unlimited_quorum = "queue_type" in kind and series == "4.0"
    assert ready(queue) == ([b"2", b"1"] if unlimited_quorum else [b"1", b"2"])


@of_every_kind
def test_delayed_messages_count_for_the_length_limit_and_are_purged(kind: dict[str, Any]) -> None:
    vhost = vhost_of("4.0")
    queue, grave = with_graves(vhost, **kind, delayed_retry_type="all", delayed_retry_min=100, max_length=2)
    publish(queue, b"1", b"2")
    take_back(queue)
    publish(queue, b"3")
    assert (reasons(grave), ready(queue)) == ([(b"2", "maxlen")], [b"3"])
    assert queue.purge() == 2
    assert (counts(queue), timers(clock_of(vhost))) == ((0, 0, 0, 0), 0)


# --- stored messages --------------------------------------------------------------------------------------------------


class Extended(Node):
    """A broker that behaves as RabbitMQ 4.0, with extensions."""


@pytest.mark.parametrize("kind", [{}, {"max_priority": 9}, {"queue_type": "quorum"}])
def test_messages_of_any_queue_are_delayed_after_a_restart(kind: dict[str, Any]) -> None:
    retry = {"delayed_retry_type": "all", "delayed_retry_min": 100, "delayed_retry_max": 1000}
    node = Extended(q=table(**kind, **retry))
    queue = stored_queue(node)
    client = node.client()
    for body in b"1", b"2", b"3":
        client.publish("q", body, delivery_mode=2)
    client.turn()
    first, second = get(queue), get(queue)
    queue.requeue([first])
    node.broker.sync()
    node.clock.advance(60)
    queue.requeue([second])
    node.broker.sync()
    node.clock._now_ms += 40  # the time without a broker
    restored = stored_queue(node.crash())
    assert (ready(restored), restored.delayed_count) == ([b"1", b"3"], 1)
    node.clock.advance(60)
    assert ready(restored) == [b"1", b"2", b"3"]
    assert {body_of(entry): entry.delivery_count for entry in restored.ready} == {b"1": 1, b"2": 1, b"3": 0}


def test_many_overdue_messages_of_a_classic_queue_are_not_read_when_it_is_restored() -> None:
    node = Extended(q=table(delayed_retry_type="all", delayed_retry_min=100))
    queue = stored_queue(node)
    client = node.client()
    for number in range(DEEP):
        client.publish("q", b"%06d" % number, delivery_mode=2)
    client.turn()
    queue.requeue([get(queue) for _ in range(DEEP)])
    node.broker.sync()
    node.clock._now_ms += 200
    restored = stored_queue(node.crash())
    assert (restored.ready_count, restored.delayed_count, restored.ready.paged_out) == (DEEP, 0, DEEP)
    assert numbers(restored) == list(range(DEEP))


class RetryNode(Node):
    config = Config(compat=COMPATS["4.3"])


def test_after_a_restart_messages_are_delayed_for_the_remaining_time() -> None:
    node = RetryNode(q=table(**RETRY))
    queue = stored_queue(node)
    publish(queue, b"1", b"2", b"3")
    take_back(queue, failed=True)
    queue.ack(get(queue))
    node.broker.sync()
    node.clock.advance(40)
    restored = stored_queue(node.crash())
    assert (counts(restored), ready(restored)) == ((2, 1, 0, 1), [b"3"])
    node.clock.advance(59)
    assert ready(restored) == [b"3"]
    node.clock.advance(1)
    assert [(body_of(entry), entry.acquired_count, entry.delivery_count) for entry in restored.ready] == [
        (b"1", 1, 1),
        (b"3", 0, 0),
    ]
    publish(restored, b"4")
    assert [entry.sequence for entry in restored.ready] == [1, 3, 4]


def test_after_a_restart_overdue_messages_are_ready_in_due_order() -> None:
    node = RetryNode(q=table(**RETRY, delayed_retry_max=1000))
    queue = stored_queue(node)
    publish(queue, b"1", b"2", b"3")
    first, second, third = get(queue), get(queue), get(queue)
    first.delivery_count = 5
    second.delivery_count = 3
    queue.requeue([first, second, third], failed=True)
    node.broker.sync()
    node.clock.advance(0)
    crashed = node.clock
    crashed._now_ms += 450  # while the broker is down, nothing fires
    restored = stored_queue(node.crash())
    assert (ready(restored), restored.delayed_count) == ([b"3", b"2"], 1)
    node.clock.advance(150)
    assert ready(restored) == [b"3", b"2", b"1"]


def test_delay_after_a_restart_follows_the_wall_clock() -> None:
    node = RetryNode(q=table(**RETRY))
    queue = stored_queue(node)
    publish(queue, b"1")
    node.clock.stepped(5_000)
    take_back(queue)
    node.broker.sync()
    node.clock.stepped(5_070)
    restored = stored_queue(node.crash())
    assert restored.info().next_delayed_at == node.clock.now_ms() + 5_100
    node.clock.advance(29)
    assert restored.ready_count == 0
    node.clock.advance(1)
    assert ready(restored) == [b"1"]


def test_purge_after_a_restart_removes_delayed_messages() -> None:
    node = RetryNode(q=table(**RETRY))
    queue = stored_queue(node)
    publish(queue, b"1")
    take_back(queue)
    node.broker.sync()
    node = node.crash()
    assert stored_queue(node).purge() == 1
    node.broker.sync()
    assert counts(stored_queue(node.crash())) == (0, 0, 0, 0)


@pytest.mark.parametrize("how", ["purge", "delete", "ack"])
def test_delayed_messages_removed_before_a_crash_are_not_restored(how: str) -> None:
    node = RetryNode(q=table(**RETRY))
    queue = stored_queue(node)
    publish(queue, b"1")
    take_back(queue)
    node.broker.sync()
    if how == "purge":
        queue.purge()
    elif how == "delete":
        node.broker.vhosts["/"].delete_queue(queue)
    else:
        node.clock.advance(100)
        queue.ack(get(queue))
    node.broker.sync()
    assert queue.ledger.unstored == queue.ledger.stored == 1
    assert bodies(node.crash()) == []


DEEP = 6 * BOUNDS.page_count + 10


def stored_queue(node: Node) -> LocalQueue:
    queue = node.broker.vhosts["/"].queues["q"]
    assert isinstance(queue, LocalQueue)
    return queue


def delaying(node: Node, count: int = DEEP, size: int = 0, gap: int = BOUNDS.page_count) -> LocalQueue:
    """Create a queue whose messages are all returned and delayed, `gap` of them in each millisecond."""
    queue = stored_queue(node)
    for number in range(count):
        publish(queue, b"%06d" % number + bytes(size))
        if number % gap == gap - 1:
            node.broker.sync()
            queue.requeue([get(queue) for _ in range(queue.ready_count)], failed=True)
            node.clock.advance(1)
    queue.requeue([get(queue) for _ in range(queue.ready_count)], failed=True)
    node.broker.sync()
    return queue


def numbers(queue: LocalQueue) -> list[int]:
    return [int(body[:6]) for body in ready(queue)]


def test_many_delayed_messages_are_paged_out_and_released_in_order() -> None:
    node = RetryNode(q=table(**RETRY))
    queue = delaying(node)
    assert queue.dispatcher.delayed is not None
    assert (queue.delayed_count, queue.dispatcher.delayed_size) == (DEEP, 6 * DEEP)
    assert DEEP - 2 * BOUNDS.page_count <= queue.dispatcher.delayed.paged_out < DEEP
    info = queue.info()
    assert (info.messages, info.message_bytes) == (DEEP, 6 * DEEP)
    assert (info.messages_ram, info.messages_paged_out) == (
        DEEP - info.messages_paged_out,
        queue.dispatcher.delayed.paged_out,
    )
    assert timers(node.clock) == 1
    node.clock.advance(100)
    assert numbers(queue) == list(range(DEEP))
    assert {(entry.acquired_count, entry.delivery_count) for entry in queue.ready} == {(1, 1)}
    assert (queue.delayed_count, queue.dispatcher.delayed.paged_out, timers(node.clock)) == (0, 0, 0)


def test_paged_messages_with_different_delays_are_released_in_order() -> None:
    """Test overlapping pages, where longer delays were requested before shorter ones."""
    node = RetryNode(q=table(**RETRY, delayed_retry_max=100_000, delivery_limit=-1))
    queue = stored_queue(node)
    count = 5 * BOUNDS.page_count
    publish(queue, *[b"%06d" % number for number in range(count)])
    node.broker.sync()
    due: dict[int, int] = {}
    for number in range(count):
        entry = get(queue)
        entry.delivery_count = entry.acquired_count = number * 7 % 50
        queue.requeue([entry], failed=True)
        due[number] = node.clock.now_ms() + 100 * (number * 7 % 50 + 1)
    node.broker.sync()
    assert queue.dispatcher.delayed is not None
    assert queue.dispatcher.delayed.paged_out
    assert (queue.dispatcher.delayed.next_ms, queue.dispatcher.delayed.last_ms) == (
        min(due.values()),
        max(due.values()),
    )
    for _ in range(50):
        node.clock.advance(100)
        node.broker.sync()
        assert queue.delayed_count - queue.dispatcher.delayed.paged_out <= 2 * BOUNDS.page_count
    assert numbers(queue) == sorted(range(count), key=lambda number: (due[number], number))
    assert [entry.acquired_count for entry in queue.ready] == [
        int(entry.message.body) * 7 % 50 + 1 for entry in queue.ready
    ]


def test_large_messages_are_paged_out_by_size() -> None:
    node = RetryNode(q=table(**RETRY))
    queue = delaying(node, 40, size=BOUNDS.page_bytes // 4, gap=1)
    assert queue.dispatcher.delayed is not None
    assert queue.dispatcher.delayed.paged_out >= 28
    node.clock.advance(100)
    assert numbers(queue) == list(range(40))


class SmallNode(Node):
    """A broker with small pages and small batches of released messages."""

    config = Config(compat=COMPATS["4.3"], bounds=Bounds(page_count=16, read_count=4, releases=10))


SMALL = SmallNode.config.bounds


def due_at_once(count: int, seed: int | None = None) -> tuple[SmallNode, LocalQueue]:
    """Return a queue whose messages are due at one time. seed: of the order of their returns, None for queue order."""
    node = SmallNode(q=table(**RETRY))
    queue = stored_queue(node)
    publish(queue, *[b"%06d" % number for number in range(count)])
    node.broker.sync()
    held = [get(queue) for _ in range(count)]
    if seed is not None:
        random.Random(seed).shuffle(held)
    node.broker.sync()
    queue.requeue(held, failed=True)
    node.broker.sync()
    return node, queue


def loads_by_iteration(node: Node, queue: LocalQueue) -> list[int]:
    """Release all messages. Return the number of messages that were read in each event loop iteration."""
    delayed = queue.dispatcher.delayed
    assert delayed is not None
    assert delayed.next_ms is not None
    node.clock._now_ms = delayed.next_ms
    loads = []
    while queue.delayed_count:
        count, loaded = queue.delayed_count, queue.ledger.loaded
        node.clock.fire_due()
        node.broker.sync()
        assert 0 < count - queue.delayed_count <= SMALL.releases
        assert queue.delayed_count - delayed.paged_out <= 2 * SMALL.page_count
        loads.append(queue.ledger.loaded - loaded)
    assert numbers(queue) == list(range(queue.ready_count))
    return loads


@pytest.mark.parametrize("count", [200, 400])
def test_messages_due_at_one_time_are_read_once(count: int) -> None:
    node, queue = due_at_once(count)
    paged = queue.dispatcher.delayed.paged_out if queue.dispatcher.delayed else 0
    assert paged > count - 2 * SMALL.page_count
    loads = loads_by_iteration(node, queue)
    assert sum(loads) == paged
    assert max(loads) <= SMALL.releases + SMALL.read_count
    assert len(loads) == count // SMALL.releases


@pytest.mark.parametrize("count", [200, 400])
def test_messages_due_at_one_time_are_read_few_times_after_returns_in_any_order(count: int) -> None:
    node, queue = due_at_once(count, seed=count)
    loads = loads_by_iteration(node, queue)
    assert sum(loads) <= 3 * count
    assert max(loads) <= SMALL.releases + SMALL.read_count


def test_recovered_messages_due_at_one_time_are_read_once() -> None:
    node, queue = due_at_once(200)
    queue.vhost.discard()
    node = node.crash()
    queue = stored_queue(node)
    assert queue.delayed_count == 200
    assert sum(loads_by_iteration(node, queue)) == 200


@pytest.mark.parametrize("seed", [None, 1])
def test_removing_the_first_of_many_messages_due_at_one_time_reads_few(seed: int | None) -> None:
    node, queue = due_at_once(400, seed)
    delayed = queue.dispatcher.delayed
    assert delayed is not None
    most = 0
    start = queue.ledger.loaded
    for number in range(400):
        loaded = queue.ledger.loaded
        entry = delayed.remove_first()
        node.broker.sync()
        assert entry is not None
        assert int(entry.message.body) == number
        most = max(most, queue.ledger.loaded - loaded)
        assert delayed.count - delayed.paged_out <= 2 * SMALL.page_count
    assert queue.ledger.loaded - start <= 3 * 400
    assert most <= 2 * SMALL.page_count
    assert (delayed.remove_first(), timers(node.clock)) == (None, 0)


@pytest.mark.parametrize("how", ["purge", "delete"])
def test_paged_messages_are_removed_from_the_store(how: str) -> None:
    node = RetryNode(q=table(**RETRY))
    queue = delaying(node)
    if how == "purge":
        assert queue.purge() == DEEP
    else:
        node.broker.vhosts["/"].delete_queue(queue)
    node.clock.advance(0)
    node.broker.sync()
    assert queue.ledger.unstored == queue.ledger.stored == DEEP
    assert timers(node.clock) == 0
    assert stored_queue(node.crash()).ready_count == 0


def test_recovered_messages_are_paged_out_and_released_in_order() -> None:
    node = RetryNode(q=table(**RETRY))
    delaying(node).vhost.discard()
    node = node.crash()
    queue = stored_queue(node)
    assert queue.dispatcher.delayed is not None
    assert (queue.delayed_count, queue.dispatcher.delayed_size) == (DEEP, 6 * DEEP)
    assert (queue.dispatcher.delayed.paged_out, queue.ledger.loaded, timers(node.clock)) == (DEEP, 0, 1)
    due = [due_ms for due_ms, _ in queue.dispatcher.delayed.with_due_times()]
    assert (min(due), max(due)) == (queue.dispatcher.delayed.next_ms, queue.dispatcher.delayed.last_ms)
    for _ in range(100):
        node.clock.advance(1)
    assert numbers(queue) == list(range(DEEP))
    assert {(entry.acquired_count, entry.delivery_count) for entry in queue.ready} == {(1, 1)}
    assert (queue.delayed_count, timers(node.clock)) == (0, 0)


def test_messages_unreadable_when_due_are_released_later_in_order(caplog: pytest.LogCaptureFixture) -> None:
    files = FlakyFiles()
    node = RetryNode(files, q=table(**RETRY))
    queue = delaying(node)
    files.share = 1.0
    node.clock.advance(100)
    assert queue.dispatcher.delayed is not None
    in_time = queue.ready_count
    assert 0 < in_time < DEEP
    assert queue.delayed_count == DEEP - in_time
    node.clock.advance(3 * RETRY_MS)
    assert queue.ready_count == in_time
    files.share = 0.5
    for _ in range(5000):
        if not queue.delayed_count:
            break
        node.clock.advance(RETRY_MS)
    files.share = 0.0
    assert numbers(queue) == list(range(DEEP))
    told = [record.getMessage() for record in caplog.records if "messages can" in record.getMessage()]
    assert "messages cannot be read" in told[0]
    assert "messages can be read again" in told[-1]


def test_no_message_is_lost_or_duplicated_by_random_operations() -> None:
    """Check that each message is in exactly one place, and that the counts match."""
    vhost = vhost_of("4.3", bounds=Bounds(releases=3))
    queue = declare(vhost, **RETRY, delayed_retry_max=400, delivery_limit=-1)
    clock = clock_of(vhost)
    held: list[Entry] = []
    acked = came = 0
    for step in itertools.islice(itertools.cycle(range(7)), 700):
        if step in (0, 3):
            came += 1
            publish(queue, b"%d" % came, priority=came % 12)
        elif step in (1, 4) and queue.ready_count:
            held.append(get(queue))
        elif step == 2 and held:
            queue.requeue([held.pop(came % len(held))], failed=came % 3 == 0)
        elif step == 5:
            clock.advance(came % 90)
        elif step == 6 and len(held) > 3:
            queue.ack(held.pop(0))
            acked += 1
        assert counts(queue) == (came - acked, queue.ready_count, len(held), queue.delayed_count)
        assert queue.ready_count + len(held) + queue.delayed_count == came - acked
    clock.advance(1000)
    assert queue.delayed_count == 0
    left = [*ready(queue), *map(body_of, held)]
    assert len(set(left)) == len(left) == came - acked
    queue.requeue(held)
    assert queue.purge() == came - acked
    assert (counts(queue), timers(clock)) == ((0, 0, 0, 0), 0)
