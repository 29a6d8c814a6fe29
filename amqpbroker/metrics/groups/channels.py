"""Metrics of channels."""

from collections.abc import Callable, Sequence

from amqpbroker.broker.counters.stats import CHANNEL_COUNTERS
from amqpbroker.metrics.family import COUNTER, GAUGE, Family, Group, Labels
from amqpbroker.metrics.snapshot import ChannelRow, Snapshot

CHANNELS = frozenset({"channels"})


def _rows(snapshot: Snapshot) -> Sequence[ChannelRow]:
    return snapshot.channels


def _labels(row: ChannelRow) -> Labels:
    return (("channel", row.info.name),)


def _vhost_labels(row: ChannelRow) -> Labels:
    return ("channel", row.info.name), ("vhost", row.vhost)


def _counter(name: str, text: str, counter: str) -> Family:
    place = CHANNEL_COUNTERS.index(counter)

    def of(row: ChannelRow) -> int:
        return row.counters[place]

    def total(snapshot: Snapshot) -> int:
        return snapshot.traffic[counter]

    return Family(name, COUNTER, text, of, total)


def _gauge(name: str, text: str, of: Callable[[ChannelRow], float]) -> Family:
    return Family(name, GAUGE, text, of)


def _counters(name: str, *families: Family) -> Group:
    return Group(name, families, CHANNELS, _rows, _vhost_labels, ("channel", "vhost"), summed=True, filtered=True)


# fmt: off
METRICS = Group(
    "channel_metrics",
    (
        _gauge("channel_consumers", "Consumers on a channel", lambda row: row.info.consumer_count),
        _gauge("channel_messages_unacked", "Delivered but not yet acknowledged messages",
               lambda row: row.info.messages_unacknowledged),
        _gauge("channel_messages_unconfirmed", "Published but not yet confirmed messages",
               lambda row: row.info.messages_unconfirmed),
        _gauge("channel_messages_uncommitted", "Messages received in a transaction but not yet committed",
               lambda row: row.info.messages_uncommitted),
        _gauge("channel_acks_uncommitted", "Message acknowledgements in a transaction not yet committed",
               lambda row: row.info.acks_uncommitted),
        _gauge("consumer_prefetch", "Limit of unacknowledged messages for each consumer",
               lambda row: row.info.prefetch_count),
        _gauge("channel_prefetch", "Deprecated and will be removed in a future version",
               lambda row: row.info.global_prefetch_count),
    ),
    CHANNELS, _rows, _labels, ("channel",), summed=True,
)

EXCHANGE = _counters(
    "channel_exchange_metrics",
    _counter("channel_messages_published_total",
             "Total number of messages published into an exchange on a channel", "publish"),
    _counter("channel_messages_confirmed_total",
             "Total number of messages published into an exchange and confirmed on the channel", "confirm"),
    _counter("channel_messages_unroutable_returned_total",
             "Total number of messages published as mandatory into an exchange and returned to the publisher as"
             " unroutable", "return_unroutable"),
    _counter("channel_messages_unroutable_dropped_total",
             "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
             "drop_unroutable"),
)

QUEUE = _counters(
    "channel_queue_metrics",
    _counter("channel_get_ack_total",
             "Total number of messages fetched with basic.get in manual acknowledgement mode", "get"),
    _counter("channel_get_total",
             "Total number of messages fetched with basic.get in automatic acknowledgement mode", "get_no_ack"),
    _counter("channel_messages_delivered_ack_total",
             "Total number of messages delivered to consumers in manual acknowledgement mode", "deliver"),
    _counter("channel_messages_delivered_total",
             "Total number of messages delivered to consumers in automatic acknowledgement mode", "deliver_no_ack"),
    _counter("channel_messages_redelivered_total",
             "Total number of messages redelivered to consumers", "redeliver"),
    _counter("channel_messages_acked_total",
             "Total number of messages acknowledged by consumers", "ack"),
    _counter("channel_get_empty_total",
             "Total number of times basic.get operations fetched no message", "get_empty"),
)
# fmt: on
