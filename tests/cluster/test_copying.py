"""A database as the source and the target of a copy, with a log for each vhost."""

from contextlib import closing
from pathlib import Path

import pytest

from amqpbroker.cluster.copying import database_source, database_target
from amqpbroker.cluster.database_storage import DatabaseStorage
from amqpbroker.cluster.leadership.leadership import Leader
from amqpbroker.cluster.leadership.leaderships import Leaderships
from amqpbroker.cluster.leadership.sessions import Sessions
from amqpbroker.store.copying.copying import copy
from amqpbroker.store.copying.interfaces import Part
from amqpbroker.store.database import schema
from amqpbroker.store.database.database_definitions import DatabaseDefinitions
from amqpbroker.store.database.fence import Fence, Statement
from amqpbroker.store.database.session import Session
from amqpbroker.store.database.vhost_logs import read_logs
from amqpbroker.store.definitions.definitions import QueueDefinition, UserDefinition, VhostDefinition
from amqpbroker.store.log import FencedError, StoreError
from tests.store.copying.stores import (
    INTERRUPTIONS,
    SHARED,
    MemoryTarget,
    contents,
    interrupted,
    lived,
    make_part,
    source_of,
)

STRANGE = "tä's\"\\t\x00"
VHOSTS = ("/", STRANGE, "third")


@pytest.fixture
def session(database):
    with closing(Session(database, "test", 10)) as made:
        yield made


def small(*vhosts):
    part = make_part("/data")
    part.definitions.put(UserDefinition("u", b"", ()))
    for number, vhost in enumerate(vhosts, 1):
        part.definitions.put(VhostDefinition(vhost), QueueDefinition(vhost, "q", number, False, b""))
    return source_of(part)


def copied_to(database, source):
    with database_target(database) as target:
        return copy(source, target)


def test_a_database_has_everything_that_a_recovery_finds_and_gives_it_back(database, session):
    whole = lived(*VHOSTS)
    before = contents(whole.parts)
    done = copied_to(database, whole)
    with database_source(database) as source:
        assert [part.name for part in source.parts] == ["v1", "v2", "v3"]
        found = contents(source.parts)
        for kind in SHARED:
            assert source.definitions.all(kind) == whole.definitions.all(kind)
        merged = MemoryTarget(apart=False)
        assert copy(source, merged) == done
    assert found == before
    assert contents(merged.parts) == before
    for kind in SHARED:
        assert merged.definitions.all(kind) == whole.definitions.all(kind)
    assert [(log.number, log.vhost) for log in session.run(read_logs)] == [*enumerate(VHOSTS, 1)]


def test_a_broker_leads_the_logs_of_a_copy_at_once_and_finds_what_is_there(database, session):
    whole = lived(*VHOSTS)
    copied_to(database, whole)
    leaderships = Leaderships(Session(database, "lease", 10), Leader("b", "", "process"), 60.0)
    with closing(leaderships):
        for log in ("0", "v1", "v2", "v3"):
            assert leaderships.try_take(log), log
        with (
            closing(Sessions(database, "process")) as sessions,
            closing(DatabaseStorage(sessions, leaderships.held["v2"], "v2")) as storage,
        ):
            storage.open()
            part = Part("v2", Path("/"), storage.files, storage.definitions)
            assert contents([part]) == {STRANGE: contents(whole.parts)[STRANGE]}
            ids = [queue.id for queue in storage.definitions.all(QueueDefinition)]
            assert storage.definitions.new_id() > max(ids)
        # The copy wrote with the epoch before.
        late = Fence(session, "v2", leaderships.held["v2"] - 1)
        with pytest.raises(FencedError):
            late.write([Statement("SELECT 1")])


# --- targets ----------------------------------------------------------------------------------------------------------


def test_a_database_with_anything_is_refused(database, session):
    copied_to(database, small("v"))
    with pytest.raises(StoreError, match="is not empty: name an empty database, or a directory that does not exist"):
        copied_to(database, small("v"))
    for table in ("vhost", '"user"', "queue"):
        session.run(lambda connection, table=table: connection.execute(f"DELETE FROM {table}"))
    # The log of a vhost is there, and then only a file of it.
    with database_target(database) as target:
        assert not target.is_empty()
    session.run(lambda connection: connection.execute("DELETE FROM vhost_log"))
    with database_target(database) as target:
        assert target.is_empty()
    session.run(lambda connection: connection.execute('CREATE TABLE "v7/journal/1.seg" (start bigint)'))
    with database_target(database) as target:
        assert not target.is_empty()


def test_brokers_refuse_a_database_until_its_copy_is_complete(database, session):
    source = small("v", "w")
    schema.make_tables(session)

    def interrupt():
        with pytest.raises(StoreError, match="wait until `amqpbroker store copy` ends"):
            schema.make_tables(session)
        # No broker that runs already sees a vhost.
        assert session.run(read_logs) == []
        raise InterruptedError

    with pytest.raises(InterruptedError):
        copied_to(database, source._replace(check=interrupt))
    with pytest.raises(StoreError, match="if it was interrupted, remove the schema amqpbroker, and copy again"):
        schema.make_tables(session)
    with pytest.raises(StoreError, match="incomplete copy"):
        copied_to(database, source)
    with pytest.raises(StoreError, match="incomplete copy"), database_source(database):
        pass
    session.run(lambda connection: connection.execute("DROP SCHEMA amqpbroker CASCADE"))
    copied_to(database, source)
    schema.make_tables(session)
    assert [log.vhost for log in session.run(read_logs)] == ["v", "w"]


@pytest.mark.parametrize("moment", INTERRUPTIONS)
def test_an_interrupted_copy_is_refused(database, session, moment):
    with pytest.raises(InterruptedError):
        copied_to(database, interrupted(small("v", "w"), moment))
    with pytest.raises(StoreError, match="incomplete copy"):
        schema.make_tables(session)
    assert session.run(read_logs) == []


def test_logs_of_an_interrupted_copy_are_not_used_again(database, session):
    with pytest.raises(InterruptedError):
        copied_to(database, interrupted(small("v"), "written"))
    # A broker that runs already, and has seen the tables before, takes the database for empty.
    epoch = session.run(lambda connection: connection.execute("SELECT epoch FROM fence WHERE log = '0'").fetchone())[0]
    definitions = DatabaseDefinitions("0", session, Fence(session, "0", epoch))
    definitions.put(VhostDefinition("v"))
    definitions.sync()
    assert [log.name for log in session.run(read_logs)] == ["v2"]


def test_a_copy_that_lost_the_database_does_not_complete(database, session):
    source = small("v")

    def take_over():
        session.run(lambda connection: connection.execute("UPDATE fence SET epoch = epoch + 1 WHERE log = '0'"))

    with pytest.raises(FencedError):
        copied_to(database, source._replace(check=take_over))
    with pytest.raises(StoreError, match="incomplete copy"):
        schema.make_tables(session)
    assert session.run(read_logs) == []


# --- sources ----------------------------------------------------------------------------------------------------------


def test_deleted_vhosts_are_not_copied(database, session):
    copied_to(database, small("v", "w\udcff"))
    session.run(lambda connection: connection.execute("UPDATE vhost_log SET removed = true WHERE vhost = 'v'"))
    session.run(lambda connection: connection.execute("DELETE FROM vhost WHERE name = 'v'"))
    target = MemoryTarget(apart=False)
    with database_source(database) as source:
        assert [part.name for part in source.parts] == ["v2"]
        copy(source, target)
    assert list(contents(target.parts)) == ["w\udcff"]


def test_a_database_that_does_not_exist_is_refused(postgresql):
    missing = postgresql.url_of("missing")
    with pytest.raises(StoreError, match='database "missing" does not exist'), database_source(missing):
        pass
