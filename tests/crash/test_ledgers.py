"""The ledgers of the crash test report each broken promise, and nothing that a kill explains."""

import json
import random

import pytest

from tests.crash import delivery_times, expiry, locks, returns
from tests.crash.batches import BatchLedger, EventLedger, Member
from tests.crash.dead_letters import DeadLetters, RedrivenLetters
from tests.crash.delivery_times import TimedLedger
from tests.crash.duplicates import DuplicateLedger, QueuedIdLedger
from tests.crash.expiry import ExpiringLedger
from tests.crash.groups import GroupLedger
from tests.crash.last_values import LastValueLedger
from tests.crash.ledger import Ledger, body
from tests.crash.locks import TIMEOUT_S, LockLedger
from tests.crash.returns import DELAY_S, FIRST_S, LIMIT, LimitedLedger, LongDelayLedger
from tests.crash.streams import StreamLedger


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


# --- message groups ---------------------------------------------------------------------------------------------------


@pytest.fixture
def grouped():
    """Return a ledger with messages 1 and 2 of group a, and message 3 of group b, all confirmed."""
    ledger = GroupLedger("q", "park")
    for key in ("a", "a", "b"):
        number, _ = ledger.publish_with(key)
        ledger.confirm(number)
    return ledger


def reject(ledger, session, number, synced=True):
    deliver(session, number)
    session.reject(number)
    if synced:
        sync(session)


def test_groups_are_delivered_in_order_and_at_the_same_time(grouped):
    one, other = grouped.session(), grouped.session()
    deliver(one, 1)
    deliver(other, 3)
    one.ack(1)
    deliver(other, 2)
    other.give_back(2)
    deliver(one, 2, redelivered=True)
    assert grouped.wrong == []


def test_message_of_a_lost_connection_may_come_before_its_consumer_knows_of_the_loss(grouped):
    one, other = grouped.session(), grouped.session()
    deliver(one, 1)
    deliver(other, 1, redelivered=True)
    one.end()
    deliver(grouped.session(), 2)
    assert "q: message 2 is delivered while message 1 of its group is not settled" in grouped.wrong


@pytest.mark.parametrize("settle", ["ack", "give_back", "reject"])
def test_message_that_another_consumer_gets_while_the_first_one_goes_on_is_wrong(grouped, settle):
    one, other = grouped.session(), grouped.session()
    deliver(one, 1)
    deliver(other, 1, redelivered=True)
    getattr(one, settle)(1)
    assert grouped.wrong == []
    sync(one)
    assert "q: message 1 was delivered to another consumer while this one had it" in grouped.wrong


@pytest.mark.parametrize("settle", ["ack", "give_back", "reject"])
def test_what_a_consumer_sends_to_a_broker_that_is_stopped_has_no_effect(grouped, settle):
    one, other = grouped.session(), grouped.session()
    deliver(one, 1)
    deliver(other, 1, redelivered=True)
    getattr(one, settle)(1)
    one.end()
    other.give_back(1)
    deliver(other, 1, redelivered=True)
    assert grouped.wrong == []
    assert "message 1 was confirmed and is lost" in settled(grouped)


def test_delivery_while_another_consumer_has_a_message_of_the_group_is_wrong(grouped):
    deliver(grouped.session(), 1)
    deliver(grouped.session(), 2)
    assert "q: message 2 is delivered while message 1 of its group is not settled" in grouped.wrong


def test_delivery_before_an_earlier_confirmed_message_of_the_group_is_wrong(grouped):
    deliver(grouped.session(), 2)
    assert grouped.wrong == ["q: message 2 is delivered before message 1 of its group"]


def test_delivery_after_a_later_message_of_the_group_is_wrong():
    ledger = GroupLedger("q", "park")
    for _ in range(2):
        ledger.publish_with("a")
    session = ledger.session()
    deliver(session, 2)
    session.ack(2)
    deliver(session, 1)
    assert ledger.wrong == ["q: message 1 is delivered after message 2 of its group"]


@pytest.mark.parametrize("synced", [True, False])
def test_kill_undoes_acks_of_a_group_unless_a_later_delivery_was_synced(grouped, synced):
    session = grouped.session()
    deliver(session, 1)
    session.ack(1)
    deliver(session, 2)
    if synced:
        sync(session)
        grouped.gone.clear()
    session.end()
    deliver(grouped.session(), 1, redelivered=True)
    assert grouped.wrong == (["q: message 1 is delivered after message 2 of its group"] if synced else [])


def test_delivery_of_a_stopped_group_is_wrong(grouped):
    session = grouped.session()
    reject(grouped, session, 1, synced=False)
    deliver(session, 1, redelivered=True)
    assert grouped.wrong == ["q: message 1 is delivered, though message 1 stopped its group"]


@pytest.mark.parametrize("later", [True, False])
def test_rejection_that_a_closed_connection_has_not_received_stops_no_group(grouped, later):
    one, other = grouped.session(), grouped.session()
    reject(grouped, one, 1, synced=False)
    deliver(other, 1, redelivered=True)
    assert grouped.wrong == []
    other.ack(1)
    deliver(other, 2)
    if later:
        # It was received.
        sync(one)
    wrong = ["q: message 1 was delivered again, although its rejection is synced"] if later else []
    assert grouped.wrong == wrong


def test_rejection_that_is_synced_stops_the_group_for_all_consumers(grouped):
    one, other = grouped.session(), grouped.session()
    reject(grouped, one, 1)
    deliver(other, 1, redelivered=True)
    assert grouped.wrong == ["q: message 1 is delivered, though message 1 stopped its group"]


@pytest.mark.parametrize("synced", [True, False])
def test_group_remains_stopped_through_a_kill_if_the_rejection_was_synced(grouped, synced):
    session = grouped.session()
    reject(grouped, session, 1, synced)
    session.end()
    grouped.listed([], grouped.certain())
    assert grouped.wrong == (["q: group a is not parked, though a rejection was synced"] if synced else [])
    grouped.wrong.clear()
    deliver(grouped.session(), 1, redelivered=True)
    assert bool(grouped.wrong) is synced


def test_sync_of_an_earlier_rejection_does_not_make_the_last_one_certain(grouped):
    session = grouped.session()
    reject(grouped, session, 1, synced=False)
    mark = session.mark()
    grouped.redriven("a", grouped.redriving("a"))
    reject(grouped, session, 1, synced=False)
    mark.confirmed()
    assert grouped.certain() == set()


def test_redrive_resumes_a_group(grouped):
    session = grouped.session()
    reject(grouped, session, 1)
    grouped.listed(["a"], grouped.certain())
    grouped.redriven("a", grouped.redriving("a"))
    deliver(session, 1, redelivered=True)
    assert grouped.wrong == []


@pytest.mark.parametrize("answered", [True, False])
def test_group_that_is_still_stopped_after_a_redrive_is_wrong_if_that_was_answered(grouped, answered):
    session = grouped.session()
    reject(grouped, session, 1)
    rejections = grouped.redriving("a")
    if answered:
        grouped.redriven("a", rejections)
    session.end()
    grouped.listed(["a"], grouped.certain())
    assert grouped.wrong == (["q: group a is parked, and nothing was rejected"] if answered else [])


def test_group_may_stop_again_while_its_redrive_is_answered(grouped):
    session = grouped.session()
    reject(grouped, session, 1)
    rejections = grouped.redriving("a")
    deliver(session, 1, redelivered=True)
    session.reject(1)
    grouped.redriven("a", rejections)
    grouped.listed(["a"], grouped.certain())
    assert grouped.wrong == []


def test_groups_that_were_stopped_through_a_kill_are_counted_once(grouped):
    session = grouped.session()
    reject(grouped, session, 1)
    session.end()
    for _ in range(2):
        grouped.listed(["a"], grouped.certain())
    assert grouped.survived == 1


def test_dead_letter_that_is_left_after_the_redrives_is_wrong():
    ledger = GroupLedger("q", "follow")
    dead = RedrivenLetters(ledger)
    ledger.publish_with("a")
    deliver(dead.session(), 1)
    assert settled(dead) == ["message 1 is a dead letter that was not redriven"]


# --- batches ----------------------------------------------------------------------------------------------------------


class Events:
    """A ledger of batches of two members, one confirmed attempt of each, and the ledger of their events."""

    def __init__(self, batches=1):
        self.work = BatchLedger(Sizes(2), "q")
        self.ledger = EventLedger(self.work)
        publish(self.work, 2 * batches)
        self.worker = self.work.session()

    def deliver(self, event, session=None, redelivered=False, batch=1, ok=2, failed=0):
        data = json.dumps({"id": f"q {batch}", "event": event, "size": 2, "ok": ok, "failed": failed})
        (session or self.ledger.session()).delivered(data.encode(), redelivered)

    def repeat(self, index, confirm=True):
        """Publish the member with this index again."""
        self.work._next.append(Member(self.work.batches[0], index))
        publish(self.work, confirm=confirm)

    def ack(self, *numbers):
        deliver_and_ack(self.worker, *numbers)

    def reject(self, number):
        deliver(self.worker, number)
        self.worker.reject(number)
        sync(self.worker)

    def settled(self):
        return settled(self.work) + [text.removeprefix("q events: ") for text in settled(self.ledger)]


class Sizes:
    """A choice of this size for each batch; no member is repeated by chance."""

    def __init__(self, size):
        self._size = size

    def random(self):
        return 0.5

    def randint(self, least, most):
        return self._size


def test_events_of_a_batch_that_ends_as_expected():
    events = Events()
    events.ack(1)
    events.reject(2)
    session = events.ledger.session()
    events.deliver("death", session)
    events.deliver("complete", session, ok=1, failed=1)
    deliver_and_ack(events.worker, 2)
    events.deliver("success", session)
    for number in (1, 2, 3):
        session.ack(number)
    assert events.settled() == []


def test_death_is_not_expected_of_a_member_whose_rejection_was_undone_and_that_was_returned():
    events = Events()
    deliver(events.worker, 1)
    events.worker.reject(1)
    worker = events.work.session()
    deliver(worker, 1)
    worker.give_back(1)
    sync(worker)
    deliver_and_ack(worker, 1, 2)
    assert events.settled() == ["complete of batch 1 is missing", "success of batch 1 is missing"]


def test_redriven_member_may_reach_another_worker_before_the_next_sync():
    events = Events()
    deliver(events.worker, 1)
    sync(events.worker)
    events.worker.reject(1)
    deliver_and_ack(events.work.session(), 1, 2)
    assert events.work.wrong == []


def test_event_that_is_missing_in_the_end_is_reported():
    events = Events()
    events.ack(1)
    events.reject(2)
    events.ack(2)
    missing = [f"{event} of batch 1 is missing" for event in ("death", "complete", "success")]
    assert events.settled() == missing


def test_batch_without_the_confirm_of_a_member_has_no_expected_events():
    events = Events()
    events.work.confirmed.discard(2)
    events.ack(1, 2)
    assert events.settled() == []


def test_second_event_message_in_a_session_is_wrong():
    events = Events()
    events.ack(1, 2)
    session = events.ledger.session()
    for _ in range(2):
        events.deliver("complete", session)
    assert events.ledger.wrong == ["q events: complete of batch 1 is delivered twice"]


@pytest.mark.parametrize("redelivered", [True, False])
def test_event_after_a_synced_delivery_must_be_a_redelivery(redelivered):
    events = Events()
    events.ack(1, 2)
    session = events.ledger.session()
    events.deliver("complete", session)
    sync(session)
    events.deliver("complete", redelivered=redelivered)
    expected = [] if redelivered else ["q events: complete of batch 1 does not say that it is redelivered"]
    assert events.ledger.wrong == expected


def test_event_after_its_ack_was_synced_is_wrong():
    events = Events()
    events.ack(1, 2)
    session = events.ledger.session()
    events.deliver("complete", session)
    session.ack(2)
    sync(session)
    events.deliver("complete", redelivered=True)
    assert events.ledger.wrong == ["q events: complete of batch 1 is back, though its ack was synced"]


@pytest.mark.parametrize("event", ["complete", "success"])
def test_event_while_a_member_is_open_is_too_early(event):
    events = Events()
    events.ack(1)
    events.deliver(event)
    assert events.ledger.wrong == [f"q events: {event} of batch 1 is sent too early: member 1 is open (attempts [2])"]


def test_completion_while_a_member_is_open_again_is_too_early():
    events = Events()
    deliver(events.worker, 1, 2)
    for number in (1, 2):
        events.worker.ack(number)
    deliver(events.work.session(), 2, redelivered=True)
    events.deliver("complete")
    assert events.ledger.wrong == ["q events: complete of batch 1 is sent too early: member 1 is open (attempts [2])"]


@pytest.mark.parametrize("synced", [True, False])
def test_member_that_comes_back_after_the_completion_is_wrong_if_that_was_synced(synced):
    events = Events()
    deliver(events.worker, 1, 2)
    for number in (1, 2):
        events.worker.ack(number)
    session = events.ledger.session()
    events.deliver("complete", session)
    if synced:
        sync(session)
    deliver(events.work.session(), 2, redelivered=True)
    assert events.work.wrong == (["q: message 2 is delivered, though batch 1 was complete"] if synced else [])


def test_success_while_a_member_has_failed_is_too_early():
    events = Events()
    events.ack(1)
    events.reject(2)
    events.deliver("complete", ok=1, failed=1)
    assert events.ledger.wrong == []
    events.deliver("success")
    assert events.ledger.wrong == ["q events: success of batch 1 is sent too early: member 1 is open (attempts [2])"]


def test_death_without_a_rejection_is_wrong():
    events = Events()
    events.ack(1, 2)
    events.deliver("death")
    assert events.ledger.wrong == ["q events: death of batch 1 is sent too early: no member was rejected"]


def test_event_with_other_numbers_is_wrong():
    events = Events()
    events.ack(1, 2)
    events.deliver("complete", ok=1)
    assert events.ledger.wrong == ["q events: complete of batch 1 has another body"]


def test_repeated_attempt_counts_if_it_was_confirmed_while_its_member_was_open():
    events = Events()
    events.repeat(1)
    events.ack(1, 2)
    events.deliver("complete")
    assert events.ledger.wrong == ["q events: complete of batch 1 is sent too early: attempt 3 is open"]


@pytest.mark.parametrize("confirm", [True, False])
def test_repeated_attempt_does_not_count_if_its_member_was_settled_or_its_confirm_is_lost(confirm):
    events = Events()
    if confirm:
        events.ack(1, 2)
    events.repeat(1, confirm)
    if not confirm:
        events.ack(1, 2)
    events.deliver("complete")
    assert events.ledger.wrong == []


def test_members_without_a_confirm_are_repeated_first():
    ledger = BatchLedger(Sizes(2), "q")
    publish(ledger, 2)
    publish(ledger, confirm=False)
    ledger.repeat()
    publish(ledger)
    assert ledger.members[4] == ledger.members[3]
    assert ledger.repeated == 1
    ledger.repeat()
    publish(ledger)
    assert ledger.members[5] == Member(ledger.batches[1], 1)


def test_redriven_member_may_come_as_if_it_were_new():
    events = Events()
    events.reject(1)
    deliver(events.work.session(), 1)
    assert events.work.wrong == []


# --- streams ----------------------------------------------------------------------------------------------------------


def read(ledger, numbers, first=0):
    """Read messages at successive offsets."""
    for offset, number in enumerate(numbers, first):
        ledger.read(offset, offset, body(number))


def drain(ledger, numbers, first=0):
    read(ledger, numbers, first)
    ledger.drained.update(numbers)
    ledger.first, ledger.next = first, first + len(numbers)


def test_stream_may_lose_what_was_not_confirmed():
    ledger = StreamLedger("q")
    publish(ledger, 2)
    publish(ledger, 2, confirm=False)
    publish(ledger)
    drain(ledger, [1, 2, 3, 5])
    assert settled(ledger) == []


def test_stream_must_have_each_confirmed_message():
    ledger = StreamLedger("q")
    publish(ledger, 3)
    drain(ledger, [1, 3])
    assert settled(ledger) == ["message 2 was confirmed and is lost"]


def test_delivered_message_of_a_stream_must_stay_at_its_offset():
    ledger = StreamLedger("q")
    publish(ledger, 3, confirm=False)
    read(ledger, [1, 2])
    drain(ledger, [1, 3])
    assert settled(ledger) == ["message 3 is at offset 1, where message 2 was"]


def test_delivered_message_of_a_stream_must_not_be_lost():
    ledger = StreamLedger("q")
    publish(ledger, 2, confirm=False)
    read(ledger, [1, 2])
    drain(ledger, [1])
    assert settled(ledger) == ["message 2 was delivered at offset 1, and is lost"]


def test_message_may_be_in_a_stream_only_once():
    ledger = StreamLedger("q")
    publish(ledger, 2)
    drain(ledger, [1, 2, 1])
    assert settled(ledger) == ["message 1 is behind message 2"]


def test_gap_in_the_offsets_of_a_stream_is_wrong():
    ledger = StreamLedger("q")
    publish(ledger)
    ledger.read(1, 0, body(1))
    assert ledger.wrong == ["q: message 1 has offset 1 instead of 0"]


def test_retention_may_remove_the_oldest_messages():
    ledger = StreamLedger("q", is_limited=True)
    publish(ledger, 9)
    read(ledger, [1, 2])
    ledger.read(4, 2, body(5))
    drain(ledger, [6, 7, 9], first=5)
    assert settled(ledger) == ["message 8 was confirmed and is lost"]


def test_stream_without_retention_begins_at_its_first_message():
    ledger = StreamLedger("q")
    publish(ledger, 3, confirm=False)
    drain(ledger, [2, 3], first=1)
    assert settled(ledger) == ["the first offset is 1"]
