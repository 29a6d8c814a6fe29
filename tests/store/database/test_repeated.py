"""A statement that is executed for each batch."""

import psycopg
import pytest
from psycopg import sql

from amqpbroker.store.database.repeated import MOST, Repeated, Repeating

INSERT = "INSERT INTO {} SELECT $1, $2, $3 WHERE $1 >= {}"


@pytest.fixture
def connection(database):
    with psycopg.connect(database, autocommit=True) as made:
        for table in ("a", "b"):
            made.execute(
                sql.SQL("CREATE TABLE {} (x bigint PRIMARY KEY, y text, z bytea)").format(sql.Identifier(table))
            )
        yield made


def insert_into(table, least=0):
    return Repeated(sql.SQL(INSERT).format(sql.Identifier(table), least), "bigint, text, bytea")


def change_table(connection, prepared_query):
    """Change a table, after a query that psycopg prepares."""
    with connection.pipeline():
        connection.execute(prepared_query, prepare=True)
        connection.execute("ALTER TABLE b ALTER z SET STORAGE EXTERNAL")


def prepared(connection):
    return connection.execute("SELECT name FROM pg_prepared_statements WHERE from_sql").fetchall()


def test_a_statement_is_prepared_once_and_says_how_many_rows_it_has_changed(connection):
    repeating, statement = Repeating(), insert_into("a")
    rows = [(2**62, "ä", b"\0\xff"), (0, "", b"")]
    assert [repeating.change(connection, statement, row) for row in [*rows, (-1, "none", b"")]] == [1, 1, 0]
    assert connection.execute("SELECT * FROM a ORDER BY x DESC").fetchall() == rows
    assert prepared(connection) == [("repeated1",)]


def test_a_statement_is_not_prepared_again_for_a_further_object_with_the_same_text(connection):
    repeating = Repeating()
    for number in range(3):
        repeating.change(connection, insert_into("a"), (number, "", b""))
    assert prepared(connection) == [("repeated1",)]
    assert len(repeating._prepared) == 1


def test_the_statements_that_were_used_last_stay_prepared(connection):
    repeating, first, others = Repeating(), insert_into("a"), [insert_into("b", -number) for number in range(2 * MOST)]
    rows = iter(range(5 * MOST))
    for other in others:
        for statement in (first, other):
            assert repeating.change(connection, statement, (next(rows), "", b"")) == 1
    last = len(others) + 1
    assert sorted(prepared(connection)) == sorted((f"repeated{n}",) for n in (1, *range(last - MOST + 2, last + 1)))
    # One that is not prepared any more.
    assert repeating.change(connection, others[0], (next(rows), "", b"")) == 1
    assert len(prepared(connection)) == MOST
    assert connection.execute("SELECT count(*) FROM a").fetchone() == (len(others),)


def test_a_statement_that_the_server_does_not_have_any_more_is_prepared_again(connection):
    repeating, statement = Repeating(), insert_into("a")
    for number in range(4):
        assert repeating.change(connection, statement, (number, "", b"")) == 1
        connection.execute("DEALLOCATE ALL")
    repeating.change(connection, insert_into("b"), (0, "", b""))
    assert connection.execute("SELECT count(*) FROM a").fetchone() == (4,)


def test_a_statement_is_prepared_again_although_psycopg_has_to_deallocate_all(connection):
    repeating, statement = Repeating(), insert_into("a")
    repeating.change(connection, statement, (0, "", b""))
    # After a table has changed, psycopg deallocates all that is prepared, when it has executed the next query.
    change_table(connection, "SELECT 1")
    connection.execute("SELECT 0")
    change_table(connection, "SELECT 2")
    assert repeating.change(connection, statement, (1, "", b"")) == 1
    assert repeating.change(connection, insert_into("b"), (1, "", b"")) == 1
    assert connection.execute("SELECT count(*) FROM a").fetchone() == (2,)


def test_an_error_leaves_the_connection_as_it_was(connection):
    repeating, statement = Repeating(), insert_into("a")
    repeating.change(connection, statement, (1, "", b""))
    with pytest.raises(psycopg.errors.UniqueViolation):
        repeating.change(connection, statement, (1, "", b""))
    assert repeating.change(connection, statement, (2, "", b"")) == 1
    with pytest.raises(psycopg.errors.UndefinedTable):
        repeating.change(connection, insert_into("missing"), (1, "", b""))
    assert repeating.change(connection, statement, (3, "", b"")) == 1


def test_large_values_arrive(connection):
    repeating, value = Repeating(), bytes(range(256)) * (32 << 10)
    repeating.change(connection, insert_into("a"), (1, "", value))
    assert connection.execute("SELECT z FROM a", binary=True).fetchone() == (value,)
