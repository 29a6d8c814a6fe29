"""The thread that renews a lease, with a leadership that fails on request."""

import threading
import time

import pytest

from amqpbroker.store.database import renewing as module
from amqpbroker.store.database.leadership import GRACE_S
from amqpbroker.store.database.renewing import RENEWALS, Renewing
from amqpbroker.store.log import FencedError, LostError, UnwrittenError


class Leadership:
    """errors: raised by the next renewals. renewed: set with each renewal that succeeds."""

    lease_s = 0.04

    def __init__(self, *errors):
        self.errors = list(errors)
        self.renewals = 0
        self.renewed = threading.Semaphore(0)
        self.ended = []
        self.has_lock = True

    def renew(self):
        self.renewals += 1
        if self.errors:
            raise self.errors.pop(0)
        self.renewed.release()
        return self.has_lock

    def release(self):
        self.ended.append("released")

    def close(self):
        self.ended.append("closed")


def test_a_lease_is_renewed_until_the_end_and_then_given_up():
    leadership = Leadership()
    renewing = Renewing(leadership, lambda error: None)
    for _ in range(2 * RENEWALS):
        assert leadership.renewed.acquire(timeout=30)
    renewing.close()
    count = leadership.renewals
    assert leadership.ended == ["released", "closed"]
    assert not threading.Event().wait(2 * leadership.lease_s)
    assert leadership.renewals == count


def test_a_lease_is_renewed_again_after_an_error(caplog):
    leadership = Leadership(UnwrittenError(5, "gone"), UnwrittenError(5, "gone"))
    renewing = Renewing(leadership, lambda error: None)
    assert leadership.renewed.acquire(timeout=30)
    renewing.close()
    assert [record.getMessage() for record in caplog.records] == [
        "[Errno 5] gone; the lease is not renewed, which is retried",
        "the lease is renewed again",
    ]


@pytest.mark.parametrize("kind", [FencedError, LostError])
def test_the_loss_of_the_leadership_is_reported_once(kind):
    lost = threading.Semaphore(0)
    leadership = Leadership(kind(0, "another broker has taken over"))
    renewing = Renewing(leadership, lambda error: lost.release())
    assert lost.acquire(timeout=30)
    assert not lost.acquire(timeout=2 * leadership.lease_s)
    renewing.close()
    assert leadership.renewals == 1


def test_a_database_that_is_gone_at_the_end_is_no_error(caplog):
    leadership = Leadership()

    def fail():
        raise UnwrittenError(5, "gone")

    leadership.release = fail
    renewing = Renewing(leadership, lambda error: None)
    assert leadership.renewed.acquire(timeout=30)
    renewing.close()
    assert "another broker takes over when the lease ends" in caplog.text
    assert leadership.ended == ["closed"]


def test_a_long_lease_is_renewed_within_the_grace():
    """A lost connection, and the lock with it, is noticed by the next renewal only."""
    leadership = Leadership()
    leadership.lease_s = 1_000.0
    start = time.monotonic()
    renewing = Renewing(leadership, lambda error: None)
    for _ in range(2):
        assert leadership.renewed.acquire(timeout=GRACE_S)
    assert time.monotonic() - start < GRACE_S
    renewing.close()


def test_a_renewal_that_failed_is_repeated_at_once(monkeypatch):
    monkeypatch.setattr(module, "RETRY_S", 1_000.0)
    leadership = Leadership(UnwrittenError(5, "gone"))
    renewing = Renewing(leadership, lambda error: None)
    assert leadership.renewed.acquire(timeout=30)
    renewing.close()


def test_a_lease_without_its_lock_is_renewed_more_often():
    """Others wait for a renewal for a second only, when they have the lock."""
    leadership = Leadership()
    leadership.lease_s = 1_000.0
    leadership.has_lock = False
    renewing = Renewing(leadership, lambda error: None)
    for _ in range(3):
        assert leadership.renewed.acquire(timeout=30)
    renewing.close()
