"""Several logs, each led by one of several brokers, each with one session for all."""

from contextlib import contextmanager
from functools import partial

import pytest

from amqpbroker.cluster.leadership.leadership import GRACE_S, Leader, Leadership, session_name
from amqpbroker.cluster.leadership.leaderships import Leaderships, request_moves
from amqpbroker.store.log import FencedError, LostError, UnwrittenError
from tests.cluster.leadership.test_leadership import Brokers as OneLog
from tests.cluster.leadership.test_leadership import until


class Brokers(OneLog):
    def leaderships(self, name, lease_s=60.0):
        holder = Leader(name, f"{name}:5672", f"process of {name}")
        session = self.session(session_name(holder.process, "lease"))
        return Leaderships(session, holder, lease_s, lambda: self.now_s)

    def end_session(self, name):
        """End a broker's session, as a failover of the database does."""
        self._any.run(
            lambda connection: connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
                [session_name(f"process of {name}", "lease")],
            )
        )

    def extend(self, leaderships):
        self._any.run(leaderships.extend)

    @contextmanager
    def locked(self, log):
        """Keep the row of a log locked, as a transaction does that waits for its commit."""
        session = self.session("lock")
        for statement in ("BEGIN", f"SELECT FROM leadership WHERE log = '{log}' FOR UPDATE"):
            session.run(lambda connection, statement=statement: connection.execute(statement))
        yield
        session.run(lambda connection: connection.execute("ROLLBACK"))

    def run(self, statement, *values):
        self._any.run(lambda connection: connection.execute(statement, values))


@pytest.fixture
def brokers(database):
    made = Brokers(database)
    made.run("INSERT INTO vhost_log (vhost) VALUES ('one'), ('two'), ('three')")
    yield made
    made.close()


@pytest.fixture
def pair(brokers):
    return brokers.leaderships("a"), brokers.leaderships("b")


def leaders(leaderships):
    return {held.log: held.leader.name for held in leaderships.all() if held.valid}


def test_each_log_has_a_leader_of_its_own(pair):
    a, b = pair
    assert (a.try_take("v1"), b.try_take("v2"), b.try_take("v1"), a.try_take("v2")) == (True, True, False, False)
    assert leaders(a) == leaders(b) == {"v1": "a", "v2": "b"}
    assert (a.held, b.held) == ({"v1": 1}, {"v2": 1})


def test_leases_may_have_ended_when_nothing_was_renewed_for_their_time(brokers):
    a = brokers.leaderships("a", lease_s=10.0)
    a.try_take("v1")
    brokers.now_s += 10.0
    assert not a.may_have_ended()
    brokers.now_s += 0.1
    assert a.may_have_ended()
    a.renew()
    assert not a.may_have_ended()
    brokers.now_s += 10.1
    brokers.extend(a)
    assert not a.may_have_ended()
    # Nothing is held, and the database answers.
    a.release("v1")
    brokers.now_s += 10.1
    assert a.may_have_ended()
    a.renew()
    assert not a.may_have_ended()


def test_logs_may_be_taken_before_others_take_them(pair, brokers):
    """Without its session, a leader loses its logs long before the end of its lease."""
    a, b = pair
    a.try_take("v1")
    a.renew()
    assert not a.may_be_taken()
    b.try_take("v1")
    brokers.end_session("a")

    def take():
        brokers.now_s += GRACE_S / 2
        return b.try_take("v1")

    until(take)
    assert (a.may_have_ended(), a.may_be_taken()) == (False, True)


def test_a_released_log_shows_who_had_it_and_who_is_to_take_it(pair):
    a, b = pair
    for log in ("v1", "v2"):
        a.try_take(log)
    a.release("v1", "process of b")
    released = {held.log: held for held in b.all()}["v1"]
    assert (released.valid, released.leader.name, released.successor) == (False, "a", "process of b")
    assert (a.held, b.try_take("v1"), b.try_take("v2")) == ({"v2": 1}, True, False)
    taken = {held.log: held for held in a.all()}["v1"]
    assert (taken.leader.name, taken.leader.epoch, taken.successor) == ("b", 2, "")


def test_renewals_show_which_logs_have_clients(pair):
    a, b = pair
    for log in ("v1", "v2", "v3"):
        a.try_take(log)
    assert a.renew(["v2"]) == {}
    assert {held.log: held.busy for held in b.all()} == {"v1": False, "v2": True, "v3": False}
    assert a.renew() == {}
    assert not any(held.busy for held in b.all())


def test_leases_are_extended_over_another_connection(brokers, pair):
    a, b = pair
    for log in ("v1", "v2", "v3"):
        a.try_take(log)
    brokers.run("UPDATE leadership SET until = 'epoch'")
    brokers.run("UPDATE leadership SET epoch = 7 WHERE log = 'v2'")
    brokers.run("UPDATE leadership SET process = 'process of b' WHERE log = 'v3'")
    brokers.extend(a)
    assert leaders(b) == {"v1": "a"}
    a.release("v1")
    brokers.extend(a)
    assert leaders(b) == {}


def test_leases_are_renewed_and_extended_while_a_takeover_of_another_log_waits_for_a_standby(brokers, pair):
    a, b = pair
    for log in ("v1", "v2"):
        a.try_take(log)
    with brokers.locked("v1"):
        for renew in (a.renew, partial(brokers.extend, a)):
            brokers.run("UPDATE leadership SET until = 'epoch' WHERE log = 'v2'")
            assert not renew()
            assert leaders(b)["v2"] == "a"
    # A log whose row is locked is not lost.
    assert a.held == {"v1": 1, "v2": 1}
    brokers.run("UPDATE leadership SET until = 'epoch'")
    assert a.renew() == {}
    assert leaders(b) == {"v1": "a", "v2": "a"}


def test_a_log_that_another_broker_has_taken_is_lost_alone(brokers, pair):
    a, b = pair
    for log in ("v1", "v2"):
        a.try_take(log)
    brokers.end_session("a")
    brokers.run("UPDATE leadership SET until = 'epoch' WHERE log = 'v1'")
    assert not b.try_take("v1")
    brokers.now_s += GRACE_S
    assert b.try_take("v1")
    with pytest.raises(UnwrittenError):
        a.renew()
    lost = a.renew()
    assert [(log, type(error)) for log, error in lost.items()] == [("v1", FencedError)]
    assert a.held == {"v2": 1}
    assert a.renew() == {}


def test_a_leadership_that_the_database_does_not_know_is_lost(brokers, pair):
    a, _ = pair
    for log in ("v1", "v2"):
        a.try_take(log)
    brokers.run("DELETE FROM leadership WHERE log = 'v2'")
    lost = a.renew()
    assert [(log, type(error)) for log, error in lost.items()] == [("v2", LostError)]


def test_a_log_is_taken_with_a_higher_epoch_than_one_of_a_server_that_was_replaced(brokers, pair):
    a, b = pair
    for _ in range(2):
        a.try_take("v1")
        a.release("v1")
    a.try_take("v1")
    b.all()
    # A standby is promoted that lacks the last takeover, of which only b knows.
    brokers.run("UPDATE leadership SET epoch = 2, released = true")
    brokers.run("UPDATE fence SET epoch = 2")
    brokers.end_session("a")
    until(brokers.are_unlocked)
    assert b.try_take("v1")
    assert b.held == {"v1": 4}


def test_a_broker_that_hangs_has_no_further_grace_after_its_lease(brokers, pair):
    a, b = pair
    a.try_take("v1")
    brokers.run("UPDATE leadership SET until = 'epoch'")
    b.all()
    brokers.now_s += GRACE_S
    b.all()
    # The first attempt ends the sessions of the holder, and a grace begins in which it can renew its lease.
    assert not b.try_take("v1")
    until(brokers.are_unlocked)
    assert not b.try_take("v1")
    brokers.now_s += GRACE_S
    assert b.try_take("v1")


@pytest.fixture
def waiting(brokers, pair):
    """Two brokers, of which the first has released a log, and the second has its lock, but has not taken it yet."""
    a, b = pair
    for log in ("v1", "v2"):
        a.try_take(log)
    brokers.run("UPDATE leadership SET until = 'epoch' WHERE log = 'v1'")
    brokers.end_session("a")
    assert not b.try_take("v1")
    with pytest.raises(UnwrittenError):
        a.renew()
    a.renew()
    a.release("v1")
    brokers.run("UPDATE leadership SET until = 'epoch' WHERE log = 'v1'")
    a.all()
    brokers.now_s += GRACE_S
    return pair


def test_a_broker_that_hangs_while_it_takes_a_log_is_not_waited_for(brokers, waiting):
    a, b = waiting
    assert not a.try_take("v1")
    until(lambda: a.try_take("v1"))
    # Its own sessions have not ended, although it was the last that led the log.
    assert a.renew() == {}
    assert a.held == {"v1": 2, "v2": 1}
    with pytest.raises(UnwrittenError):
        b.renew()


def test_a_broker_that_runs_is_not_disturbed_while_it_takes_a_log(brokers, waiting):
    a, b = waiting
    brokers.run(
        "INSERT INTO brokers (process, node, address, version, pattern, drained, started, seen)"
        " VALUES ('process of b', '', '', '', '', false, clock_timestamp(), clock_timestamp())"
    )
    assert not a.try_take("v1")
    assert b.try_take("v1")


def test_a_broker_that_takes_a_log_for_the_first_time_is_not_disturbed(brokers, pair):
    """A broker that has just started is not in the table of brokers yet."""
    a, b = pair
    lock = a._session.run(Leadership(a._session, "v1", a._holder, 60.0).lock)
    for _ in range(3):
        assert not b.try_take("v1")
        brokers.now_s += GRACE_S
    assert lock
    assert a.try_take("v1")


def test_a_lease_that_was_seen_over_another_connection_is_not_known(brokers, pair):
    """The database may have been away, so that the holder could not renew either."""
    a, b = pair
    a.try_take("v1")
    brokers.run("UPDATE leadership SET until = 'epoch'")
    b.all()
    brokers.now_s += GRACE_S
    brokers.end_session("b")
    with pytest.raises(UnwrittenError):
        b.all()
    assert not b.try_take("v1")
    assert a.renew() == {}


def test_epochs_of_logs_that_exist_no_more_are_forgotten(brokers, pair):
    a, b = pair
    a.try_take("v1")
    a.release("v1")
    b.all()
    brokers.run("DELETE FROM leadership")
    brokers.run("DELETE FROM fence")
    b.retain(["v2"])
    assert b.try_take("v1")
    assert b.held == {"v1": 1}


def test_a_log_that_was_removed_with_its_vhost_is_not_taken_for_one_whose_data_is_lost(brokers, pair):
    a, _ = pair
    for log in ("v1", "v2"):
        a.try_take(log)
    brokers.run("DELETE FROM leadership WHERE log = 'v2'")
    brokers.run("DELETE FROM vhost_log WHERE number = 2")
    lost = a.renew()
    assert [(log, type(error)) for log, error in lost.items()] == [("v2", FencedError)]
    assert "deleted" in lost["v2"].strerror


def test_logs_that_are_lost_are_reported_by_the_next_renewal_if_a_call_fails_meanwhile(brokers, pair, monkeypatch):
    a, _ = pair
    for log in ("v1", "v2"):
        a.try_take(log)
    brokers.run("UPDATE leadership SET epoch = epoch + 1")
    unlock, failures = Leadership.unlock, [UnwrittenError(5, "lost")]

    def fail_once(self, connection):
        if self._log == "v2" and failures:
            raise failures.pop()
        unlock(self, connection)

    monkeypatch.setattr(Leadership, "unlock", fail_once)
    with pytest.raises(UnwrittenError):
        a.renew()
    assert sorted(a.renew()) == ["v1", "v2"]


def test_a_log_that_was_removed_is_not_taken(brokers, pair):
    a, b = pair
    brokers.run("DELETE FROM vhost_log WHERE number = 2")
    assert not a.try_take("v2")
    assert (a.all(), a.held) == ([], {})
    a.abandon("v2")
    assert not b.try_take("v2")


def test_a_broker_that_lost_its_session_locks_all_its_logs_again(brokers, pair):
    a, b = pair
    for log in ("v1", "v2"):
        a.try_take(log)
    brokers.end_session("a")
    with pytest.raises(UnwrittenError):
        a.renew()
    assert a.renew() == {}
    for log in ("v1", "v2"):
        for _ in range(3):
            brokers.now_s += GRACE_S
            assert not b.try_take(log)


def test_a_log_that_is_tried_no_longer_is_left_to_others(brokers, pair):
    a, b = pair
    a.try_take("v1")
    brokers.end_session("a")
    assert not b.try_take("v1")
    b.abandon("v1")
    b.abandon("never tried")
    c = brokers.leaderships("c")
    c.try_take("v1")
    brokers.now_s += GRACE_S
    assert c.try_take("v1")


def test_nothing_is_locked_after_the_end(brokers, pair):
    a, b = pair
    a.try_take("v1")
    b.try_take("v1")
    a.close()
    b.close()
    until(brokers.are_unlocked)


def test_a_log_that_is_lost_is_locked_no_longer(brokers, pair):
    a, b = pair
    a.try_take("v1")
    brokers.run("DELETE FROM leadership WHERE log = 'v1'")
    assert list(a.renew()) == ["v1"]
    assert b.try_take("v1")


def request(leaderships, *moves):
    return leaderships._session.run(partial(request_moves, moves))


def test_a_request_of_an_operator_is_seen_by_all_and_ends_with_a_takeover(pair):
    a, b = pair
    for log in ("v1", "v2"):
        a.try_take(log)
    held = {each.log: each for each in b.all()}
    assert request(b, (held["v1"], "process of b"), (held["v2"], "process of b")) == {"v1", "v2"}
    assert {each.log: each.wanted for each in a.all()} == dict.fromkeys(("v1", "v2"), "process of b")
    b.accept_requests(["v1", "v2"])
    assert {each.log: each.accepted for each in a.all()} == {"v1": True, "v2": True}
    assert request(b, (held["v2"], "process of b")) == {"v2"}
    assert {each.log: each.accepted for each in a.all()} == {"v1": True, "v2": False}
    a.release("v1", "process of b")
    assert b.try_take("v1")
    a.cancel_requests(["v2"])
    assert {each.log: (each.wanted, each.accepted) for each in a.all()} == {"v1": ("", False), "v2": ("", False)}


def test_a_request_for_an_earlier_leader_is_not_written(pair):
    a, b = pair
    a.try_take("v1")
    (held,) = a.all()
    a.release("v1", "")
    assert request(b, (held, "process of b")) == set()
    b.try_take("v1")
    a.accept_requests(["v1"])
    assert not a.all()[0].accepted
    assert request(a, (held, "process of a")) == set()
    assert [each.wanted for each in a.all()] == [""]
    b.cancel_requests(["v2"])


def test_the_broker_that_is_ready_is_seen_by_all_until_a_takeover(brokers, pair):
    a, b = pair
    for log in ("v1", "v2", "v3"):
        a.try_take(log)
    with brokers.locked("v3"):
        # A row that another session changes just now is left out, and not waited for.
        b.set_ready(["v1", "v3", "v4"])
    assert {each.log: each.ready for each in a.all()} == {"v1": "process of b", "v2": "", "v3": ""}
    b.set_ready(["v2", "v3"])
    a.set_ready(["v3"])
    with brokers.locked("v1"):
        b.clear_ready(["v1", "v2", "v3"])
    assert {each.log: each.ready for each in a.all()} == {"v1": "process of b", "v2": "", "v3": "process of a"}
    a.clear_ready(["v3"])
    a.release("v1", "process of b")
    assert b.try_take("v1")
    assert {each.ready for each in a.all()} == {""}


def test_an_epoch_in_which_it_has_led_is_not_used_again(brokers, pair):
    """A standby may be promoted that does not have the takeover."""
    a, _ = pair
    a.try_take("v1")
    brokers.run("DELETE FROM fence")
    brokers.run("DELETE FROM leadership")
    assert list(a.renew()) == ["v1"]
    a.retain({"v1", "v2"})
    assert a.try_take("v1")
    assert a.held == {"v1": 2}


def test_epochs_of_removed_logs_are_forgotten(brokers, pair):
    a, _ = pair
    for log in ("v1", "v2"):
        a.try_take(log)
        a.release(log)
    a.retain({"v2"})
    brokers.run("DELETE FROM fence")
    brokers.run("DELETE FROM leadership")
    assert (a.try_take("v1"), a.try_take("v2")) == (True, True)
    assert a.held == {"v1": 1, "v2": 2}
