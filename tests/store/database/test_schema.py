"""The tables of the store, and those of other versions."""

import pytest

from amqpbroker.store.database import schema
from amqpbroker.store.database.session import Session
from amqpbroker.store.log import StoreError


@pytest.fixture
def session(database):
    made = Session(database, "schema", 10)
    yield made
    made.close()


def run(session, *statements):
    return [session.run(lambda connection, text=text: connection.execute(text)) for text in statements]


def test_tables_are_made_once(session):
    schema.make_tables(session)
    run(
        session,
        "INSERT INTO leadership VALUES ('0', 1, 'a', 'a:5672', 'p', '', 0, '', false, false, '', '', false, now())",
    )
    schema.make_tables(session)
    found = run(session, "SELECT holder FROM leadership", "SELECT version FROM format")
    assert [each.fetchall() for each in found] == [[("a",)], [(schema.VERSION,)]]


def test_tables_of_an_earlier_version_are_refused(session):
    schema.make_tables(session)
    run(session, "UPDATE format SET version = 1")
    with pytest.raises(StoreError, match="has version 1 of the store, of an amqpbroker before its first release"):
        schema.make_tables(session)


def test_tables_of_a_newer_version_are_refused_and_stay(session):
    schema.make_tables(session)
    run(session, f"UPDATE format SET version = {schema.VERSION + 1}")
    with pytest.raises(StoreError, match=f"has version {schema.VERSION + 1} of the store, of a newer amqpbroker"):
        schema.make_tables(session)
    (version,) = run(session, "SELECT version FROM format")
    assert version.fetchall() == [(schema.VERSION + 1,)]
