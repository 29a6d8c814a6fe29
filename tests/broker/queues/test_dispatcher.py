from typing import Any

import pytest

from amqpbroker.broker.queues.entry import Entry
from tests.broker.queueing import Subscriber
from tests.broker.queues.parts import Parts


class Ordered(Subscriber):
    """Records deliveries. order: tags of the consumers that got a message, in the order of their deliveries."""

    def __init__(self, order: list[str], *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self.order = order

    def deliver(self, entry: Entry) -> None:
        self.order.append(self.tag)
        super().deliver(entry)


@pytest.fixture(params=[False, True], ids=["plain", "rounds"])
def parts(request: pytest.FixtureRequest) -> Parts:
    return Parts(quorum=request.param)


def test_delivered_messages_count_as_unacknowledged(parts: Parts) -> None:
    consumer = parts.subscriber(limit=2)
    parts.add(b"1", b"2", b"3")
    parts.dispatcher.drain()
    assert (consumer.bodies, parts.bodies(), parts.outstanding.count) == ([b"1", b"2"], [b"3"], 2)


def test_expired_message_behind_the_delivered_ones_is_removed_at_once(parts: Parts) -> None:
    consumer = parts.subscriber(limit=1)
    parts.add(b"1", b"2")
    parts.add(b"overdue", expiration_ms=10)
    parts.dispatcher.drain()
    parts.clock.advance(10)
    (entry,) = consumer.held
    parts.outstanding.settle(entry)
    parts.dispatcher.offer(consumer)
    assert (consumer.bodies, parts.bodies(), parts.expiry.count) == ([b"1", b"2"], [], 0)


def test_no_ack_delivery_is_removed(parts: Parts) -> None:
    consumer = parts.subscriber(no_ack=True)
    entry = parts.entry(b"1", persistent=True)
    parts.dispatcher.deliver(consumer, entry)
    assert (consumer.bodies, parts.dispatcher.no_ack, parts.outstanding.count) == ([b"1"], 1, 0)
    assert parts.store.told == [("enqueue", b"1"), ("settle", b"1")]


def test_store_records_the_delivery_of_a_stored_message(parts: Parts) -> None:
    parts.dispatcher.deliver(parts.subscriber(), parts.entry(b"1", persistent=True))
    assert parts.store.told == [("enqueue", b"1"), ("returned", b"1")]


def test_consumers_get_messages_round_robin() -> None:
    parts = Parts()
    a, b = parts.subscriber("a"), parts.subscriber("b")
    parts.add(b"1", b"2", b"3", b"4")
    parts.dispatcher.drain()
    assert (a.bodies, b.bodies) == ([b"1", b"3"], [b"2", b"4"])


def test_quorum_round_delivers_per_consumer_and_leaves_no_reservation() -> None:
    parts = Parts(quorum=True)
    order: list[str] = []
    a, b = Ordered(order, parts.owner, "a", limit=2), Ordered(order, parts.owner, "b", limit=2)
    for each in (a, b):
        parts.consumers.add(each)
    parts.add(b"1", b"2", b"3", b"4", b"5")
    parts.dispatcher.drain()
    assert order == ["a", "a", "b", "b"]
    assert (a.unacked, b.unacked, parts.outstanding.count) == (2, 2, 4)
    assert [entry.message.body for entry in a.held] == [b"1", b"3"]


def test_expired_message_is_not_delivered(parts: Parts) -> None:
    parts.add(b"old", expiration_ms=5)
    parts.add(b"new")
    parts.clock.advance(5)
    entry = parts.dispatcher.take_head()
    assert entry is not None
    assert (entry.message.body, parts.expiry.count, parts.ledger.left) == (b"new", 0, 1)
    assert parts.dispatcher.take_head() is None


def test_offer_sets_the_timer_for_remaining_messages(parts: Parts) -> None:
    consumer = parts.subscriber(limit=1)
    parts.add(b"1", b"2", expiration_ms=20)
    parts.dispatcher.offer(consumer)
    assert consumer.bodies == [b"1"]
    assert parts.clock.next_due_ms() == parts.clock.now_ms() + 20


@pytest.mark.parametrize("quorum", [False, True])
def test_consumers_resume_in_the_order_in_which_they_were_blocked(quorum: bool) -> None:
    """Check the order that is recorded as prefetch/whole_channel_order_of_the_stopped_before_1."""
    parts = Parts(quorum=quorum)
    parts.add(b"1", b"2")
    first = parts.subscriber(limit=1)
    parts.dispatcher.offer(first)
    second = parts.subscriber(limit=0)
    parts.dispatcher.offer(second)
    assert (first.ringed, second.ringed, first.bodies) == (False, False, [b"1"])
    first.limit = second.limit = 2
    parts.dispatcher.offer_all([first, second])
    assert (first.bodies, second.bodies) == ([b"1", b"2"], [])


def test_requeued_message_returns_to_its_position_and_can_expire() -> None:
    parts = Parts()
    first, _ = parts.add(b"1", b"2", expiration_ms=5)
    assert parts.dispatcher.pop() is first
    assert parts.expiry.count == 1
    parts.dispatcher.requeue([first])
    assert (parts.bodies(), parts.expiry.count) == ([b"1", b"2"], 2)


def test_requeue_last_puts_a_message_behind_all_others(parts: Parts) -> None:
    first, _ = parts.add(b"1", b"2", expiration_ms=5)
    parts.dispatcher.pop()
    parts.dispatcher.requeue_last(first)
    assert (parts.bodies(), parts.expiry.count) == ([b"2", b"1"], 2)


def test_clear_removes_all_messages(parts: Parts) -> None:
    consumer = parts.subscriber(limit=0)
    parts.add(b"1", b"2", expiration_ms=5)
    assert parts.dispatcher.clear() == 2
    assert (parts.bodies(), parts.expiry.count, parts.ledger.left, consumer.ringed) == ([], 0, 2, False)
    assert parts.dispatcher.clear() == 0


def test_discarding_ready_messages_does_not_change_the_store(parts: Parts) -> None:
    parts.ready.push(parts.entry(b"1", persistent=True))
    parts.dispatcher.discard()
    assert parts.dispatcher.ready.count == 0
    assert parts.store.told == [("enqueue", b"1")]
