"""RabbitMQ's global counters, by protocol and by type of queue. They include deleted objects."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from amqpbroker.broker.counters.stats import CHANNEL_COUNTERS
from amqpbroker.broker.queues.kinds import KINDS
from amqpbroker.metrics.family import COUNTER, GAUGE, Family, Group, Labels
from amqpbroker.metrics.groups.channels import CHANNELS
from amqpbroker.metrics.groups.queues import QUEUES
from amqpbroker.metrics.snapshot import Snapshot

PROTOCOL = ("protocol", "amqp091")

_PUBLISH = CHANNEL_COUNTERS.index("publish")


class TypeRow(NamedTuple):
    """The counters of all queues of one kind."""

    kind: str
    counts: dict[str, int]


class DeadRow(NamedTuple):
    """The messages that left queues of one kind without an acknowledgement, by reason."""

    kind: str
    strategy: str
    counts: dict[str, int]


def _protocol(_: object) -> Labels:
    return (PROTOCOL,)


def _types(snapshot: Snapshot) -> Sequence[TypeRow]:
    return [TypeRow(kind, counts) for kind, counts in sorted(snapshot.by_type.items())]


def _type_labels(row: TypeRow) -> Labels:
    return PROTOCOL, ("queue_type", KINDS[row.kind].module)


def _strategies() -> Iterator[tuple[str, str]]:
    """Iterate over the kinds of queues, and the strategies of each."""
    for kind in KINDS.values():
        if not kind.retains:
            if kind.has_at_least_once:
                yield kind.name, "at_least_once"
            yield kind.name, "at_most_once"
            yield kind.name, "disabled"


def _dead(snapshot: Snapshot) -> Sequence[DeadRow]:
    found = {(name, strategy): DeadRow(name, strategy, {}) for name, strategy in _strategies()}
    for (kind, strategy, reason), count in snapshot.broker.totals.dead_letters.items():
        found.setdefault((kind, strategy), DeadRow(kind, strategy, {})).counts[reason] = count
    return list(found.values())


def _dead_labels(row: DeadRow) -> Labels:
    return ("queue_type", KINDS[row.kind].module), ("dead_letter_strategy", row.strategy)


def _publishers(snapshot: Snapshot) -> int:
    return sum([row.counters[_PUBLISH] > 0 for row in snapshot.channels])


def _traffic(name: str, text: str, counter: str) -> Family:
    def of(snapshot: Snapshot) -> int:
        return snapshot.traffic[counter]

    return Family(name, COUNTER, text, of)


def _delivered(name: str, text: str, *counters: str) -> Family:
    def of(row: TypeRow) -> int:
        return sum([row.counts[counter] for counter in counters])

    return Family(name, COUNTER, text, of)


def _dead_lettered(name: str, text: str, reason: str) -> Family:
    """Return a counter of dead letters. It omits impossible combinations.

    These are a delivery limit for kinds without one, and overflow that is dead-lettered at least once.
    """

    def of(row: DeadRow) -> int | None:
        count = row.counts.get(reason, 0)
        if reason == "delivery_limit":
            never = not KINDS[row.kind].has_delivery_limit
        else:
            never = reason == "maxlen" and row.strategy == "at_least_once"
        return None if never and not count else count

    return Family(name, COUNTER, text, of)


def _redriving(snapshot: Snapshot) -> Sequence[Snapshot]:
    return [snapshot] if snapshot.broker.totals.redrives else []


# fmt: off
CONSUMERS = Group("", (
    Family("global_consumers", GAUGE, "Current number of consumers",
           lambda snapshot: sum([row.info.consumer_count for row in snapshot.channels])),
), CHANNELS, labels=_protocol, label_names=("protocol",))

DEAD = Group("", (
    _dead_lettered("global_messages_dead_lettered_maxlen_total",
                   "Total number of messages dead-lettered due to overflow drop-head or reject-publish-dlx", "maxlen"),
    _dead_lettered("global_messages_dead_lettered_expired_total",
                   "Total number of messages dead-lettered due to message TTL exceeded", "expired"),
    _dead_lettered("global_messages_dead_lettered_rejected_total",
                   "Total number of messages dead-lettered due to basic.reject or basic.nack", "rejected"),
    _dead_lettered("global_messages_dead_lettered_delivery_limit_total",
                   "Total number of messages dead-lettered due to delivery-limit exceeded", "delivery_limit"),
), rows=_dead, labels=_dead_labels, label_names=("queue_type", "dead_letter_strategy"))

DELIVERED = Group("", (
    _delivered("global_messages_delivered_total", "Total number of messages delivered to consumers",
               "deliver_get"),
    _delivered("global_messages_delivered_consume_manual_ack_total",
               "Total number of messages delivered to consumers using basic.consume with manual acknowledgment",
               "deliver"),
    _delivered("global_messages_delivered_consume_auto_ack_total",
               "Total number of messages delivered to consumers using basic.consume with automatic acknowledgment",
               "deliver_no_ack"),
    _delivered("global_messages_delivered_get_manual_ack_total",
               "Total number of messages delivered to consumers using basic.get with manual acknowledgment", "get"),
    _delivered("global_messages_delivered_get_auto_ack_total",
               "Total number of messages delivered to consumers using basic.get with automatic acknowledgment",
               "get_no_ack"),
    _delivered("global_messages_get_empty_total",
               "Total number of times basic.get operations fetched no message", "get_empty"),
    _delivered("global_messages_redelivered_total", "Total number of messages redelivered to consumers", "redeliver"),
    _delivered("global_messages_acknowledged_total", "Total number of messages acknowledged by consumers", "ack"),
), QUEUES, _types, _type_labels, ("protocol", "queue_type"))

RECEIVED = Group("", (
    _traffic("global_messages_received_total", "Total number of messages received from publishers", "publish"),
    _traffic("global_messages_received_confirm_total",
             "Total number of messages received from publishers expecting confirmations", "received_confirm"),
    Family("global_messages_routed_total", COUNTER, "Total number of messages routed to queues or streams",
           lambda snapshot: snapshot.of_queues("publish")),
    _traffic("global_messages_unroutable_dropped_total",
             "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
             "drop_unroutable"),
    _traffic("global_messages_unroutable_returned_total",
             "Total number of messages published as mandatory into an exchange and returned to the publisher as"
             " unroutable", "return_unroutable"),
    _traffic("global_messages_confirmed_total", "Total number of messages confirmed to publishers", "confirm"),
    Family("global_publishers", GAUGE, "Current number of publishers", _publishers),
), CHANNELS | QUEUES, labels=_protocol, label_names=("protocol",))

REDRIVES = Group("redrive_metrics", (
    Family("redrives_running", GAUGE, "Current number of redrives",
           lambda snapshot: sum([vhost.redrives.running for vhost in snapshot.broker.vhosts.values()])),
    Family("redrive_messages_moved_total", COUNTER, "Total number of dead letters that redrives moved",
           lambda snapshot: snapshot.broker.totals.redriven),
    Family("redrive_messages_failed_total", COUNTER, "Total number of dead letters that redrives could not move",
           lambda snapshot: snapshot.broker.totals.not_redriven),
), rows=_redriving, optional=True)
# fmt: on
