"""The tables of the store, and those of other versions."""

from contextlib import closing

import pytest

from amqpbroker.store.database import schema
from amqpbroker.store.database.session import Session
from amqpbroker.store.log import RefusedError, StoreError


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


def test_columns_that_were_added_later_are_added_to_tables_that_lack_them(session):
    schema.make_tables(session)
    run(session, "ALTER TABLE leadership DROP COLUMN ready")
    run(session, "ALTER TABLE brokers DROP COLUMN host, DROP COLUMN port, DROP COLUMN secret")
    schema.make_tables(session)
    schema.make_tables(session)
    found = run(session, "SELECT ready FROM leadership", "SELECT host, port, secret FROM brokers")
    assert [each.fetchall() for each in found] == [[], []]


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


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ([], "permission denied for database "),
        (["CREATE SCHEMA amqpbroker"], "no schema has been selected to create in"),
        (["CREATE SCHEMA amqpbroker", "GRANT USAGE ON SCHEMA amqpbroker TO {role}"], "permission denied for schema "),
    ],
)
def test_a_role_without_privileges_is_told_which_it_needs(postgresql, statements, said):
    session, role = as_role(postgresql, statements)
    with pytest.raises(RefusedError) as raised:
        schema.make_tables(session)
    session.close()
    text = str(raised.value)
    assert text.startswith(f"postgresql://127.0.0.1:{postgresql.port}/{role}: {said}")
    assert text.endswith("; the user of the URL must own the database or have the privilege CREATE in it, or own its"
                         " schema amqpbroker with all tables")  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER DATABASE {role} OWNER TO {role}",
        "GRANT CREATE ON DATABASE {role} TO {role}",
        "CREATE SCHEMA amqpbroker AUTHORIZATION {role}",
    ],
)
def test_a_role_with_these_privileges_can_make_the_tables(postgresql, statement):
    session, _ = as_role(postgresql, [statement])
    schema.make_tables(session)
    session.close()


def as_role(server, statements):
    """Return a session of a new role in a new database of its name, after these statements of the superuser."""
    owned = server.new_database()
    role = owned.rpartition("/")[2]
    server.execute(f"CREATE ROLE {role} LOGIN")
    with closing(Session(owned, "superuser", 10)) as superuser:
        run(superuser, *[statement.format(role=role) for statement in statements])
    return Session(owned.replace("postgres@", f"{role}@"), "role", 10), role
