"""The locks of a channel: which run out, and how many are kept in memory."""

from typing import NamedTuple

import pytest

from amqpbroker.amqp.consumer_timeout import LockTerms
from amqpbroker.amqp.locks import Locks
from amqpbroker.amqp.unacked import Unacked
from amqpbroker.broker.queues.arguments.lock_arguments import RETURN
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.clock import ManualClock
from tests.amqp.settling_parts import make_unacked
from tests.broker.queueing import declare, make_vhost, publish

SHORT = LockTerms(100, RETURN, False)
LONG = LockTerms(1_000, RETURN, False)


class Channel(NamedTuple):
    """The parts of a channel with a queue. ran_out: the tags of locks that have run out, with the time."""

    queue: LocalQueue
    unacked: Unacked
    locks: Locks
    clock: ManualClock
    ran_out: list[tuple[int, int]]

    def deliver(self, terms: LockTerms) -> int:
        publish(self.queue, b"")
        entry = self.queue.get(False)
        assert isinstance(entry, Entry)
        tag = self.unacked.hold_got(entry)
        self.locks.add(tag, self.clock.now_ms(), terms)
        return tag


@pytest.fixture
def channel() -> Channel:
    clock = ManualClock(0)
    vhost = make_vhost()
    unacked = make_unacked(vhost)
    locks = Locks(clock, unacked)
    ran_out: list[tuple[int, int]] = []
    locks.start(lambda due: ran_out.extend((tag, clock.now_ms()) for tag, _ in due))
    return Channel(declare(vhost), unacked, locks, clock, ran_out)


def test_locks_run_out_in_order_of_their_time_exact_to_the_millisecond(channel: Channel) -> None:
    channel.deliver(LONG)
    channel.clock.advance(50)
    channel.deliver(SHORT)
    channel.clock.advance(99)
    assert channel.ran_out == []
    channel.clock.advance(10_000)
    assert channel.ran_out == [(2, 150), (1, 1_000)]


def test_lock_of_a_settled_delivery_does_not_run_out(channel: Channel) -> None:
    for _ in range(3):
        channel.deliver(SHORT)
    channel.unacked.ack(2, False)
    channel.clock.advance(1_000)
    assert channel.ran_out == [(1, 100), (3, 100)]


def test_renewed_lock_runs_out_at_its_new_time_only(channel: Channel) -> None:
    tag = channel.deliver(SHORT)
    channel.clock.advance(99)
    for due_ms in (500, 300, 500, 400):
        channel.locks.set(tag, due_ms, SHORT)
    channel.clock.advance(10_000)
    assert channel.ran_out == [(tag, 400)]


def test_lock_can_be_renewed_to_an_earlier_time(channel: Channel) -> None:
    tag = channel.deliver(LONG)
    channel.locks.set(tag, 5, LONG)
    channel.clock.advance(5)
    assert channel.ran_out == [(tag, 5)]


def test_settled_and_renewed_locks_are_dropped_from_memory(channel: Channel) -> None:
    kept = [channel.deliver(LONG) for _ in range(100)]
    for _ in range(5_000):
        channel.unacked.ack(channel.deliver(SHORT), False)
        channel.locks.set(kept[0], 900, LONG)
        assert len(channel.locks) <= 2 * (len(kept) + 1) + 64
    assert len(channel.locks.by_tag) <= 2 * len(kept) + 64
    channel.clock.advance(2_000)
    assert sorted(channel.ran_out) == [(1, 900), *[(tag, 1_000) for tag in kept[1:]]]
    assert (len(channel.locks), channel.locks.by_tag) == (0, {})


def test_one_timer_waits_for_all_locks(channel: Channel) -> None:
    for _ in range(1_000):
        channel.deliver(SHORT)
    timers = channel.clock._heap
    assert sum(timer.callback is not None for _, _, timer in timers) == 1


def test_nothing_runs_out_after_stop(channel: Channel) -> None:
    channel.deliver(SHORT)
    channel.locks.stop()
    channel.deliver(SHORT)
    channel.clock.advance(1_000)
    assert channel.ran_out == []
    assert channel.clock.next_due_ms() is None


def test_find_returns_locks_of_unsettled_deliveries_only(channel: Channel) -> None:
    tag = channel.deliver(SHORT)
    lock = channel.locks.find(tag)
    assert lock is not None
    assert (lock.due_ms, lock.terms) == (100, SHORT)
    channel.unacked.ack(tag, False)
    assert channel.locks.find(tag) is None
