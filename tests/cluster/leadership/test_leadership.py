"""Which broker may write: several leaderships of one log, each with a session of its own."""

import threading
import time

import pytest

from amqpbroker.cluster.leadership.leadership import GRACE_S, Leader, Leadership, session_name
from amqpbroker.store.database import schema
from amqpbroker.store.database.fence import Fence, Statement
from amqpbroker.store.database.session import Session
from amqpbroker.store.log import FencedError, LostError, UnwrittenError


class Brokers:
    """now_s: the clock of all. ended: the brokers whose processes are known to have ended."""

    def __init__(self, url):
        self._url = url
        self._sessions = []
        self.now_s = 0.0
        self.ended = set()
        self._any = self.session("any")
        schema.make_tables(self._any)

    def taken(self, leadership):
        """Try to take over, a grace later."""
        self.now_s += GRACE_S
        return leadership.try_take()

    def session(self, name):
        self._sessions.append(Session(self._url, name, 10))
        return self._sessions[-1]

    def leadership(self, name, lease_s=60.0):
        holder = Leader(name, f"{name}:5672", f"process of {name}")
        session = self.session(session_name(holder.process, "lease"))
        return Leadership(session, "0", holder, lease_s, lambda: self.now_s, lambda leader: leader.name in self.ended)

    def lose_takeover(self):
        """Leave the database as it was while `a` led, in the first epoch."""
        for change in ("UPDATE leadership SET epoch = 1, process = 'process of a'", "UPDATE fence SET epoch = 1"):
            self._any.run(lambda connection, change=change: connection.execute(change))

    def are_unlocked(self):
        """Return whether no broker has the lock."""
        query = (
            "SELECT 1 FROM pg_locks JOIN pg_database ON database = pg_database.oid"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
        return not self._any.run(lambda connection: connection.execute(query).fetchall())

    def close(self):
        for session in self._sessions:
            session.close()


@pytest.fixture
def brokers(database):
    made = Brokers(database)
    yield made
    made.close()


def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_first_broker_leads_and_others_wait(brokers):
    a, b = brokers.leadership("a"), brokers.leadership("b")
    assert b.leader() is None
    assert a.try_take()
    assert not b.try_take()
    assert b.leader() == Leader("a", "a:5672", "process of a", epoch=1) == a.leader()
    assert (a.epoch, b.epoch) == (1, 0)


def test_a_leader_that_releases_is_followed_at_once(brokers):
    a, b = brokers.leadership("a"), brokers.leadership("b")
    assert a.try_take()
    a.release()
    a.close()
    until(b.try_take)
    assert b.epoch == 2
    assert b.leader() == Leader("b", "b:5672", "process of b", epoch=2)


def test_a_leader_that_died_is_followed_after_the_grace(brokers):
    a, b = brokers.leadership("a"), brokers.leadership("b")
    assert a.try_take()
    a.close()
    until(brokers.are_unlocked)
    assert not b.try_take()
    brokers.now_s += GRACE_S / 2
    assert not b.try_take()
    brokers.now_s += GRACE_S / 2
    assert b.try_take()


def test_a_leader_whose_process_has_ended_is_followed_without_the_grace(brokers):
    a, b = brokers.leadership("a"), brokers.leadership("b")
    assert a.try_take()
    brokers.ended = {"a"}
    # Its lock counts as before.
    assert not b.try_take()
    a.close()
    until(brokers.are_unlocked)
    assert b.try_take()
    assert b.epoch == 2
    # If that was wrong, it is fenced all the same.
    with pytest.raises(FencedError):
        a.renew()


def test_a_leader_that_lost_only_its_connection_stays(brokers):
    a, b = brokers.leadership("a"), brokers.leadership("b")
    assert a.try_take()
    a.close()
    until(brokers.are_unlocked)
    assert not b.try_take()
    a.renew()
    brokers.now_s += 2 * GRACE_S
    assert not b.try_take()
    a.renew()
    brokers.now_s += 2 * GRACE_S
    assert not b.try_take()
    assert b.leader() == Leader("a", "a:5672", "process of a", epoch=1)


def test_a_leader_that_hangs_is_followed_when_its_lease_ends(brokers):
    a, b = brokers.leadership("a", lease_s=0.05), brokers.leadership("b")
    assert a.try_take()
    until(lambda: brokers.taken(b))
    # The takeover has ended the sessions of the old leader.
    with pytest.raises(UnwrittenError):
        a.renew()
    with pytest.raises(FencedError):
        a.renew()


def test_a_broker_that_was_replaced_does_not_take_the_lock_with_its_renewals(brokers):
    """So that a third broker need not wait for its end."""
    a, b = brokers.leadership("a", lease_s=0.05), brokers.leadership("b")
    assert a.try_take()
    until(lambda: brokers.taken(b))
    b.close()
    with pytest.raises(UnwrittenError):
        a.renew()
    until(brokers.are_unlocked)
    with pytest.raises(FencedError):
        a.renew()
    until(brokers.are_unlocked)


def test_a_takeover_waits_for_the_transaction_of_the_last_leader(brokers):
    """So that it is found; a later one is refused."""
    a, b = brokers.leadership("a", lease_s=0.05), brokers.leadership("b")
    assert a.try_take()
    session = brokers.session("other writing")
    began, end = threading.Event(), threading.Event()

    def write(connection):
        with connection.transaction():
            connection.execute("SELECT 1 FROM fence WHERE epoch = 1 FOR SHARE")
            began.set()
            assert end.wait(30)

    writing = threading.Thread(target=session.run, args=[write])
    writing.start()
    assert began.wait(30)
    taking = threading.Thread(target=lambda: until(lambda: brokers.taken(b)))
    taking.start()
    taking.join(0.3)
    assert taking.is_alive()
    end.set()
    writing.join()
    taking.join()
    assert b.epoch == 2


def test_writes_of_an_earlier_epoch_are_refused(brokers):
    a, b = brokers.leadership("a", lease_s=0.05), brokers.leadership("b")
    assert a.try_take()
    old = Fence(brokers.session("a writing"), "0", a.epoch)
    old.write([Statement("CREATE TABLE written (x int)")])
    until(lambda: brokers.taken(b))
    for _ in range(2):
        with pytest.raises(FencedError):
            old.write([Statement("INSERT INTO written VALUES (1)")])
    new = Fence(brokers.session("b writing"), "0", b.epoch)
    new.write([Statement("INSERT INTO written VALUES (2)")])
    rows = brokers.session("any").run(lambda connection: connection.execute("SELECT x FROM written").fetchall())
    assert rows == [(2,)]


def test_a_hanging_leader_s_open_transaction_does_not_stop_the_takeover(brokers):
    a, b = brokers.leadership("a", lease_s=0.05), brokers.leadership("b")
    assert a.try_take()
    hanging = brokers.session(session_name("process of a", "writing"))
    hanging.run(lambda connection: connection.execute("BEGIN; SELECT 1 FROM fence WHERE epoch = 1 FOR SHARE"))
    until(lambda: brokers.taken(b))
    assert b.epoch == 2


def test_a_third_broker_lets_a_leader_renew_after_the_database_was_away(brokers):
    a, b, c = brokers.leadership("a", lease_s=0.05), brokers.leadership("b"), brokers.leadership("c")
    assert a.try_take()
    assert not c.try_take()
    for broker in (a, c):
        broker.close()
    until(brokers.are_unlocked)
    brokers.now_s += 5 * GRACE_S
    assert not b.try_take()
    time.sleep(0.06)
    # It has connected again, and has not renewed yet.
    assert a.leader() is None
    assert not c.try_take()
    time.sleep(0.1)
    assert a.renew() is False


def test_a_leader_whose_lease_ended_while_the_database_was_away_has_the_grace_too(brokers):
    a, b = brokers.leadership("a", lease_s=0.05), brokers.leadership("b")
    assert a.try_take()
    a.close()
    until(brokers.are_unlocked)
    time.sleep(0.06)
    assert not b.try_take()
    brokers.now_s += GRACE_S / 2
    assert a.renew() is False
    assert not b.try_take()
    assert a.renew() is True
    brokers.now_s += 2 * GRACE_S
    assert not b.try_take()


@pytest.mark.parametrize("takeovers", [0, 1, 2])
def test_a_leader_whose_takeover_is_lost_learns_it(brokers, takeovers):
    """As after the promotion of a standby that does not have it, where others take over as well."""
    a, b = brokers.leadership("a"), brokers.leadership("b")
    assert a.try_take()
    a.close()
    until(lambda: brokers.taken(b))
    assert b.renew()
    b.close()
    until(brokers.are_unlocked)
    brokers.lose_takeover()
    others = [brokers.leadership(f"other {number}") for number in range(takeovers)]
    for other in others:
        until(lambda other=other: brokers.taken(other))
        other.close()
    # The first of the others has the same epoch.
    with pytest.raises(FencedError if takeovers == 2 else LostError):
        b.renew()
    b.release()
    if others:
        assert others[-1].leader().name == f"other {takeovers - 1}"


def test_an_epoch_that_was_seen_is_never_used_again(brokers):
    """Its holder could still write, on a server that does not have its takeover."""
    a, b, c = brokers.leadership("a"), brokers.leadership("b"), brokers.leadership("c")
    assert a.try_take()
    a.close()
    until(lambda: brokers.taken(b))
    assert not c.try_take()
    b.close()
    until(brokers.are_unlocked)
    brokers.lose_takeover()
    until(lambda: brokers.taken(c))
    assert (b.epoch, c.epoch) == (2, 3)
    late = Fence(brokers.session("b"), "0", b.epoch)
    with pytest.raises(FencedError):
        late.write([Statement("CREATE TABLE late (x int)")])


def test_a_holder_that_renewed_and_released_is_not_waited_for(brokers):
    a, b = brokers.leadership("a"), brokers.leadership("b")
    assert a.try_take()
    a.close()
    until(brokers.are_unlocked)
    # It has the lock, and waits for the grace to end.
    assert not b.try_take()
    brokers.session("any other").run(
        lambda connection: connection.execute(
            "UPDATE leadership SET until = until + interval '1 second', released = true"
        )
    )
    assert b.try_take()
