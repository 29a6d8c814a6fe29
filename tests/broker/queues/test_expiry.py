from typing import Any

import pytest

from amqpbroker.broker.queues.expiry import BEHIND
from amqpbroker.compiled import is_compiled
from amqpbroker.config.bounds import BOUNDS
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
    parts.dispatcher.pop()
    parts.add(b"early", expiration_ms=10)
    parts.dispatcher.requeue([late])
    parts.dispatcher.pop()
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


def test_large_messages_at_the_head_expire_in_slices() -> None:
    parts = Parts(message_ttl_ms=5)
    parts.add(*[b"x" * (BOUNDS.leaving_bytes // 4)] * 10)
    parts.expiry.arm()
    parts.clock._now_ms += 5
    for left in 6, 2, 0:
        parts.clock.fire_due()
        assert (len(parts.bodies()), parts.expiry.is_behind) == (left, left > 0)
    assert (parts.expiry.count, parts.letter_counts) == (0, {EXPIRED: 10})


def test_many_messages_at_the_head_expire_in_slices() -> None:
    parts = Parts(message_ttl_ms=5, expiries=10)
    parts.add(*[b"%d" % number for number in range(25)])
    parts.expiry.arm()
    parts.clock._now_ms += 5
    for left in 15, 5, 0:
        parts.clock.fire_due()
        assert (len(parts.bodies()), parts.expiry.is_behind) == (left, left > 0)
    assert (parts.letter_counts, parts.clock.next_due_ms()) == ({EXPIRED: 25}, None)


def test_consumers_wait_until_all_expired_heads_have_left() -> None:
    parts = Parts(expiries=10)
    consumer = parts.subscriber(limit=0)
    parts.add(*[b"%d" % number for number in range(25)], expiration_ms=5)
    parts.add(b"stays")
    parts.clock._now_ms += 5
    consumer.limit = 1
    parts.dispatcher.offer(consumer)
    assert consumer.bodies == []
    assert 25 - 10 - 2 <= parts.expiry.count <= 25 - 10
    parts.clock.advance(0)
    assert (consumer.bodies, parts.bodies(), parts.letter_counts) == ([b"stays"], [], {EXPIRED: 25})


def test_expiry_goes_on_while_expired_heads_wait_for_the_timer() -> None:
    parts = Parts(message_ttl_ms=5, expiries=10)
    parts.add(*[b"%d" % number for number in range(25)])
    parts.clock._now_ms += 5
    parts.expiry.expire()
    seen = [(len(parts.bodies()), parts.expiry.goes_on)]
    while parts.clock.next_due_ms() is not None:
        parts.clock.fire_due()
        seen.append((len(parts.bodies()), parts.expiry.goes_on))
    assert seen == [(15, True), (5, True), (0, False)]


def test_expiry_does_not_go_on_once_it_is_stopped() -> None:
    parts = Parts(message_ttl_ms=5, expiries=10)
    parts.add(*[b"%d" % number for number in range(25)])
    parts.clock._now_ms += 5
    parts.expiry.expire()
    parts.expiry.stop()
    assert not parts.expiry.goes_on


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
    entry = parts.dispatcher.pop()
    parts.clock.advance(10)
    assert parts.letter_counts == {}
    parts.dispatcher.requeue([entry])
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
    assert parts.dispatcher.take_head() is not None
    assert died == [b"early", b"late"]


def deaths(parts: Parts) -> int:
    return parts.letter_counts.get(EXPIRED, 0)


def test_many_messages_expire_in_several_iterations_in_order_of_their_deadlines() -> None:
    parts = anywhere(expiries=10)
    parts.add(b"stays")
    parts.add(*[b"%d" % number for number in range(25)], expiration_ms=10)
    parts.add(b"first", expiration_ms=9)
    parts.clock.advance(10)
    parts.expiry.expire()
    for number in 10, 20, 26:
        assert deaths(parts) == number
        assert parts.bodies() == [b"stays", *[b"%d" % left for left in range(number - 1, 25)]]
        parts.clock.fire_due()
    assert parts.clock.next_due_ms() is None


def test_messages_of_an_iteration_are_limited_in_bytes() -> None:
    parts = anywhere()
    parts.add(*[b"x" * (BOUNDS.leaving_bytes // 4)] * 10, expiration_ms=10)
    parts.clock.advance(10)
    parts.expiry.expire()
    for number in 4, 8, 10:
        assert deaths(parts) == number
        parts.clock.fire_due()


def test_other_calls_expire_few_messages_while_expired_ones_wait() -> None:
    parts = anywhere(expiries=10)
    parts.add(*[b"x"] * 25, expiration_ms=10)
    parts.clock.advance(10)
    assert not parts.expiry.expire()
    assert deaths(parts) == 10
    assert not parts.expiry.expire()
    assert deaths(parts) == 10 + BEHIND


@pytest.mark.parametrize("quorum", [False, True], ids=["classic", "quorum"])
@pytest.mark.parametrize("consumers", [1, 2])
def test_consumers_get_no_message_before_all_expired_ones_are_removed(consumers: int, quorum: bool) -> None:
    parts = anywhere(quorum=quorum, expiries=10)
    parts.add(*[b"late"] * 55, expiration_ms=10)
    parts.add(b"1", b"2")
    taking = [parts.subscriber(f"c{number}", limit=0) for number in range(consumers)]
    parts.clock.advance(10)
    parts.dispatcher.drain()
    for number in 10, 20:
        assert number <= 55 - parts.expiry.count < 55
        for each in taking:
            each.limit = 1 << 30
            parts.dispatcher.offer(each)
            assert each.bodies == []
        parts.clock.fire_due()
    for _ in range(4):
        parts.clock.fire_due()
    assert sorted([body for each in taking for body in each.bodies]) == [b"1", b"2"]
    assert parts.expiry.count == 0


def test_expired_head_waits_until_messages_with_earlier_deadlines_are_removed() -> None:
    parts = anywhere(expiries=10)
    parts.add(b"head", expiration_ms=20)
    parts.add(*[b"early"] * 11, expiration_ms=10)
    parts.clock.advance(20)
    assert parts.dispatcher.take_head() is None
    assert parts.bodies() == [b"head", b"early"]
    assert parts.expiry.count == 2
    parts.clock.fire_due()
    assert (parts.bodies(), parts.expiry.count, deaths(parts)) == ([], 0, 12)


def test_stale_deadlines_do_not_keep_consumers_waiting() -> None:
    parts = anywhere(expiries=1)
    parts.add(*[b"taken"] * 5, expiration_ms=10)
    held = [parts.dispatcher.pop() for _ in range(4)]
    parts.clock.advance(10)
    assert parts.expiry.expire()
    parts.add(b"later", expiration_ms=1000)
    assert parts.expiry.expire()
    assert (len(held), deaths(parts)) == (4, 1)
