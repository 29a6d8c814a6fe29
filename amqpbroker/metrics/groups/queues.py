"""Metrics of queues."""

from collections.abc import Callable, Sequence
from math import nan

from amqpbroker.broker.counters.stats import QUEUE_COUNTERS
from amqpbroker.broker.vhost import Vhost
from amqpbroker.metrics.family import COUNTER, GAUGE, Family, Group, Labels
from amqpbroker.metrics.snapshot import QueueRow, Snapshot

QUEUES = frozenset({"queues"})


def _rows(snapshot: Snapshot) -> Sequence[QueueRow]:
    return snapshot.queues


def _deduplicating(snapshot: Snapshot) -> Sequence[QueueRow]:
    return [row for row in snapshot.queues if row.queue.settings.deduplication is not None]


def _replacing(snapshot: Snapshot) -> Sequence[QueueRow]:
    return [row for row in snapshot.queues if row.queue.settings.last_value is not None]


def _delaying(snapshot: Snapshot) -> Sequence[QueueRow]:
    return [row for row in snapshot.queues if row.queue.delayed_count or row.queue.settings.delays]


def _batching(snapshot: Snapshot) -> Sequence[Vhost]:
    return [vhost for vhost in snapshot.broker.vhosts.values() if vhost.batches]


def _open_batches(vhost: Vhost) -> int:
    return 0 if vhost.batches is None else vhost.batches.open_count


def _with_jobs(snapshot: Snapshot) -> Sequence[Vhost]:
    return [vhost for vhost in snapshot.broker.vhosts.values() if vhost.jobs]


def _open_jobs(vhost: Vhost) -> int:
    return 0 if vhost.jobs is None else vhost.jobs.open_count


def _grouping(snapshot: Snapshot) -> Sequence[QueueRow]:
    return [row for row in snapshot.queues if row.queue.settings.groups is not None]


def _read_streams(snapshot: Snapshot) -> Sequence[QueueRow]:
    return [row for row in snapshot.queues if row.info.offset_lag is not None]


def _most_lag(snapshot: Snapshot) -> int | None:
    return max([row.info.offset_lag or 0 for row in _read_streams(snapshot)], default=None)


def _segments(row: QueueRow) -> int | None:
    return row.info.segments if row.queue.kind.retains else None


def _labels(row: QueueRow) -> Labels:
    return ("vhost", row.vhost), ("queue", row.queue.name)


def _published_labels(row: QueueRow) -> Labels:
    return ("queue_vhost", row.vhost), ("queue", row.queue.name)


def _nothing(_: Snapshot) -> None:
    """Return None, because a sum would be meaningless."""


def _head_timestamp(row: QueueRow) -> float:
    timestamp = row.info.head_message_timestamp
    return nan if timestamp is None else timestamp


def _counter(name: str, text: str, counter: str) -> Family:
    place = QUEUE_COUNTERS.index(counter)

    def of(row: QueueRow) -> int:
        return row.counters[place]

    def total(snapshot: Snapshot) -> int:
        return snapshot.of_queues(counter)

    return Family(name, COUNTER, text, of, total)


def _gauge(name: str, text: str, of: Callable[[QueueRow], float]) -> Family:
    return Family(name, GAUGE, text, of)


def _column(name: str, text: str, column: str) -> Family:
    """Return a gauge of a column of `QueueInfo`, which some kinds of queues do not have."""

    def of(row: QueueRow) -> float | None:
        if column in row.queue.kind.absent_columns:
            return None
        value: float = getattr(row.info, column)
        return value

    return Family(name, GAUGE, text, of)


def _group(name: str, *families: Family) -> Group:
    return Group(name, families, QUEUES, _rows, _labels, ("vhost", "queue"), summed=True, filtered=True)


# fmt: off
_CONSUMERS = _gauge("queue_consumers", "Consumers on a queue", lambda row: row.info.consumers)

COARSE = _group(
    "queue_coarse_metrics",
    _gauge("queue_messages_ready", "Messages ready to be delivered to consumers",
           lambda row: row.info.messages_ready),
    _gauge("queue_messages_unacked", "Messages delivered to consumers but not yet acknowledged",
           lambda row: row.info.messages_unacknowledged),
    _gauge("queue_messages", "Sum of ready and unacknowledged messages - total queue depth",
           lambda row: row.info.messages),
)

CONSUMER_COUNT = Group("queue_consumer_count", (_CONSUMERS,), QUEUES, _rows, _labels, ("vhost", "queue"),
                       filtered=True, pages=())

METRICS = _group(
    "queue_metrics",
    _CONSUMERS,
    _column("queue_consumer_capacity", "Consumer capacity", "consumer_capacity"),
    _column("queue_consumer_utilisation", "Same as consumer capacity", "consumer_capacity"),
    _gauge("queue_process_memory_bytes", "Memory in bytes used by the Erlang queue process",
           lambda row: row.info.memory),
    _column("queue_messages_ram", "Ready and unacknowledged messages stored in memory",
           "messages_ram"),
    _column("queue_messages_ram_bytes", "Size of ready and unacknowledged messages stored in memory",
           "message_bytes_ram"),
    _gauge("queue_messages_ready_ram", "Ready messages stored in memory", lambda row: row.info.messages_ready_ram),
    _gauge("queue_messages_unacked_ram", "Unacknowledged messages stored in memory",
           lambda row: row.info.messages_unacknowledged_ram),
    _column("queue_messages_persistent", "Persistent messages", "messages_persistent"),
    _column("queue_messages_persistent_bytes", "Size in bytes of persistent messages",
           "message_bytes_persistent"),
    _column("queue_messages_bytes", "Size in bytes of ready and unacknowledged messages",
           "message_bytes"),
    _column("queue_messages_ready_bytes", "Size in bytes of ready messages", "message_bytes_ready"),
    _column("queue_messages_unacked_bytes", "Size in bytes of all unacknowledged messages",
           "message_bytes_unacknowledged"),
    _gauge("queue_messages_paged_out", "Messages paged out to disk", lambda row: row.info.messages_paged_out),
    _gauge("queue_messages_paged_out_bytes", "Size in bytes of messages paged out to disk",
           lambda row: row.info.message_bytes_paged_out),
    Family("queue_head_message_timestamp", GAUGE, "Timestamp of the first message in the queue, if any",
           _head_timestamp, _nothing),
    _counter("queue_disk_reads_total", "Total number of times queue read messages from disk", "disk_reads"),
    _counter("queue_disk_writes_total", "Total number of times queue wrote messages to disk", "disk_writes"),
    Family("stream_segments", COUNTER, "Total number of stream segment files", _segments),
)

READERS = Group(
    "stream_consumer_metrics",
    (Family("stream_consumer_max_offset_lag", GAUGE, "Current maximum of offset lag of consumers",
            lambda row: row.info.offset_lag, _most_lag),),
    QUEUES, _read_streams, _labels, ("vhost", "queue"), summed=True, filtered=True,
)

DELIVERY = _group(
    "queue_delivery_metrics",
    _counter("queue_get_ack_total",
             "Total number of messages fetched from a queue with basic.get in manual acknowledgement mode", "get"),
    _counter("queue_get_total",
             "Total number of messages fetched from a queue with basic.get in automatic acknowledgement mode",
             "get_no_ack"),
    _counter("queue_messages_delivered_ack_total",
             "Total number of messages delivered from a queue to consumers in manual acknowledgement mode", "deliver"),
    _counter("queue_messages_delivered_total",
             "Total number of messages delivered from a queue to consumers in automatic acknowledgement mode",
             "deliver_no_ack"),
    _counter("queue_messages_redelivered_total",
             "Total number of messages redelivered from a queue to consumers", "redeliver"),
    _counter("queue_messages_acked_total",
             "Total number of messages acknowledged by consumers on a queue", "ack"),
    _counter("queue_get_empty_total",
             "Total number of times basic.get operations fetched no message on a queue", "get_empty"),
    Family("queue_deliveries_timed_out_total", COUNTER,
           "Total number of deliveries that were not settled within their timeout", lambda row: row.queue.timed_out),
)

DUPLICATES = Group(
    "queue_deduplication_metrics",
    (Family("queue_messages_deduplicated_total", COUNTER, "Total number of duplicates that a queue dropped",
            lambda row: row.queue.deduplicated,
            lambda snapshot: snapshot.broker.totals.deduplicated_by_queues),),
    QUEUES, _deduplicating, _labels, ("vhost", "queue"), summed=True, filtered=True, optional=True,
)

DELAYED = Group(
    "queue_delay_metrics",
    (_gauge("queue_messages_delayed", "Messages that wait for the time of their delivery",
            lambda row: row.info.messages_delayed),),
    QUEUES, _delaying, _labels, ("vhost", "queue"), summed=True, filtered=True, optional=True,
)

REPLACED = Group(
    "queue_last_value_metrics",
    (Family("queue_messages_replaced_total", COUNTER, "Total number of messages that newer ones replaced",
            lambda row: row.queue.replaced,
            lambda snapshot: snapshot.broker.totals.replaced),),
    QUEUES, _replacing, _labels, ("vhost", "queue"), summed=True, filtered=True, optional=True,
)

BATCHES = Group(
    "batch_metrics",
    (Family("open_batches", GAUGE, "Number of batches of messages that have not ended in success", _open_batches),),
    rows=_batching, labels=lambda vhost: (("vhost", vhost.name),), label_names=("vhost",), summed=True, filtered=True,
    optional=True,
)

JOBS = Group(
    "job_metrics",
    (Family("open_jobs", GAUGE, "Number of jobs that have not ended", _open_jobs),),
    rows=_with_jobs, labels=lambda vhost: (("vhost", vhost.name),), label_names=("vhost",), summed=True, filtered=True,
    optional=True,
)

MESSAGE_GROUPS = Group(
    "queue_group_metrics",
    (
        Family("queue_groups", GAUGE, "Number of message groups", lambda row: row.info.groups),
        Family("queue_groups_parked", GAUGE, "Number of message groups that stopped at a message that failed",
               lambda row: row.info.groups_parked),
        Family("queue_groups_closed", GAUGE,
               "Number of message groups that stopped because a message of theirs is in the dead letter queue",
               lambda row: row.info.groups_closed),
        Family("queue_messages_parked", GAUGE, "Number of waiting messages of parked groups",
               lambda row: row.info.messages_parked),
    ),
    QUEUES, _grouping, _labels, ("vhost", "queue"), summed=True, filtered=True, optional=True,
)

EXCHANGE = _group(
    "queue_exchange_metrics",
    _counter("queue_exchange_messages_published_total",
             "Total number of messages published into a queue through an exchange", "publish"),
)

PUBLISHED = Group(
    "channel_queue_exchange_metrics",
    (_counter("queue_messages_published_total", "Total number of messages published into a queue through an exchange"
              " on a channel", "publish"),),
    QUEUES, _rows, _published_labels, ("queue_vhost", "queue"), summed=True, filtered=True,
)
# fmt: on
