from dataclasses import replace
from typing import Any

import pytest

from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.expiry import BEHIND
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.clock import ManualClock
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.message import MESSAGE_BYTES
from tests.broker.queueing import (
    Subscriber,
    clock_of,
    declare,
    get,
    message,
    publish,
    ready,
    reasons,
    with_graves,
)
from tests.harness import make_broker


def test_drop_head_keeps_the_newest_messages(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, max_length=2)
    publish(queue, b"1", b"2", b"3", b"4")
    assert ready(queue) == [b"3", b"4"]
    assert reasons(grave) == [(b"1", "maxlen"), (b"2", "maxlen")]


def test_max_length_bytes_drops_as_many_messages_as_necessary(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, max_length_bytes=10)
    publish(queue, b"1234", b"5678", b"90")
    assert queue.ready_count == 3
    publish(queue, b"abcdefg")
    assert ready(queue) == [b"90", b"abcdefg"]
    publish(queue, b"larger than all of it")
    assert ready(queue) == []
    assert len(reasons(grave)) == 5


@pytest.mark.parametrize(("kind", "order"), [("classic", [b"1", b"2", b"3"]), ("quorum", [b"3", b"2", b"1"])])
def test_order_of_dead_letters_depends_on_the_queue_type(vhost: Vhost, kind: str, order: list[bytes]) -> None:
    queue, grave = with_graves(vhost, max_length_bytes=3, queue_type=kind)
    publish(queue, b"1", b"2", b"3", b"all")
    assert ready(queue) == [b"all"]
    assert ready(grave) == order


def test_in_a_priority_queue_the_head_is_of_the_highest_priority(vhost: Vhost) -> None:
    queue = declare(vhost, max_length=2, max_priority=3)
    publish(queue, b"low")
    publish(queue, b"high", priority=3)
    publish(queue, b"mid", priority=1)
    assert ready(queue) == [b"mid", b"low"]


def test_unacknowledged_messages_do_not_count_for_max_length(vhost: Vhost) -> None:
    queue = declare(vhost, max_length=2)
    one = Subscriber(queue, limit=3).subscribe()
    publish(queue, b"1", b"2", b"3", b"4", b"5")
    assert (queue.ready_count, queue.unacked_count) == (2, 3)
    one.relimit(0)
    one.requeue(3)
    assert ready(queue) == [b"4", b"5"]


@pytest.mark.parametrize(("kind", "redelivered"), [("classic", b"2"), ("quorum", b"1")])
def test_requeue_to_a_full_queue_drops_unless_a_quorum_queue_can_deliver(
    vhost: Vhost, kind: str, redelivered: bytes
) -> None:
    queue = declare(vhost, max_length=1, queue_type=kind)
    one = Subscriber(queue, limit=1).subscribe()
    publish(queue, b"1", b"2")
    one.requeue()
    assert one.bodies == [b"1", redelivered]
    assert queue.ready_count == (kind == "quorum")


@pytest.mark.parametrize("arguments", [{"max_length": 0}, {"max_length_bytes": 0}])
def test_limit_of_0_accepts_messages_that_are_delivered_at_once(vhost: Vhost, arguments: dict[str, int]) -> None:
    queue, grave = with_graves(vhost, **arguments)
    publish(queue, b"1")
    assert (queue.ready_count, reasons(grave)) == (0, [(b"1", "maxlen")])
    one = Subscriber(queue).subscribe()
    publish(queue, b"2")
    assert one.bodies == [b"2"]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_message_over_a_limit_counts_as_overflow_even_if_it_has_expired(vhost: Vhost, kind: str) -> None:
    queue, grave = with_graves(vhost, max_length=0, queue_type=kind)
    publish(queue, b"1", expiration_ms=0)
    assert reasons(grave) == [(b"1", "maxlen")]


def test_expired_requeue_over_the_limit_counts_as_overflow(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, max_length=1)
    publish(queue, b"1", expiration_ms=100)
    entry = get(queue)
    publish(queue, b"2")
    clock_of(vhost).advance(100)
    queue.requeue([entry])
    assert reasons(grave) == [(b"1", "maxlen")]


def test_expired_messages_behind_dropped_ones_are_removed_too(vhost: Vhost) -> None:
    queue, grave = with_graves(vhost, max_length=2)
    publish(queue, b"1")
    publish(queue, b"2", expiration_ms=0)
    publish(queue, b"3")
    assert reasons(grave) == [(b"1", "maxlen"), (b"2", "expired")]
    assert ready(queue) == [b"3"]


@pytest.mark.parametrize("overflow", ["reject-publish", "reject-publish-dlx"])
@pytest.mark.parametrize("arguments", [{"max_length": 2}, {"max_length_bytes": 3}])
def test_reject_publish_refuses_new_messages_to_a_full_queue(
    vhost: Vhost, overflow: str, arguments: dict[str, int]
) -> None:
    queue, grave = with_graves(vhost, overflow=overflow, **arguments)
    publish(queue, b"1", b"2")
    assert not queue.publish(message(b"33"))
    assert ready(queue) == [b"1", b"2"]
    assert reasons(grave) == ([(b"33", "maxlen")] if overflow == "reject-publish-dlx" else [])
    get(queue)
    publish(queue, b"4")
    assert ready(queue) == [b"2", b"4"]


def test_full_quorum_queue_accepts_one_more_message_then_none_until_it_shrinks(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum", overflow="reject-publish", max_length=5)
    taken = [queue.publish(message(b"%d" % i)) for i in range(8)]
    assert taken == [True] * 6 + [False] * 2
    assert queue.refuses(1, 1)
    queue.get(no_ack=True)
    assert not queue.publish(message(b"at the limit"))
    queue.get(no_ack=True)
    assert not queue.refuses(1, 1)
    assert [queue.publish(message(b"again")) for _ in range(3)] == [True, True, False]


def test_requeue_over_the_limit_makes_a_quorum_queue_refuse_publishes(vhost: Vhost) -> None:
    queue = declare(vhost, queue_type="quorum", overflow="reject-publish", max_length=2)
    publish(queue, b"1", b"2")
    held = [queue.get(no_ack=False), queue.get(no_ack=False)]
    publish(queue, b"3")
    queue.requeue([entry for entry in held if entry is not None])
    assert queue.ready_count == 3
    assert not queue.publish(message(b"4"))
    queue.purge()
    assert queue.publish(message(b"5"))


def test_reject_publish_drops_nothing_that_is_requeued(vhost: Vhost) -> None:
    queue = declare(vhost, overflow="reject-publish", max_length=1)
    publish(queue, b"1")
    entry = get(queue)
    publish(queue, b"2")
    queue.requeue([entry])
    assert ready(queue) == [b"1", b"2"]
    assert not queue.publish(message(b"3"))


def test_a_smaller_limit_trims_at_once(vhost: Vhost) -> None:
    queue = declare(vhost)
    publish(queue, b"1", b"2", b"3")
    queue.apply_settings(QueueSettings(max_length=1))
    assert ready(queue) == [b"3"]


# --- many messages over the limit -------------------------------------------------------------------------------------


def lowered(arguments: dict[str, Any], **bounds: int) -> tuple[LocalQueue, LocalQueue, ManualClock]:
    """Return a queue of ten messages whose limit has just become two, with the queue of its dead letters."""
    vhost = make_broker(bounds=BOUNDS._replace(**{"departures": 3, **bounds})).vhosts["/"]
    queue, grave = with_graves(vhost, **arguments)
    publish(queue, *[b"%d" % number for number in range(10)])
    queue.apply_settings(replace(queue.settings, max_length=2))
    return queue, grave, clock_of(vhost)


@pytest.mark.parametrize(
    ("kind", "order"), [({}, "01234567"), ({"queue_type": "quorum"}, "21054376"), ({"max_priority": 3}, "01234567")]
)
def test_many_messages_over_a_lowered_limit_are_dropped_in_slices(kind: dict[str, Any], order: str) -> None:
    queue, grave, clock = lowered(kind)
    counts = [queue.ready_count]
    while clock.next_due_ms() is not None:
        clock.fire_due()
        counts.append(queue.ready_count)
    assert counts == [7, 4, 2]
    assert ready(grave) == [each.encode() for each in order]


def test_publishes_between_slices_drop_only_some_more() -> None:
    queue, _, clock = lowered({})
    publish(queue, b"new")
    assert queue.ready_count == 7 + 1 - BEHIND
    clock.advance(0)
    assert ready(queue) == [b"9", b"new"]


def test_slice_ends_at_the_size_that_may_leave_at_once() -> None:
    queue, _, clock = lowered({}, departures=100, leaving_bytes=2 * MESSAGE_BYTES)
    assert queue.ready_count == 8
    clock.advance(0)
    assert queue.ready_count == 2


def test_higher_limit_ends_the_dropping() -> None:
    queue, _, clock = lowered({})
    queue.apply_settings(replace(queue.settings, max_length=6))
    clock.advance(0)
    assert queue.ready_count == 6


@pytest.mark.parametrize("end", ["delete", "discard"])
def test_queue_that_ends_drops_no_more_messages(end: str) -> None:
    queue, grave, clock = lowered({})
    if end == "discard":
        queue.discard()
    else:
        queue.close()
    clock.advance(0)
    assert (clock.next_due_ms(), grave.ready_count) == (None, 3)


def test_letters_that_return_to_a_queue_over_its_limit_do_not_drop_all_at_once(vhost: Vhost) -> None:
    vhost = make_broker(bounds=BOUNDS._replace(departures=3)).vhosts["/"]
    queue = declare(vhost, dead_letter_exchange="", dead_letter_routing_key="other")
    declare(vhost, "other", dead_letter_exchange="", dead_letter_routing_key="q", max_length=0)
    publish(queue, *[b"%d" % number for number in range(10)])
    queue.apply_settings(replace(queue.settings, max_length=2))
    assert 2 < queue.ready_count <= 10
    clock_of(vhost).advance(0)
    assert queue.ready_count == 2
