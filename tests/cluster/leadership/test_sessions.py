"""The sessions that the logs of one broker share, and calls of several logs over one of them."""

import threading
import time
from collections import Counter

import pytest

from amqpbroker.cluster.leadership.sessions import WRITERS, Sessions
from amqpbroker.store.database.fence import ROWS_AT_ONCE
from amqpbroker.store.database.session import Session
from amqpbroker.store.log import UnwrittenError


@pytest.fixture
def sessions(database):
    made = Sessions(database, "process")
    yield made
    made.close()


def pid(connection):
    return connection.execute("SELECT pg_backend_pid()").fetchone()[0]


def test_logs_are_spread_over_a_bounded_number_of_sessions(sessions):
    used = Counter(sessions.writer() for _ in range(3 * WRITERS))
    assert list(used.values()) == [3] * WRITERS
    left = next(iter(used))
    sessions.leave(left)
    assert sessions.writer() is left


def test_a_log_writes_over_further_sessions_besides_its_own(sessions):
    for writer in [sessions.writer() for _ in range(WRITERS)]:
        beside = sessions.beside(writer)
        assert len({writer, *beside}) == ROWS_AT_ONCE
    assert {each for writer in sessions._writers for each in sessions.beside(writer)} == {*sessions._writers}


def test_only_sessions_that_are_used_connect(sessions, database):
    sessions.connect()
    sessions.writer().run(pid)
    assert sessions.writer().connections == 0
    assert sessions.reading.connections == 1
    assert sessions.removal.connections == 0


def test_reading_does_not_wait_for_a_connection(sessions):
    sessions.connect()
    number = sessions.reading.run(pid)
    sessions.writer().run(lambda connection: connection.execute("SELECT pg_terminate_backend(%s)", [number]))
    for _ in range(2):
        with pytest.raises(UnwrittenError):
            sessions.reading.run(pid)


def test_callers_of_one_session_wait_for_each_other(database):
    session, order = Session(database, "tested", 10), []

    def sleep(connection):
        began.set()
        connection.execute("SELECT pg_sleep(0.2)")
        order.append("first")

    began = threading.Event()
    first = threading.Thread(target=session.run, args=[sleep, "a"])
    first.start()
    began.wait()
    session.run(lambda _: order.append("second"), "b")
    first.join()
    assert order == ["first", "second"]
    session.close()


def test_callers_that_wait_for_a_call_without_an_answer_fail_with_it(database):
    session, failed = Session(database, "tested", 0.5), []
    began = threading.Event()

    def sleep(connection):
        began.set()
        connection.execute("SELECT pg_sleep(30)")

    def call(task, caller):
        with pytest.raises(UnwrittenError, match="no answer"):
            session.run(task, caller)
        failed.append(caller)

    first = threading.Thread(target=call, args=[sleep, "first"])
    first.start()
    began.wait()
    start = time.monotonic()
    others = [threading.Thread(target=call, args=[sleep, str(number)]) for number in range(5)]
    for other in others:
        other.start()
    for each in (first, *others):
        each.join()
    assert len(failed) == 6
    assert time.monotonic() - start < 1.5
    assert session.run(pid)
    session.close()


def test_an_error_of_a_repeated_call_may_end_by_itself_only_for_the_caller_that_repeats(database):
    session, other = Session(database, "tested", 0.3), Session(database, "other", 10)
    other.run(lambda connection: connection.execute("CREATE TABLE public.t (x bigint PRIMARY KEY)"))

    def insert(connection):
        connection.execute("INSERT INTO public.t VALUES (1)")

    def insert_while_the_other_waits(connection):
        with connection.transaction():
            insert(connection)
            with pytest.raises(UnwrittenError):
                session.run(insert, "a")

    other.run(insert_while_the_other_waits)
    session.run(pid, "b")
    with pytest.raises(UnwrittenError):
        session.run(insert, "a")
    with pytest.raises(OSError, match="duplicate key") as raised:
        session.run(insert, "b")
    assert not isinstance(raised.value, UnwrittenError)
    session.discard("a")
    with pytest.raises(OSError, match="duplicate key") as raised:
        session.run(insert, "a")
    assert not isinstance(raised.value, UnwrittenError)
    for each in (session, other):
        each.close()
