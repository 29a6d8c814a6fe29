"""The description of a queue for the management API."""

from typing import TYPE_CHECKING, Final

from amqpbroker.broker.infos import QueueInfo
from amqpbroker.message.message import MESSAGE_BYTES
from amqpbroker.wire.properties import timestamp_of

if TYPE_CHECKING:
    from amqpbroker.broker.queues.local_queue import LocalQueue

#: Memory of an empty queue; about the result of `tests.bench.scale`.
_QUEUE_BYTES: Final = 4600


def queue_info(queue: "LocalQueue") -> QueueInfo:
    """Describe the present state of a queue."""
    ready, consumers, sample = queue.ready, queue.consumers, queue.sample
    dispatcher, outstanding = queue.dispatcher, queue.outstanding
    unacked = outstanding.count
    delayed, ahead_ms = dispatcher.delayed, queue.clock.ahead_ms
    next_ms = None if delayed is None else delayed.next_ms
    last_ms = None if delayed is None else delayed.last_ms
    waiting_size = ready.size + dispatcher.delayed_size
    count = ready.waiting + dispatcher.delayed_count + unacked
    size = waiting_size + outstanding.size
    persistent = queue.ledger.persistent
    ready_paged_out = ready.paged_out
    paged_out = ready_paged_out + (0 if delayed is None else delayed.paged_out)
    paged_size = waiting_size * paged_out // (count - unacked) if paged_out else 0
    capacity = 0.0
    if consumers.all:
        capacity = float(not ready.count) if sample is None else sample.capacity
    active = consumers.active
    if active is None and consumers.all and queue.kind.shows_first_consumer:
        active = consumers.all[0]
    exclusive = consumers.all[0] if consumers.all and consumers.all[0].exclusive else None
    head = ready.peek()
    return QueueInfo(
        state="running",
        consumers=len(consumers.all) + outstanding.holders(),
        consumer_capacity=capacity,
        single_active_consumer_tag=None if active is None else active.tag,
        exclusive_consumer_tag=None if exclusive is None else exclusive.tag,
        messages=count,
        messages_ready=ready.waiting,
        messages_unacknowledged=unacked,
        messages_persistent=persistent,
        messages_ram=count - paged_out,
        messages_ready_ram=ready.waiting - ready_paged_out,
        messages_unacknowledged_ram=unacked,
        messages_paged_out=paged_out,
        message_bytes=size,
        message_bytes_ready=waiting_size,
        message_bytes_unacknowledged=outstanding.size,
        message_bytes_persistent=size * persistent // count if count else 0,
        message_bytes_ram=size - paged_size,
        message_bytes_paged_out=paged_size,
        head_message_timestamp=None if head is None else timestamp_of(head.message.properties),
        memory=_QUEUE_BYTES + MESSAGE_BYTES * (count - paged_out) + size - paged_size,
        idle_since=None if sample is None else sample.idle_since,
        messages_by_priority=ready.by_priority(),
        messages_delayed=dispatcher.delayed_count,
        next_delayed_at=None if next_ms is None else next_ms + ahead_ms,
        last_delayed_at=None if last_ms is None else last_ms + ahead_ms,
        delayed_retry=_delayed_retry(queue),
    )


def _delayed_retry(queue: "LocalQueue") -> str | None:
    """Return the delay of returned messages; None if there is neither one nor, in RabbitMQ, a column for it."""
    retry = queue.returns.retry
    if retry is not None:
        return str(retry)
    shown = queue.dispatcher.delayed_count or queue.kind.shows_delayed_retry(queue.vhost.config.compat)
    return "disabled" if shown else None
