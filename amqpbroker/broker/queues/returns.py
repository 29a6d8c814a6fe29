"""What comes back to a queue unacknowledged: where it goes, what of it dies, and who gets it next."""

from functools import partial
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.delayed_returns import DelayedReturns
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.paging import QueuePages

if TYPE_CHECKING:
    from amqpbroker.broker.queues.local_queue import LocalQueue

#: Why a message leaves that came back too often: RabbitMQ's word, as in x-death.
DELIVERY_LIMIT = "delivery_limit"


def requeue(queue: "LocalQueue", entries: list[Entry], failed: bool) -> None:
    """A client returns these. See Queue.requeue."""
    if (
        queue.quorum
        and queue.settings.delivery_limit < 0
        and not queue.closed
        and queue.vhost.config.compat.unlimited_returns_go_last
    ):
        # What may come back for ever keeps nothing else waiting: each goes to the end, by itself (rabbit_fifo:requeue).
        for entry in entries:
            _put_last(queue, entry, failed)
    else:
        _take_back(queue, entries, failed)


def reclaim(queue: "LocalQueue", entries: list[Entry]) -> None:
    """A channel that has ended held these. See Queue.reclaim."""
    _take_back(queue, entries, True)


def _take_back(queue: "LocalQueue", entries: list[Entry], failed: bool) -> None:
    consumers = queue.release(entries)
    queue.tally.returned += len(entries)
    if queue.closed:
        queue.tally.left += len(entries)
        for entry in entries:
            queue.forget(entry)
        return
    limit = queue.settings.delivery_limit if queue.quorum else -1
    retry = queue.retry
    back = []
    late = []
    exhausted = []
    for entry in entries:
        _count(queue, entry, failed)
        if 0 <= limit < entry.delivery_count:
            exhausted.append(entry)
            continue
        if entry.position:
            queue.store.returned(entry)
        if retry is not None:
            delay_ms = retry.delay_ms(failed, entry.delivery_count)
            if delay_ms:
                late.append((entry, delay_ms))
                continue
        back.append(entry)
        if entry.deadline_ms:
            queue.expiring += 1
    if queue.limit.shut and (back or late):
        queue.limit.is_shut(queue)
    if late:
        _delay(queue, late)
    if back:
        queue.ready.requeue(back)
    if queue.quorum:
        _move_on(queue, consumers, exhausted)
    else:
        queue.limit.trim(queue)
        queue.share(consumers)


def _delay(queue: "LocalQueue", late: list[tuple[Entry, int]]) -> None:
    delayed = queue.delayed
    if delayed is None:
        pager = QueuePages(queue) if queue.stores else None
        batch = queue.vhost.config.bounds.releases
        delayed = queue.delayed = DelayedReturns(queue.clock, partial(_rejoin, queue), batch, pager)
    for entry, delay_ms in late:
        delayed.put(entry, delay_ms)


def _rejoin(queue: "LocalQueue", entries: list[Entry]) -> None:
    """Make delayed entries ready once they are due."""
    for entry in entries:
        if entry.deadline_ms:
            queue.expiring += 1
    queue.ready.requeue(entries)
    if queue.quorum:
        _move_on(queue, {}, [])
    else:
        queue.limit.trim(queue)
        queue.share(())


def _put_last(queue: "LocalQueue", entry: Entry, failed: bool) -> None:
    consumers = queue.release([entry])
    queue.tally.returned += 1
    _count(queue, entry, failed)
    if queue.limit.shut:
        queue.limit.is_shut(queue)
    again = _copied(queue, entry)
    if again.deadline_ms:
        queue.expiring += 1
    queue.ready.put_last(again)
    _move_on(queue, consumers, [])


def _copied(queue: "LocalQueue", entry: Entry) -> Entry:
    """Another copy in place of this one, as new as one can be; to the store they change places as one thing."""
    store = queue.store
    store.begin()
    try:
        queue.forget(entry)
        again = queue.enter(entry.message, entry.deadline_ms)
        again.acquired_count = entry.acquired_count
        again.delivery_count = entry.delivery_count
        store.returned(again)
    finally:
        store.end()
    queue.tally.before += 1
    return again


def _count(queue: "LocalQueue", entry: Entry, failed: bool) -> None:
    entry.acquired_count += 1
    entry.delivery_count += failed or not queue.vhost.config.compat.counts_only_failures


def _move_on(queue: "LocalQueue", consumers: dict[Consumer, None], exhausted: list[Entry]) -> None:
    """Something has come back to a quorum queue: deliver what these and other consumers can take, then let go of what
    is too much (rabbit_fifo:checkout), which is dead-lettered before what has died before that (evaluate_limit)."""
    with queue.vhost.dead_letters as letters:
        queue.leave(exhausted, DELIVERY_LIMIT)
        queue.share(consumers)
        before = letters.waiting
        queue.limit.trim(queue)
        letters.put_last(before)
