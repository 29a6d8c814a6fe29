"""The ledgers of the crash test report each broken promise, and nothing that a kill explains."""

import random

import pytest

from tests.crash import delivery_times, expiry, locks, returns
from tests.crash.dead_letters import DeadLetters
from tests.crash.delivery_times import TimedLedger
from tests.crash.duplicates import DuplicateLedger, QueuedIdLedger
from tests.crash.expiry import ExpiringLedger
from tests.crash.last_values import LastValueLedger
from tests.crash.ledger import Ledger, body
from tests.crash.locks import TIMEOUT_S, LockLedger
from tests.crash.returns import DELAY_S, FIRST_S, LIMIT, LimitedLedger, LongDelayLedger


class Clock:
    """Replaces the module `time` of a ledger. Both of its clocks show `now`."""

    def __init__(self):
        self.now = 1_000_000.0

    def time(self):
        return self.now

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (returns, locks, expiry, delivery_times):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr("tests.crash.ledger.time", clock)
    return clock


class Script:
    """A choice of values in order, instead of a random one."""

    def __init__(self, *values):
        self._values = list(values)

    def random(self):
        return self._values.pop(0)

    def randrange(self, *limits):
        return self._values.pop(0)

    def choice(self, values):
        return self._values.pop(0)


def publish(ledger, count=1, confirm=True):
    for _ in range(count):
        number, _ = ledger.publish()
        if confirm:
            ledger.confirm(number)


def deliver(session, *numbers, redelivered=False):
    for number in numbers:
        session.delivered(body(number), redelivered)


def sync(session):
    session.mark().confirmed()


def deliver_and_ack(session, *numbers):
    """Deliver messages and ack them, synced."""
    deliver(session, *numbers)
    for number in numbers:
        session.ack(number)
    sync(session)


def settled(ledger):
    ledger.settle_accounts()
    return [text.removeprefix(f"{ledger.queue}: ") for text in ledger.wrong]


# --- every queue ------------------------------------------------------------------------------------------------------


def test_confirmed_message_that_is_missing_is_lost():
    ledger = Ledger("q")
    publish(ledger, 2)
    publish(ledger, confirm=False)
    deliver_and_ack(ledger.session(), 2)
    assert settled(ledger) == ["message 1 was confirmed and is lost"]


def test_message_that_came_back_after_its_ack_must_be_acked_again():
    ledger = Ledger("q")
    publish(ledger)
    session = ledger.session()
    deliver(session, 1)
    session.ack(1)
    deliver(ledger.session(), 1)
    assert settled(ledger) == ["message 1 was confirmed and is lost"]


def test_delivery_after_a_synced_ack_is_wrong():
    ledger = Ledger("q")
    publish(ledger)
    deliver_and_ack(ledger.session(), 1)
    deliver(ledger.session(), 1, redelivered=True)
    assert "message 1 is back, though its ack was synced" in settled(ledger)


def test_delivery_after_a_synced_delivery_must_be_flagged():
    ledger = Ledger("q")
    publish(ledger, confirm=False)
    session = ledger.session()
    deliver(session, 1)
    sync(session)
    deliver(ledger.session(), 1)
    assert settled(ledger) == ["message 1 does not say that it is redelivered"]


def test_two_deliveries_in_a_session_without_a_return_are_wrong():
    ledger = Ledger("q")
    publish(ledger, confirm=False)
    deliver(ledger.session(), 1, 1)
    assert settled(ledger) == ["message 1 is delivered twice"]


def test_lower_number_in_a_session_is_wrong():
    ledger = Ledger("q")
    publish(ledger, 2, confirm=False)
    deliver(ledger.session(), 2, 1)
    assert settled(ledger) == ["message 1 came after message 2"]


# --- returns and dead letters -----------------------------------------------------------------------------------------


def test_delays_of_synced_returns_double(clock):
    ledger = LimitedLedger("q")
    publish(ledger, confirm=False)
    session = ledger.session()
    for delay_s in (FIRST_S, 2 * FIRST_S):
        deliver(session, 1)
        session.give_back(1)
        sync(session)
        clock.now += delay_s
    deliver(session, 1, redelivered=True)
    session.give_back(1)
    sync(session)
    clock.now += 4 * FIRST_S - 0.01
    ledger.wrong.clear()
    deliver(session, 1, redelivered=True)
    assert settled(ledger) == ["message 1 is back 0.010 s too early"]


def test_return_that_is_not_synced_promises_nothing(clock):
    ledger = returns.RetryLedger("q")
    publish(ledger, confirm=False)
    session = ledger.session()
    deliver(session, 1)
    session.give_back(1)
    deliver(ledger.session(), 1)
    assert settled(ledger) == []


def test_message_with_a_long_delay_must_not_come_back_after_its_return_was_synced(clock):
    ledger = LongDelayLedger("q")
    publish(ledger)
    session = ledger.session()
    deliver(session, 1)
    session.give_back(1)
    sync(session)
    assert settled(ledger) == []
    clock.now += 60
    deliver(ledger.session(), 1, redelivered=True)
    assert settled(ledger) == ["message 1 is back 3540.000 s too early"]


def test_delivery_after_more_returns_than_the_limit_is_wrong(clock):
    ledger = LimitedLedger("q")
    publish(ledger, confirm=False)
    session = ledger.session()
    for _ in range(LIMIT + 1):
        deliver(session, 1, redelivered=True)
        session.give_back(1)
        sync(session)
        clock.now += DELAY_S
    assert settled(ledger) == []
    deliver(session, 1, redelivered=True)
    assert settled(ledger) == [f"message 1 is back after {LIMIT + 1} returns"]


def test_message_may_end_as_a_dead_letter():
    ledger = Ledger("q")
    dead = DeadLetters(ledger)
    publish(ledger)
    deliver_and_ack(dead.session(), 1)
    assert settled(ledger) == []
    deliver(ledger.session(), 1)
    assert settled(ledger) == ["message 1 is delivered, though it was dead-lettered"]


def test_second_dead_letter_of_a_message_is_wrong():
    ledger = Ledger("q")
    dead = DeadLetters(ledger)
    publish(ledger)
    deliver_and_ack(dead.session(), 1)
    deliver(dead.session(), 1)
    assert "message 1 is back, though its ack was synced" in settled(dead)


def test_dead_letter_of_an_acked_message_is_wrong():
    ledger = Ledger("q")
    dead = DeadLetters(ledger)
    publish(ledger)
    deliver_and_ack(ledger.session(), 1)
    deliver(dead.session(), 1)
    assert settled(dead) == ["message 1 was acked before it was dead-lettered"]


def test_ack_of_a_message_with_a_dead_letter_is_wrong_in_the_end():
    ledger = Ledger("q")
    dead = DeadLetters(ledger)
    publish(ledger)
    session, dead_session = ledger.session(), dead.session()
    deliver(session, 1)
    deliver_and_ack(dead_session, 1)
    session.ack(1)
    sync(session)
    assert settled(ledger) == ["message 1 was acked, and dead-lettered as well"]


# --- deduplication ----------------------------------------------------------------------------------------------------


def duplicates(kind=DuplicateLedger, confirm=True):
    """Return a ledger with two attempts of the same id; the first is confirmed before the second or not at all."""
    ledger = kind(Script(0.9, 0.9, 1), "q")
    publish(ledger, confirm=confirm)
    publish(ledger, confirm=False)
    return ledger


def test_delivery_of_an_attempt_with_a_confirmed_id_is_wrong():
    ledger = duplicates()
    deliver(ledger.session(), 2)
    assert "message 2 is delivered, and a message with its id 1 was accepted before" in settled(ledger)


def test_two_attempts_in_a_session_are_wrong():
    ledger = duplicates(confirm=False)
    deliver(ledger.session(), 1, 2)
    assert settled(ledger) == ["message 2 is delivered, and so was message 1 with the same id"]


def test_attempt_that_a_kill_undid_may_be_repeated():
    ledger = duplicates(confirm=False)
    deliver(ledger.session(), 1)
    ledger.confirm(2)
    deliver_and_ack(ledger.session(), 2)
    assert settled(ledger) == []


def test_confirmed_id_without_an_attempt_is_lost():
    ledger = duplicates(confirm=False)
    ledger.confirm(2)
    assert settled(ledger) == ["message 1 was confirmed, and no attempt with its id is left"]


def test_queued_id_is_free_after_a_synced_ack():
    ledger = QueuedIdLedger(Script(0.9, 0.9, 1), "q")
    publish(ledger)
    deliver_and_ack(ledger.session(), 1)
    publish(ledger)
    assert settled(ledger) == ["message 2 was confirmed and is lost"]
    deliver_and_ack(ledger.session(), 2)
    ledger.wrong.clear()
    assert settled(ledger) == []


@pytest.mark.parametrize("first", ["confirm", "delivery"])
def test_attempt_that_was_confirmed_while_its_id_was_queued_must_not_be_delivered(first):
    ledger = duplicates(QueuedIdLedger)
    if first == "confirm":
        ledger.confirm(2)
        deliver(ledger.session(), 2)
    else:
        deliver(ledger.session(), 2)
        ledger.confirm(2)
    assert any("message 2" in text for text in settled(ledger))


def test_attempt_may_follow_an_unsynced_ack_of_its_id():
    ledger = duplicates(QueuedIdLedger)
    session = ledger.session()
    deliver(session, 1)
    session.ack(1)
    ledger.confirm(2)
    deliver(session, 2)
    session.ack(2)
    assert settled(ledger) == []


def test_two_unacked_attempts_of_a_queued_id_are_wrong():
    ledger = duplicates(QueuedIdLedger, confirm=False)
    deliver(ledger.session(), 1, 2)
    assert settled(ledger) == ["message 2 is delivered, and so was message 1 with the same id"]


# --- locks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def locked(clock):
    ledger = LockLedger("q", "return")
    publish(ledger, confirm=False)
    return ledger


def test_message_may_return_when_its_lock_has_run_out(clock, locked):
    session = locked.session()
    deliver(session, 1)
    clock.now += TIMEOUT_S
    deliver(session, 1, redelivered=True)
    assert settled(locked) == []


def test_message_that_returns_before_its_lock_runs_out_is_wrong(clock, locked):
    session = locked.session()
    deliver(session, 1)
    clock.now += TIMEOUT_S - 0.1
    deliver(session, 1, redelivered=True)
    assert settled(locked) == ["message 1 is delivered again 0.100 s before its lock runs out"]


def test_confirmed_renewal_prolongs_a_lock_unless_it_was_returned(clock, locked):
    for returned in (False, True):
        session = locked.session()
        deliver(session, 1)
        clock.now += TIMEOUT_S / 2
        renewal = locks.Renewal(session, 1, 1, [])
        renewal.returned = returned
        renewal.confirmed()
        clock.now += TIMEOUT_S / 2
        deliver(session, 1, redelivered=True)
    assert settled(locked) == ["message 1 is delivered again 0.125 s before its lock runs out"]


def test_late_ack_promises_nothing_when_the_message_has_returned(clock, locked):
    session = locked.session()
    deliver(session, 1)
    session.ack(1)
    mark = session.mark()
    clock.now += TIMEOUT_S
    deliver(session, 1, redelivered=True)
    mark.confirmed()
    deliver(locked.session(), 1, redelivered=True)
    assert settled(locked) == []


def test_ack_that_may_be_late_promises_nothing(clock, locked):
    session = locked.session()
    deliver(session, 1)
    clock.now += TIMEOUT_S
    session.ack(1)
    sync(session)
    deliver(session, 1, redelivered=True)
    assert settled(locked) == []


# --- expiry, last values, delivery times ------------------------------------------------------------------------------


def test_dead_letter_before_its_deadline_is_wrong(clock):
    ledger = ExpiringLedger(Script(0, 100, 0.9), "q")
    dead = DeadLetters(ledger)
    publish(ledger, 2, confirm=False)
    session = dead.session()
    clock.now += 0.05
    deliver(session, 1)
    clock.now += 1
    deliver(session, 2)
    assert settled(dead) == [
        "message 1 is a dead letter, though it had 0.050 s left",
        "message 2 is a dead letter, though it has no TTL",
    ]


def test_message_with_a_ttl_that_is_left_has_not_expired(clock):
    ledger = ExpiringLedger(Script(0, 100, 0.9), "q")
    publish(ledger, 2)
    ledger.drained.update((1, 2))
    assert settled(ledger) == ["message 1 has not expired"]


def test_last_confirmed_value_must_arrive_unless_a_newer_one_does():
    ledger = LastValueLedger(Script(1, 1, 1), "q", "old")
    publish(ledger, 2)
    assert settled(ledger) == ["message 2 was confirmed and is lost"]
    publish(ledger, confirm=False)
    ledger.wrong.clear()
    deliver_and_ack(ledger.session(), 3)
    assert settled(ledger) == []


def test_older_value_after_a_newer_one_is_wrong():
    ledger = LastValueLedger(Script(1, 1), "q", "old")
    publish(ledger, 2, confirm=False)
    deliver(ledger.session(), 2, 1)
    assert settled(ledger) == ["message 1 is delivered after message 2 with the same key"]


@pytest.mark.parametrize("synced", [True, False])
def test_older_value_after_the_ack_of_a_newer_one_is_wrong_if_the_ack_was_synced(synced):
    ledger = LastValueLedger(Script(1, 1), "q", "old")
    publish(ledger, 2, confirm=False)
    session = ledger.session()
    deliver(session, 2)
    session.ack(2)
    if synced:
        sync(session)
    deliver(ledger.session(), 1)
    assert bool(settled(ledger)) is synced


def test_delivery_before_the_delivery_time_is_wrong(clock):
    ledger = TimedLedger(Script(0.4, 700, 0.9), "q")
    publish(ledger, 2, confirm=False)
    clock.now += 0.5
    deliver(ledger.session(), 1, 2)
    assert settled(ledger) == ["message 1 is delivered 200.0 ms before its time"]


def test_message_whose_time_is_after_the_test_is_not_lost(clock):
    ledger = TimedLedger(Script(0), "q")
    publish(ledger)
    assert settled(ledger) == []


def test_attempts_repeat_recent_and_older_ids():
    ledger = DuplicateLedger(random.Random(1), "q")
    publish(ledger, 1000)
    distances = [number - id_ for number, id_ in ledger.ids.items()]
    assert {0} < set(distances)
    assert min(distance for distance in distances if distance) < 60
    assert max(distances) > 200
