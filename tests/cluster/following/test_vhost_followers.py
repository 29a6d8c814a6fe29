"""Journals of several logs are followed a step at a time, with servers and a clock in memory."""

from types import SimpleNamespace

import pytest

from amqpbroker.cluster.following import vhost_followers as module
from amqpbroker.cluster.following.vhost_followers import AGAIN_S, LONGEST_S, RETRY_S, SHORTEST_S, VhostFollowers
from amqpbroker.store.database.session import Session
from amqpbroker.store.log import RefusedError, StoreError, UnwrittenError
from tests.store.database.opening import Opened
from tests.store.database.test_database_files import Database
from tests.store.test_log import appended

PROCESS = "process"


class Server:
    """A server with journals, of which a step reads a batch.

    batches: the number of them by log; an exception for a journal that cannot be read. read: the logs of all steps.
    taken: the takeovers that it knows. step_s: time that a step takes.
    """

    def __init__(self):
        self.now_s = 100.0
        self.batches = {}
        self.read = []
        self.taken = set()
        self.step_s = 0.0
        self.error = None
        self.connect()

    def connect(self):
        self._connection = SimpleNamespace(server=self, execute=self._execute)

    def _execute(self, query, values):
        found = (1,) if tuple(values) in self.taken else None
        return SimpleNamespace(fetchone=lambda: found)

    def run(self, task):
        if self.error is not None:
            raise self.error
        return task(self._connection)

    def close(self):
        self.error = OSError("closed")


class Follower:
    def __init__(self, log, step_bytes):
        self._log = log
        self.found = SimpleNamespace(batches=0)
        self.segments = {}

    def read_on(self, connection):
        server = connection.server
        there = server.batches[self._log]
        server.now_s += server.step_s
        server.read.append(self._log)
        if isinstance(there, Exception):
            raise there
        if self.found.batches < there:
            self.found.batches += 1
            self.segments[1] = "read"
        return self.found.batches == there


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "Follower", Follower)
    return Server()


@pytest.fixture
def followers(server):
    return VhostFollowers(server, PROCESS, lambda: server.now_s)


def step(server, followers, count=1):
    """Read steps, each when it is due; return the logs of which they were."""
    before = len(server.read)
    for _ in range(count):
        server.now_s += followers.wait_s()
        followers.read_on()
    return server.read[before:]


def test_a_long_journal_does_not_hold_up_the_others(server, followers):
    server.step_s = 0.01
    server.batches = {"a": 1_000, "b": 3, "c": 3}
    followers.follow(["a", "b", "c"])
    assert sorted(step(server, followers, 3)) == ["a", "b", "c"]
    assert step(server, followers, 6).count("a") == 2
    assert set(step(server, followers, 5)) == {"a"}


def test_half_of_the_time_is_left_to_others(server, followers):
    server.step_s = 0.05
    server.batches = {"a": 3}
    followers.follow(["a"])
    step(server, followers)
    assert followers.wait_s() == pytest.approx(0.05)
    followers.read_on()
    assert server.read == ["a"]


def test_a_journal_that_does_not_grow_is_read_less_and_less_often(server, followers):
    server.batches = {"a": 1}
    followers.follow(["a"])
    pauses = []
    for _ in range(5):
        step(server, followers)
        pauses.append(followers.wait_s())
    assert pauses == pytest.approx([SHORTEST_S, 2 * SHORTEST_S, 4 * SHORTEST_S, LONGEST_S, LONGEST_S])
    server.batches["a"] = 2
    step(server, followers)
    assert followers.wait_s() == pytest.approx(SHORTEST_S)


def test_nothing_is_read_before_it_is_due(server, followers):
    followers.read_on()
    server.batches = {"a": 1}
    followers.follow(["a"])
    step(server, followers)
    followers.read_on()
    assert server.read == ["a"]


def test_logs_that_are_not_named_any_longer_are_not_followed(server, followers):
    server.step_s = 0.01
    server.batches = {"a": 2, "b": 2}
    followers.follow(["a", "b"])
    step(server, followers, 4)
    followers.follow(["b"])
    assert set(step(server, followers, 3)) == {"b"}
    followers.follow([])
    assert followers.wait_s() == LONGEST_S
    followers.follow(["a", "b"])
    step(server, followers, 2)
    assert followers.take("b", 1).batches == 1


def test_what_was_read_is_used_if_the_log_was_taken_over_there(server, followers):
    server.batches = {"a": 2}
    server.taken = {("a", 7, PROCESS)}
    followers.follow(["a"])
    step(server, followers, 2)
    followed = followers.take("a", 7)
    assert (followed.follower.found.batches, followed.batches) == (2, 2)
    assert followers.wait_s() == LONGEST_S
    followed.discard()
    assert followed.follower is None


@pytest.mark.parametrize("taken", [("a", 6, PROCESS), ("a", 7, "another process"), ("b", 7, PROCESS)])
def test_what_was_read_from_a_server_without_the_takeover_is_not_used(server, followers, taken):
    server.batches = {"a": 2}
    server.taken = {taken}
    followers.follow(["a"])
    step(server, followers, 2)
    followed = followers.take("a", 7)
    assert (followed.follower, followed.batches) == (None, 2)


def test_nothing_is_known_of_a_log_that_was_not_followed_or_not_read(server, followers):
    server.batches = {"a": 0}
    server.taken = {("a", 7, PROCESS), ("b", 7, PROCESS)}
    followers.follow(["a"])
    step(server, followers)
    for log in "ab":
        followed = followers.take(log, 7)
        assert (followed.follower, followed.batches) == (None, 0)


def test_what_was_read_is_not_used_after_another_connection(server, followers):
    server.batches = {"a": 3}
    server.taken = {("a", 7, PROCESS)}
    followers.follow(["a"])
    step(server, followers, 3)
    server.connect()
    followed = followers.take("a", 7)
    assert (followed.follower, followed.batches) == (None, 3)


def test_all_is_read_again_over_another_connection_and_the_last_batch_is_known(server, followers):
    server.batches = {"a": 3}
    server.taken = {("a", 7, PROCESS)}
    followers.follow(["a"])
    step(server, followers, 3)
    server.connect()
    server.batches["a"] = 2
    step(server, followers, 2)
    followed = followers.take("a", 7)
    assert (followed.follower.found.batches, followed.batches) == (2, 3)


def test_a_takeover_goes_on_while_the_session_fails(server, followers):
    server.batches = {"a": 1}
    followers.follow(["a"])
    step(server, followers)
    server.error = UnwrittenError(5, "no connection")
    followed = followers.take("a", 7)
    assert (followed.follower, followed.batches) == (None, 1)


def test_a_journal_that_cannot_be_read_on_is_read_from_its_beginning_later(server, followers):
    server.step_s = 0.01
    server.batches = {"a": 5, "b": 1_000}
    server.taken = {("a", 7, PROCESS)}
    followers.follow(["a", "b"])
    step(server, followers, 6)
    server.batches["a"] = StoreError("segments are gone")
    step(server, followers, 2)
    failed_s = server.now_s
    server.batches["a"] = 9
    while "a" not in step(server, followers):
        pass
    assert AGAIN_S <= server.now_s - failed_s < AGAIN_S + 0.5
    followed = followers.take("a", 7)
    assert (followed.follower.found.batches, followed.batches) == (1, 3)


def test_reading_rests_while_the_database_fails_and_goes_on_with_what_was_read(server, followers, caplog):
    server.batches = {"a": 5}
    server.taken = {("a", 7, PROCESS)}
    followers.follow(["a"])
    step(server, followers, 2)
    server.error = UnwrittenError(5, "no connection")
    step(server, followers)
    assert followers.wait_s() == pytest.approx(RETRY_S)
    server.error = None
    step(server, followers)
    assert followers.take("a", 7).follower.found.batches == 3
    assert caplog.messages == []


def test_an_error_that_does_not_end_by_itself_is_logged_once(server, followers, caplog):
    server.batches = {"a": 5, "b": 5}
    followers.follow(["a", "b"])
    server.error = RefusedError(22, "permission denied")
    step(server, followers, 4)
    assert len(caplog.messages) == 1
    assert "cannot be followed, which is retried: permission denied" in caplog.messages[0]
    server.error = None
    step(server, followers)
    server.error = RefusedError(22, "permission denied")
    step(server, followers)
    assert len(caplog.messages) == 2


def test_what_an_unexpected_error_interrupts_is_not_used(server, followers):
    server.batches = {"a": 5}
    server.taken = {("a", 7, PROCESS)}
    followers.follow(["a"])
    step(server, followers, 2)
    server.batches["a"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        step(server, followers)
    assert followers.wait_s() == pytest.approx(AGAIN_S)
    assert followers.take("a", 7).follower is None


def test_an_unexpected_error_of_the_session_is_not_repeated_at_once(server, followers):
    server.batches = {"a": 5}
    followers.follow(["a"])
    server.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        step(server, followers)
    assert followers.wait_s() == pytest.approx(RETRY_S)


def test_the_lag_is_that_of_the_journal_that_is_furthest_behind(server, followers):
    server.batches = {"a": 1, "b": 3}
    assert followers.lag_s() is None
    followers.follow(["a", "b"])
    assert followers.lag_s() is None
    step(server, followers, 2)
    server.now_s += 10
    assert followers.lag_s() == pytest.approx(10)
    server.batches["b"] = 2
    step(server, followers, 2)
    assert followers.lag_s() == pytest.approx(0)
    server.now_s += 3
    assert followers.lag_s() == pytest.approx(3)
    followers.follow([])
    assert followers.lag_s() is None


def test_a_log_that_was_taken_over_has_no_lag(server, followers):
    server.batches = {"a": 1, "b": 9}
    followers.follow(["a", "b"])
    step(server, followers, 2)
    server.now_s += 10
    followers.take("b", 1)
    step(server, followers)
    assert followers.lag_s() == pytest.approx(0)


def test_nothing_is_followed_after_the_end(server, followers):
    server.batches = {"a": 1}
    followers.follow(["a"])
    followers.close()
    assert followers.wait_s() == LONGEST_S
    assert str(server.error) == "closed"


def test_a_journal_in_a_database_is_followed_and_handed_over_to_its_new_leader(database):
    filling = Database(database)
    for number in range(1, 20):
        appended(filling.log, number, size=3_000)
    followers = VhostFollowers(Session(database, "followers", 10), PROCESS)
    followers.follow(["0"])
    while followers.lag_s() is None:
        followers.read_on()
    later = Opened(database)
    leadership = later.leadership
    followers._process = leadership._holder.process
    followed = followers.take("0", leadership.epoch)
    assert followed.follower.found.batches == 19
    assert followers.take("0", leadership.epoch).follower is None
    followers.follow(["0"])
    while followers.lag_s() is None:
        followers.read_on()
    assert followers.take("0", leadership.epoch - 1).follower is None
    followers.close()
    later.close()
    filling.close()
