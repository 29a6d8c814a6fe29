"""Journals are followed on a thread, which makes other calls between two steps."""

import threading

import pytest

from amqpbroker.cluster.following.vhost_followers import Followed
from amqpbroker.cluster.vhost_following import VhostFollowing

WAIT_S = 30


class Followers:
    """Records its calls. A step waits until the test lets it end."""

    def __init__(self):
        self.calls = []
        self.steps = threading.Semaphore(0)
        self.stepping = threading.Event()
        self.error = None
        self._followed = False

    def follow(self, logs):
        self.calls.append(("follow", *logs))
        self._followed = bool(logs)

    def wait_s(self):
        return 0.0 if self._followed else WAIT_S

    def read_on(self):
        if not self._followed:
            return
        self.stepping.set()
        assert self.steps.acquire(timeout=WAIT_S)
        self.calls.append(("step",))
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def take(self, name, epoch):
        self.calls.append(("take", name, epoch))
        return Followed(None, 7)

    def lag_s(self):
        return 1.5

    def close(self):
        self.calls.append(("close",))


@pytest.fixture
def followers():
    return Followers()


@pytest.fixture
def following(followers):
    made = VhostFollowing(followers)
    yield made
    followers.steps.release(1_000_000)
    made.close()


def test_a_journal_is_taken_between_two_steps(followers, following):
    following.start()
    following.follow(["a"])
    assert followers.stepping.wait(WAIT_S)
    taken = following.take("a", 3)
    following.follow([])
    assert not taken.done()
    followers.steps.release()
    assert taken.result(WAIT_S).batches == 7
    following.close()
    assert followers.calls == [("follow", "a"), ("step",), ("take", "a", 3), ("follow",), ("close",)]


def test_a_journal_for_which_nobody_waits_any_longer_is_not_taken(followers, following):
    taken = following.take("a", 3)
    assert taken.cancel()
    following.start()
    assert following.take("b", 4).result(WAIT_S).batches == 7
    assert followers.calls == [("take", "b", 4)]


def test_an_internal_error_does_not_end_the_thread(followers, following, caplog):
    followers.error = ZeroDivisionError()
    following.start()
    following.follow(["a"])
    assert followers.stepping.wait(WAIT_S)
    followers.steps.release()
    assert following.take("a", 3).result(WAIT_S).batches == 7
    assert "internal error in the following of journals" in caplog.messages


def test_it_can_be_closed_before_it_is_started_and_twice(followers, following):
    following.close()
    following.close()
    assert followers.calls == [("close",), ("close",)]


def test_the_lag_is_known_without_the_thread(following):
    assert following.lag_s() == 1.5
