"""The tables of the store, and those of earlier versions."""

import pytest

from amqpbroker.store.database import schema
from amqpbroker.store.database.session import Session
from amqpbroker.store.log import StoreError, UnwrittenError

COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
    " WHERE table_schema = 'amqpbroker' ORDER BY table_name, column_name"
)


@pytest.fixture
def session(database):
    made = Session(database, "schema", 10)
    yield made
    made.close()


def run(session, *statements):
    return [session.run(lambda connection, text=text: connection.execute(text)) for text in statements]


def columns(session):
    (found,) = run(session, COLUMNS)
    return found.fetchall()


def test_tables_of_an_earlier_version_become_those_of_this_one(session):
    schema.make_tables(session)
    made = columns(session)
    run(
        session,
        "ALTER TABLE leadership DROP COLUMN busy, DROP COLUMN successor, DROP COLUMN wanted",
        "ALTER TABLE brokers DROP COLUMN pattern",
        "DROP TABLE vhost_log",
        "INSERT INTO vhost (key, name, description, tags, default_queue_type, protected)"
        " VALUES ('\\x00', 'v', '', '[]', '', false)",
        *[f"ALTER TABLE {table} DROP COLUMN log" for table in ("exchange", "queue", "binding", "stream_offset")],
        "INSERT INTO leadership VALUES ('0', 1, 'a', 'a:5672', 'p', '', 0, '', false, now())",
        "UPDATE format SET version = 1",
    )
    schema.make_tables(session)
    schema.make_tables(session)
    assert columns(session) == made
    found = run(
        session,
        "SELECT busy, successor FROM leadership",
        "SELECT vhost, removed FROM vhost_log",
        "SELECT version FROM format",
    )
    assert [each.fetchall() for each in found] == [[(False, "")], [("v", False)], [(schema.VERSION,)]]


def test_tables_of_a_newer_version_are_refused_and_stay(session):
    schema.make_tables(session)
    run(session, f"UPDATE format SET version = {schema.VERSION + 1}")
    with pytest.raises(StoreError, match=f"has version {schema.VERSION + 1} of the store, of a newer amqpbroker"):
        schema.make_tables(session)
    (version,) = run(session, "SELECT version FROM format")
    assert version.fetchall() == [(schema.VERSION + 1,)]


def test_tables_in_use_are_extended_later_and_nobody_waits(session, database):
    schema.make_tables(session)
    run(
        session,
        "ALTER TABLE leadership DROP COLUMN busy, DROP COLUMN successor, DROP COLUMN wanted",
        "ALTER TABLE brokers DROP COLUMN pattern",
        "DROP TABLE vhost_log",
        *[f"ALTER TABLE {table} DROP COLUMN log" for table in ("exchange", "queue", "binding", "stream_offset")],
        "UPDATE format SET version = 1",
    )
    reader = Session(database, "reader", 10)

    def read(connection):
        with connection.transaction():
            connection.execute("SELECT 1 FROM queue")
            with pytest.raises(UnwrittenError):
                schema.make_tables(session)
            run(session, "UPDATE leadership SET released = released")

    reader.run(read)
    reader.close()
    schema.make_tables(session)
    (version,) = run(session, "SELECT version FROM format")
    assert version.fetchall() == [(schema.VERSION,)]
