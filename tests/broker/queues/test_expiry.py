from typing import Any

import pytest

from amqpbroker.broker.queues.ledger import LEAVING_BYTES
from amqpbroker.compiled import is_compiled
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


# --- messages at any position -----------------------------------------------------------------------------------------


def anywhere(**settings: Any) -> Parts:
    return Parts(message_ttl_mode="any", **settings)


def test_messages_behind_the_head_expire_if_any_message_may() -> None:
    parts = anywhere()
    parts.add(b"stays")
    parts.add(b"2", expiration_ms=20)
    parts.add(b"1", expiration_ms=10)
    parts.expiry.arm()
    parts.clock.advance(10)
    assert (parts.bodies(), parts.expiry.count) == ([b"stays", b"2"], 1)
    parts.clock.advance(10)
    assert (parts.bodies(), parts.expiry.count, parts.letter_counts) == ([b"stays"], 0, {EXPIRED: 2})
    assert parts.clock.next_due_ms() is None


def test_one_timer_waits_for_the_earliest_deadline_of_all() -> None:
    parts = anywhere()
    for expiration_ms in 30, 10, 20:
        parts.add(b"x", expiration_ms=expiration_ms)
        parts.expiry.arm()
    assert parts.clock.next_due_ms() == parts.clock.now_ms() + 10


def test_unacknowledged_message_expires_when_it_returns() -> None:
    parts = anywhere()
    parts.add(b"1", expiration_ms=10)
    parts.expiry.arm()
    entry = parts.offering.pop()
    parts.clock.advance(10)
    assert parts.letter_counts == {}
    parts.offering.requeue([entry])
    parts.expiry.expire()
    assert (parts.bodies(), parts.letter_counts) == ([], {EXPIRED: 1})


def test_mode_changes_while_messages_wait() -> None:
    parts = Parts()
    parts.add(b"stays")
    parts.add(b"1", b"2", expiration_ms=10)
    parts.clock.advance(10)
    parts.expiry.expire()
    assert parts.bodies() == [b"stays", b"1", b"2"]
    parts.expiry.apply(anywhere().settings)
    assert (parts.bodies(), parts.expiry.count) == ([b"stays"], 0)
    parts.add(b"3", expiration_ms=10)
    parts.expiry.apply(Parts().settings)
    parts.clock.advance(10)
    parts.expiry.expire()
    assert (parts.bodies(), parts.expiry.count) == ([b"stays", b"3"], 1)


@pytest.mark.skipif(is_compiled(), reason="methods of compiled classes cannot be replaced")
def test_overdue_head_is_dead_lettered_after_messages_with_earlier_deadlines() -> None:
    parts = anywhere()
    died: list[bytes] = []
    parts.ledger.dead_letter = lambda entries, _: died.extend([entry.message.body for entry in entries])  # type: ignore[method-assign]
    parts.add(b"late", expiration_ms=20)
    parts.add(b"early", expiration_ms=10)
    parts.add(b"later", expiration_ms=21)
    parts.clock.advance(20)
    assert parts.offering.take_head() is not None
    assert died == [b"early", b"late"]
