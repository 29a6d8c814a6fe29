"""Counters of queues and exchanges, and their representation in the API."""

from amqpbroker.broker.counters.stats import (
    CHANNEL_COUNTERS,
    QUEUE_COUNTERS,
    Counted,
    Sample,
    Totals,
    message_stats,
    named,
)
from tests.broker.queueing import Subscriber, clock_of, declare, make_vhost, message, publish


class Fixed:
    """An object with fixed counters."""

    counter_names = ("deliver", "messages_ready")

    def __init__(self, *numbers: int) -> None:
        self.sample: Sample | None = None
        self.numbers = numbers

    def counters(self) -> tuple[int, ...]:
        return self.numbers


def counts(counted: Counted) -> dict[str, int]:
    """Return the counters that are not 0."""
    pairs = zip(counted.counter_names, counted.counters(), strict=True)
    return {name: count for name, count in pairs if count}


def stats_of(names: tuple[str, ...], **numbers: int) -> dict[str, int]:
    return message_stats(names, tuple([numbers.get(name, 0) for name in names]))


# --- representation ---------------------------------------------------------------------------------------------------


def test_message_stats_without_any_event_are_empty():
    assert stats_of(CHANNEL_COUNTERS) == {}


def test_message_stats_show_all_publish_counters_if_one_is_not_zero():
    shown = {"publish": 2, "confirm": 0, "return_unroutable": 0, "drop_unroutable": 0}
    assert stats_of(CHANNEL_COUNTERS, publish=2) == shown


def test_message_stats_show_all_delivery_counters_with_their_sum():
    assert stats_of(QUEUE_COUNTERS, deliver=3, deliver_no_ack=1, get=2, get_no_ack=4, get_empty=7, ack=1) == {
        "deliver": 3,
        "deliver_no_ack": 1,
        "get": 2,
        "get_no_ack": 4,
        "get_empty": 7,
        "redeliver": 0,
        "ack": 1,
        "deliver_get": 10,
    }


def test_queue_length_and_confirm_mode_publishes_are_not_message_stats():
    assert stats_of(QUEUE_COUNTERS, messages_ready=3) == {}
    assert stats_of(CHANNEL_COUNTERS, received_confirm=3) == {}


def test_counters_are_shown_together_with_their_sums():
    found = named(("messages_ready", "messages_unacknowledged", "ack"), (2, 3, 1))
    assert found == {"messages_ready": 2, "messages_unacknowledged": 3, "ack": 1, "messages": 5}


# --- totals -----------------------------------------------------------------------------------------------------------


def test_totals_include_counts_but_not_gauges_of_removed_members():
    totals = Totals(Fixed.counter_names)
    stays, goes = Fixed(1, 10), Fixed(2, 20)
    totals.add(stays)
    totals.add(goes)
    assert totals.counters() == (3, 30)
    totals.remove(goes)
    totals.remove(goes)
    assert totals.counters() == (3, 10)
    assert totals.gone() == (2, 0)


def test_totals_include_events_counted_without_a_member():
    totals = Totals(CHANNEL_COUNTERS)
    totals.count(publish=2, get=1)
    assert counts(totals) == {"publish": 2, "get": 1}


# --- queues -----------------------------------------------------------------------------------------------------------


def test_queue_counts_each_kind_of_removal():
    vhost = make_vhost()
    queue = declare(vhost)
    publish(queue, b"a", b"b", b"c", b"d", b"e")
    assert queue.get(no_ack=True) is not None
    got = queue.get(no_ack=False)
    assert got is not None
    queue.ack(got)
    consumer = Subscriber(queue, limit=2).subscribe()
    consumer.ack()
    Subscriber(queue, no_ack=True).subscribe()
    publish(queue, b"f")
    assert queue.get(no_ack=True) is None
    assert counts(queue) == {
        "publish": 6,
        "deliver": 3,
        "deliver_no_ack": 1,
        "get": 1,
        "get_no_ack": 1,
        "get_empty": 1,
        "ack": 2,
        "messages_unacknowledged": 2,
    }


def test_redelivery_counts_as_delivery_not_as_acknowledgement():
    queue = declare(make_vhost())
    publish(queue, b"a", b"b")
    consumer = Subscriber(queue, limit=1).subscribe()
    consumer.requeue()
    consumer.reject()
    assert counts(queue) == {"publish": 2, "deliver": 3, "messages_unacknowledged": 1}


def test_dropped_and_refused_messages_count_as_published():
    for overflow in ("drop-head", "reject-publish", "reject-publish-dlx"):
        queue = declare(make_vhost(), max_length=1, overflow=overflow)
        for body in (b"a", b"b", b"c"):
            queue.publish(message(body))
        assert counts(queue) == {"publish": 3, "messages_ready": 1}, overflow


def test_purged_and_expired_messages_are_not_acknowledged():
    vhost = make_vhost()
    queue = declare(vhost)
    publish(queue, b"a", b"b")
    queue.purge()
    publish(queue, b"c", expiration_ms=10)
    clock_of(vhost).advance(10)
    assert counts(queue) == {"publish": 3}


def test_dead_letters_count_at_their_source_and_not_as_publishes_at_their_destination():
    vhost = make_vhost()
    grave = declare(vhost, "grave")
    queue = declare(vhost, dead_letter_exchange="", dead_letter_routing_key="grave", message_ttl=10)
    dead_end = declare(vhost, "dead end", queue_type="quorum", max_length=1)
    publish(queue, b"a", b"b")
    publish(dead_end, b"c", b"d", b"e")
    Subscriber(queue, limit=1).subscribe().reject()
    clock_of(vhost).advance(10)
    assert counts(grave) == {"messages_ready": 1}
    assert vhost.totals.dead_letters == {
        ("quorum", "disabled", "maxlen"): 2,
        ("classic", "at_most_once", "rejected"): 1,
    }


def test_queue_counts_bytes_of_unacknowledged_messages():
    queue = declare(make_vhost())
    publish(queue, b"a", b"bb", b"ccc", b"dddd")
    consumer = Subscriber(queue, limit=3).subscribe()
    assert (queue.outstanding.size, queue.ready.size) == (6, 4)
    consumer.ack()
    assert (queue.outstanding.size, queue.ready.size) == (9, 0)
    consumer.ack_all(2)
    assert queue.outstanding.size == 4


def test_deleted_queue_is_included_in_totals():
    vhost = make_vhost()
    queue = declare(vhost)
    publish(queue, b"a", b"b")
    Subscriber(queue, limit=1).subscribe().ack()
    vhost.delete_queue(queue)
    assert counts(vhost.totals.queues["classic"]) == {"publish": 2, "deliver": 2, "ack": 1}
    assert counts(vhost.totals.churn) == {"queue_created": 1, "queue_declared": 1, "queue_deleted": 1}


def test_redeclaration_counts_as_declared_but_not_as_created():
    vhost = make_vhost()
    declare(vhost)
    declare(vhost)
    assert counts(vhost.totals.churn) == {"queue_created": 1, "queue_declared": 2}


def test_operations_without_a_channel_count_for_vhost_and_broker():
    vhost = make_vhost()
    vhost.count(publish=1, drop_unroutable=1)
    assert counts(vhost.totals.traffic) == {"publish": 1, "drop_unroutable": 1}
    assert vhost.message_stats() == {"publish": 1, "confirm": 0, "return_unroutable": 0, "drop_unroutable": 1}


def test_exchange_counts_publishes_without_a_channel():
    exchange = make_vhost().exchange("amq.fanout")
    exchange.count_published(3)
    exchange.count_published(0)
    assert exchange.message_stats() == {"publish_in": 2, "publish_out": 3}
