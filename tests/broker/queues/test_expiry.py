import pytest

from amqpbroker.broker.queues.ledger import LEAVING_BYTES
from tests.broker.queueing import message
from tests.broker.queues.parts import Parts

EXPIRED = ("classic", "disabled", "expired")


@pytest.mark.parametrize(
    ("ttl_ms", "expiration_ms", "after_ms"),
    [(-1, -1, None), (50, -1, 50), (-1, 70, 70), (50, 70, 50), (90, 70, 70), (0, 70, 0)],
)
def test_smaller_of_ttl_and_expiration_is_used(ttl_ms: int, expiration_ms: int, after_ms: int | None) -> None:
    parts = Parts(message_ttl_ms=ttl_ms)
    deadline_ms = parts.expiry.deadline_ms(message(expiration_ms=expiration_ms))
    assert deadline_ms == (0 if after_ms is None else parts.clock.wall_ms() + after_ms)


def test_only_expired_messages_at_the_head_are_removed() -> None:
    parts = Parts()
    parts.add(b"1", b"2", expiration_ms=10)
    parts.add(b"stays")
    parts.add(b"3", expiration_ms=10)
    parts.clock.advance(10)
    parts.expiry.expire()
    assert (parts.bodies(), parts.expiry.count) == ([b"stays", b"3"], 1)
    assert parts.letter_counts == {EXPIRED: 2}


def test_expiry_timer_is_set_for_the_head_message_only() -> None:
    parts = Parts()
    parts.add(b"1", expiration_ms=10)
    parts.expiry.arm()
    parts.add(b"2", expiration_ms=30)
    parts.expiry.arm()
    assert parts.clock.next_due_ms() == parts.clock.now_ms() + 10
    parts.clock.advance(10)
    assert parts.bodies() == [b"2"]
    assert parts.clock.next_due_ms() == parts.clock.now_ms() + 20
    parts.clock.advance(20)
    assert (parts.bodies(), parts.clock.next_due_ms()) == ([], None)


def test_head_that_expires_earlier_advances_the_expiry_timer() -> None:
    parts = Parts()
    (late,) = parts.add(b"late", expiration_ms=90)
    parts.expiry.arm()
    parts.offering.pop()
    parts.add(b"early", expiration_ms=10)
    parts.offering.requeue([late])
    parts.offering.pop()
    parts.expiry.arm()
    assert parts.clock.next_due_ms() == parts.clock.now_ms() + 10


def test_consumers_are_updated_when_the_timer_empties_the_queue() -> None:
    parts = Parts()
    consumer = parts.subscriber(limit=0)
    assert consumer.ringed
    parts.add(b"1", expiration_ms=10)
    parts.expiry.arm()
    parts.clock.advance(10)
    assert (parts.bodies(), consumer.ringed) == ([], False)


def test_messages_of_several_batches_expire_at_once() -> None:
    parts = Parts(message_ttl_ms=5)
    parts.add(*[b"x" * (LEAVING_BYTES // 4)] * 10)
    parts.clock.advance(5)
    parts.expiry.expire()
    assert (parts.bodies(), parts.expiry.count, parts.letter_counts) == ([], 0, {EXPIRED: 10})


def test_new_ttl_applies_to_later_messages() -> None:
    parts = Parts(message_ttl_ms=10)
    parts.add(b"1")
    parts.expiry.apply(Parts(message_ttl_ms=-1).settings)
    (later,) = parts.add(b"2")
    assert later.deadline_ms == 0
    parts.clock.advance(10)
    parts.expiry.expire()
    assert (parts.bodies(), parts.expiry.count) == ([b"2"], 0)


def test_stopped_expiry_has_no_timer() -> None:
    parts = Parts()
    parts.add(b"1", expiration_ms=10)
    parts.expiry.arm()
    parts.expiry.stop()
    assert parts.clock.next_due_ms() is None
