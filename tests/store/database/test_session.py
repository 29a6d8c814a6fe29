"""A connection that is replaced when it breaks, and the errors of a database."""

import errno
import threading
import time

import psycopg
import pytest
from psycopg import sql

from amqpbroker.store.database.repeated import Repeated
from amqpbroker.store.database.session import Session, TimedConnection
from amqpbroker.store.log import FencedError, RefusedError, UnwrittenError


@pytest.fixture
def session(database):
    made = Session(database, "tested", 10)
    yield made
    made.close()


def pid(connection):
    return connection.execute("SELECT pg_backend_pid()").fetchone()[0]


def test_a_connection_is_used_again_and_replaced_after_it_was_lost(session, database):
    first = session.run(pid)
    assert session.run(pid) == first
    other = Session(database, "other", 10)
    other.run(lambda connection: connection.execute("SELECT pg_terminate_backend(%s)", [first]))
    other.close()
    with pytest.raises(UnwrittenError) as raised:
        session.run(pid)
    assert raised.value.errno == errno.EIO
    assert session.run(pid) != first


def test_a_call_that_gets_no_answer_ends(database):
    session = Session(database, "tested", 0.3)

    def sleep_in_transaction(connection):
        # Its end must not wait once more.
        with connection.pipeline(), connection.transaction():
            connection.execute("SELECT pg_sleep(30)")

    start = time.monotonic()
    with pytest.raises(UnwrittenError, match=r"no answer in 0.3 s"):
        session.run(lambda connection: connection.execute("SELECT pg_sleep(30)"))
    with pytest.raises(UnwrittenError):
        session.run(sleep_in_transaction)
    assert time.monotonic() - start < 10
    assert session.run(pid)
    session.close()


def test_a_repeated_statement_that_gets_no_answer_ends(database):
    session, other = Session(database, "tested", 0.3), Session(database, "other", 10)
    statement = Repeated(sql.SQL("INSERT INTO public.t VALUES ($1)").format(), "bigint")
    session.run(lambda connection: connection.execute("CREATE TABLE public.t (x bigint PRIMARY KEY)"))
    assert session.run(lambda connection: connection.change(statement, [1])) == 1

    def change_a_locked_table(connection):
        with connection.transaction():
            connection.execute("LOCK TABLE public.t")
            with pytest.raises(UnwrittenError, match=r"no answer in 0.3 s"):
                session.run(lambda connection: connection.change(statement, [2]))

    other.run(change_a_locked_table)
    # It is prepared again for the new connection, which waits until the first attempt has ended.
    session.run(lambda connection: connection.execute("DELETE FROM public.t"))
    assert session.run(lambda connection: connection.change(statement, [2])) == 1
    for each in (session, other):
        each.close()


@pytest.mark.parametrize(
    ("statement", "kind", "number"),
    [
        ("SELECT 1 / 0", FencedError, errno.EPERM),
        ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file'; END $$",
         UnwrittenError, errno.ENOSPC),
        ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001', MESSAGE = 'x'; END $$", UnwrittenError, errno.EIO),
        ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '25006', MESSAGE = 'x'; END $$", UnwrittenError, errno.EIO),
        ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '25P03', MESSAGE = 'x'; END $$", UnwrittenError, errno.EIO),
        ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '57P01', MESSAGE = 'x'; END $$", UnwrittenError, errno.EIO),
        ("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = 'x'; END $$", RefusedError, errno.EINVAL),
        ("SELECT x FROM missing", RefusedError, errno.EINVAL),
    ],
)  # fmt: skip
def test_errors_say_whether_a_call_may_be_repeated(session, statement, kind, number):
    with pytest.raises(OSError) as raised:  # noqa: PT011 - the type is compared
        session.run(lambda connection: connection.execute(statement))
    assert (type(raised.value), raised.value.errno) == (kind, number)
    assert session.run(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)


def test_a_missing_privilege_is_named(session):
    denied = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = 'permission denied for schema s'; END $$"
    with pytest.raises(RefusedError) as raised:
        session.run(lambda connection: connection.execute(denied))
    assert str(raised.value).endswith(
        ": permission denied for schema s; the user of the URL must own the database or have the privilege CREATE in"
        " it, or own its schema amqpbroker with all tables"
    )


def test_a_call_may_be_repeated_if_the_server_does_not_have_a_prepared_statement(session):
    """psycopg prepares what is executed often, and does not notice if the server has skipped that."""

    def often(connection):
        for _ in range(10):
            connection.execute("SELECT 1")

    session.run(often)
    session.run(lambda connection: connection.pgconn.exec_(b"DEALLOCATE ALL"))
    with pytest.raises(UnwrittenError, match="prepared statement"):
        session.run(often)
    session.run(often)


def test_a_session_whose_client_has_given_up_is_ended_when_it_connects_again(database):
    session = Session(database, "tested", 0.3)
    with pytest.raises(UnwrittenError, match=r"no answer in 0.3 s"):
        session.run(lambda connection: connection.execute("SELECT pg_sleep(30)"))
    session.run(pid)
    own = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tested' AND datname = current_database()"
    assert session.run(lambda connection: connection.execute(own).fetchone()) == (1,)
    session.close()


def test_a_call_may_be_repeated_after_it_collided_with_its_first_attempt(session, database):
    """The first attempt takes effect while the second one runs, as when standbys answer again."""

    def insert(connection):
        connection.execute("INSERT INTO public.t VALUES (1)")

    session.run(lambda connection: connection.execute("CREATE TABLE public.t (x int PRIMARY KEY)"))
    with pytest.raises(UnwrittenError):
        session.run(lambda connection: connection.execute("SELECT pg_terminate_backend(pg_backend_pid())"))
    other = Session(database, "other", 10)
    other.run(insert)
    other.close()
    with pytest.raises(UnwrittenError, match="duplicate key"):
        session.run(insert)
    session.run(pid)
    with pytest.raises(OSError, match="duplicate key") as raised:
        session.run(insert)
    assert raised.value.errno == errno.EINVAL


def test_a_server_that_does_not_listen_is_a_temporary_error():
    session = Session("postgresql://nobody:secret@127.0.0.1:1/none", "tested", 10)
    with pytest.raises(UnwrittenError) as raised:
        session.run(pid)
    assert str(raised.value).startswith("postgresql://127.0.0.1:1/none: ")
    assert "secret" not in str(raised.value)


def test_an_error_names_the_reason_of_each_host(postgresql):
    """One server that refuses, and one that does not listen."""
    refusing = f"127.0.0.1:{postgresql.port}"
    session = Session(f"postgresql://nobody:secret@{refusing},[::1]:1/none", "tested", 10)
    with pytest.raises(UnwrittenError) as raised:
        session.run(pid)
    text = str(raised.value)
    assert text.startswith(f'postgresql://{refusing},[::1]:1/none: {refusing}: role "nobody" does not exist; [::1]:1: ')
    assert "\n" not in text
    assert "secret" not in text


def test_a_limited_session_connects_on_another_thread(session):
    first = session.run(pid)
    session.limit(5.0, 0.2)
    assert session.run(pid) == first
    with pytest.raises(UnwrittenError):
        session.run(lambda connection: connection.execute("SELECT pg_terminate_backend(pg_backend_pid())"))
    with pytest.raises(UnwrittenError, match="there is no connection at the moment"):
        session.run(pid)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            assert session.run(pid) != first
            break
        except UnwrittenError:
            time.sleep(0.01)
    else:
        pytest.fail("it does not connect again")


def test_a_limited_session_that_cannot_connect_fails_at_once():
    session = Session("postgresql://127.0.0.1:1/none", "tested", 5.0)
    session.limit(5.0, 30.0)
    start = time.monotonic()
    for _ in range(50):
        with pytest.raises(UnwrittenError, match="there is no connection at the moment"):
            session.run(pid)
    assert time.monotonic() - start < 5
    session.close()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (psycopg.errors.ConnectionTimeout("connection timeout expired"), "connection timeout expired"),
        (TimeoutError(), "no answer in 10 s"),
    ],
)
def test_those_who_wait_for_an_attempt_that_fails_make_none_of_their_own(monkeypatch, error, reason):
    """Many logs share a session, and each attempt may take seconds."""
    attempts, ends = [], threading.Event()

    def connect(*_, **__):
        attempts.append(None)
        ends.wait(30)
        raise error

    monkeypatch.setattr(TimedConnection, "connect", connect)
    session, errors = Session("postgresql://127.0.0.1:1/none", "tested", 10), []

    def run(reached=None):
        if reached is not None:
            reached.wait(30)
        with pytest.raises(UnwrittenError, match=reason) as raised:
            session.run(pid)
        errors.append(str(raised.value))

    reached = threading.Barrier(7)
    threads = [threading.Thread(target=run, args=[reached]) for _ in range(6)]
    for thread in threads:
        thread.start()
    reached.wait(30)
    # Until all of them wait for the first one.
    time.sleep(0.2)
    ends.set()
    for thread in threads:
        thread.join(30)
    assert (len(set(errors)), len(errors), len(attempts)) == (1, 6, 1)
    run()
    assert len(attempts) == 2
