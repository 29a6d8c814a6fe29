import logging

import pytest

from amqpbroker.broker.users.login_guard import FORGET_MS, FREE_GUESSES, MAX_PAUSE_MS, PAUSE_MS, LoginGuard
from amqpbroker.clock import ManualClock
from amqpbroker.config.bounds import BOUNDS


class Guessing:
    """Logins with a guard; `attempt` returns whether the password was checked."""

    def __init__(self):
        self.clock = ManualClock()
        self.guard = LoginGuard(self.clock)

    def attempt(self, password, name="ann", host="10.0.0.1"):
        guess = self.guard.guess(name, password, host)
        if not self.guard.allows(guess):
            return False
        (self.guard.accepted if password == b"right" else self.guard.rejected)(guess)
        return True

    def guess(self, count, start=0, **pair):
        """Return how many of `count` different wrong passwords were checked."""
        return sum(self.attempt(b"wrong %d" % number, **pair) for number in range(start, start + count))


@pytest.fixture
def guessing():
    return Guessing()


def test_password_guessing_is_paused_after_the_free_guesses(guessing):
    assert guessing.guess(100) == FREE_GUESSES
    guessing.clock.advance(PAUSE_MS)
    assert guessing.guess(100, 100) == 1


def test_pause_after_wrong_passwords_doubles_up_to_the_maximum(guessing):
    guessing.guess(FREE_GUESSES)
    pauses = []
    for number in range(12):
        pauses.append(0)
        while not guessing.attempt(b"further %d" % number):
            guessing.clock.advance(PAUSE_MS)
            pauses[-1] += PAUSE_MS
    assert pauses[:5] == [PAUSE_MS, 2 * PAUSE_MS, 4 * PAUSE_MS, 8 * PAUSE_MS, 16 * PAUSE_MS]
    assert pauses[-1] == MAX_PAUSE_MS


@pytest.mark.explore
def test_number_of_password_guesses_in_a_day_is_limited(guessing):
    tried = 0
    for second in range(24 * 3600):
        tried += guessing.guess(3, 3 * second)
        guessing.clock.advance(1000)
    assert tried < 350


def test_waiting_until_guesses_expire_allows_no_more_guesses_per_hour(guessing):
    per_hour = guessing.guess(1000)
    guessing.clock.advance(FORGET_MS)
    assert guessing.guess(1000, 1000) == per_hour
    assert per_hour <= FORGET_MS / MAX_PAUSE_MS


def test_repeated_wrong_password_is_not_a_guess(guessing):
    assert all(guessing.attempt(b"wrong") for _ in range(1000))
    assert guessing.attempt(b"right")


def test_few_wrong_passwords_do_not_block_clients_with_the_right_one(guessing):
    for _ in range(1000):
        for number in range(FREE_GUESSES - 1):
            assert guessing.attempt(b"wrong %d" % number)
        assert guessing.attempt(b"right")


def test_client_that_was_accepted_before_is_not_blocked_by_its_address(guessing):
    assert guessing.attempt(b"right")
    guessing.guess(100)
    assert guessing.attempt(b"right")


def test_successful_login_from_an_address_does_not_reset_its_guesses(guessing):
    tried = 0
    for number in range(100):
        tried += guessing.guess(1, number)
        guessing.attempt(b"right")
    assert tried == FREE_GUESSES


@pytest.mark.parametrize("other", [{"name": "bob"}, {"host": "10.0.0.2"}, {"host": "2001:db8:0:2::1"}])
def test_password_guessing_does_not_block_other_users_and_addresses(guessing, other):
    guessing.guess(100)
    guessing.guess(100, host="2001:db8:0:1::1")
    assert guessing.attempt(b"right", **other)


@pytest.mark.parametrize(
    ("first", "second"), [("2001:db8:0:1::1", "2001:db8:0:1:ffff::2"), ("10.0.0.1", "::ffff:10.0.0.1")]
)
def test_guesses_from_equivalent_addresses_count_as_one_peer(guessing, first, second):
    guessing.guess(FREE_GUESSES, host=first)
    assert guessing.guess(100, 100, host=second) == 0


@pytest.mark.explore
def test_number_of_records_of_password_guesses_is_limited(guessing):
    for number in range(BOUNDS.guesses + 100):
        guessing.guess(20, host=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(guessing.guard._records) == BOUNDS.guesses
    assert all(len(record.wrong) <= FREE_GUESSES for record in guessing.guard._records.values())


def test_pause_after_wrong_passwords_is_logged_without_the_password(guessing, caplog):
    with caplog.at_level(logging.WARNING):
        guessing.guess(100)
    assert [record.getMessage() for record in caplog.records] == [
        "user 'ann' from 10.0.0.1: 10 different wrong passwords; further ones are refused for 1 s"
    ]
