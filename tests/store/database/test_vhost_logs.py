"""The logs of vhosts in a database."""

import errno
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from amqpbroker.cluster.database_storage import DatabaseStorage
from amqpbroker.cluster.leadership.leadership import GRACE_S, Leader, session_name
from amqpbroker.cluster.leadership.leaderships import Leaderships
from amqpbroker.cluster.leadership.sessions import Sessions
from amqpbroker.store.database.fence import Statement
from amqpbroker.store.database.session import SCHEMA
from amqpbroker.store.database.vhost_logs import (
    VhostLog,
    read_logs,
    reconcile,
    remove_log,
)
from amqpbroker.store.definitions.definitions import QueueDefinition, VhostDefinition
from amqpbroker.store.log import FencedError, UnwrittenError
from tests.store.database.opening import Opened

LOST = UnwrittenError(errno.EIO, "server closed the connection unexpectedly")
STRANGE = "tä's\"\\t\x00\udcff"
QUEUE = QueueDefinition("v", "q", 1, False, b"")
_END_WRITING = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE starts_with(application_name, 'amqpbroker process 3 writing')"
)


@pytest.fixture
def opened(database):
    made = Opened(database)
    yield made
    made.close()


@pytest.fixture
def logs(opened):
    return lambda: opened.reading.run(read_logs)


@pytest.fixture
def led(opened, database):
    """Returns a function that leads a log, and returns its storage."""
    storages, opening = [], []

    def lead(log):
        process, times = f"process {len(storages)}", count(0, GRACE_S)
        session = opened.session(database, session_name(process, "lease"))
        leaderships = Leaderships(session, Leader("b", "", process), 0.0, partial(next, times))
        while not leaderships.try_take(log):
            pass
        opening.append(Sessions(database, process))
        storages.append(DatabaseStorage(opening[-1], leaderships.held[log], log))
        storages[-1].open()
        return storages[-1]

    yield lead
    for each in (*storages, *opening):
        each.close()


def test_each_vhost_has_a_log_from_its_creation_on(opened, logs):
    for name in ("v", STRANGE, "v"):
        opened.definitions.put(VhostDefinition(name, "described"))
    opened.definitions.sync()
    assert logs() == [VhostLog(1, "v", False), VhostLog(2, STRANGE, False)]
    assert logs()[0].name == "v1"


def test_a_vhost_that_is_created_again_has_another_log(opened, logs):
    opened.definitions.put(VhostDefinition("v"))
    opened.definitions.sync()
    for _ in range(2):
        opened.definitions.remove_vhost("v")
        opened.definitions.put(VhostDefinition("v"))
        opened.definitions.sync()
    # A broker may take the first ones over meanwhile.
    assert logs() == [VhostLog(1, "v", True), VhostLog(2, "v", True), VhostLog(3, "v", False)]


def test_a_repeated_deletion_does_not_remove_the_log_of_a_vhost_that_was_created_again(opened, logs, led):
    opened.definitions.put(VhostDefinition("v"))
    opened.definitions.sync()
    led("v1")
    opened.definitions.remove_vhost("v")
    opened.definitions.put(VhostDefinition("v"))
    used = []
    for later in (0, 1):
        opened.fence.loses, opened.fence.later = LOST, later
        with pytest.raises(UnwrittenError):
            opened.definitions.sync()
        used += [log for log in logs() if not log.removed]
        for log in used:
            led(log.name)
    opened.definitions.sync()
    assert [log for log in logs() if not log.removed] == used
    assert len(used) == 1


def test_logs_of_vhosts_that_an_earlier_broker_has_created_and_deleted_are_put_right(opened, logs, led):
    opened.definitions.put(*[VhostDefinition(name) for name in ("kept", "deleted", "created")])
    opened.definitions.sync()
    for statement in ("DELETE FROM vhost WHERE name = 'deleted'", "DELETE FROM vhost_log WHERE vhost = 'created'"):
        opened.reading.run(lambda connection, statement=statement: connection.execute(statement))
    for _ in range(2):
        reconcile(opened.fence)
        assert [log[1:] for log in logs()] == [("kept", False), ("deleted", True), ("created", False)]


def test_a_removal_that_waits_for_a_backup_ends_soon_and_holds_up_no_messages(opened, logs, led, database):
    opened.definitions.put(VhostDefinition("v"))
    opened.definitions.sync()
    led("v1")
    opened.definitions.remove_vhost("v")
    opened.definitions.sync()
    storage = led("v1")
    storage.files.write(storage.files.create(Path("/journal/1")), b"data")
    storage.files.flush()
    backup = opened.session(database, "backup")

    def remove_meanwhile(connection):
        with connection.transaction():
            connection.execute(f'LOCK TABLE {SCHEMA}."v1/journal/1" IN ACCESS SHARE MODE')
            with pytest.raises(UnwrittenError, match="lock timeout"):
                storage.read(lambda reading: remove_log(logs()[0], reading, storage.removal))

    backup.run(remove_meanwhile)
    storage.read(lambda reading: remove_log(logs()[0], reading, storage.removal))
    assert logs() == []


@pytest.mark.parametrize("has_files", [True, False])
def test_what_a_vhost_has_stored_stays_if_a_promoted_standby_lacks_its_deletion(opened, logs, led, has_files):
    opened.definitions.put(VhostDefinition("v"))
    opened.definitions.sync()
    storage = led("v1")
    storage.definitions.put(QUEUE)
    storage.definitions.sync()
    if has_files:
        storage.files.write(storage.files.create(Path("/journal/1")), b"data")
        storage.files.flush()
    removed = logs()[0]._replace(removed=True)
    with pytest.raises(FencedError):
        storage.read(lambda reading: remove_log(removed, reading, storage.removal))
    assert [log.removed for log in logs()] == [False]
    assert storage.definitions.all(QueueDefinition) == [QUEUE]
    assert storage.files.names(Path("/journal")) == ["1"] * has_files


def test_the_storages_of_two_logs_have_nothing_in_common(opened, led):
    opened.definitions.put(VhostDefinition("one"), VhostDefinition("two"))
    opened.definitions.sync()
    first, second = led("v1"), led("v2")
    for number, storage in enumerate((first, second), 1):
        storage.definitions.put(QUEUE._replace(id=number))
        storage.definitions.sync()
        descriptor = storage.files.create(Path("/journal/1"))
        storage.files.write(descriptor, b"%d" % number)
        storage.files.flush()
    assert [storage.definitions.all(QueueDefinition)[0].id for storage in (first, second)] == [1, 2]
    files = [storage.files for storage in (first, second)]
    assert [each.read(each.open(Path("/journal/1")), 0, 9) for each in files] == [b"1", b"2"]


def test_what_a_deleted_vhost_has_stored_is_removed(opened, logs, led, monkeypatch):
    opened.definitions.put(VhostDefinition("v"))
    opened.definitions.sync()
    led("v1")
    opened.definitions.remove_vhost("v")
    opened.definitions.put(VhostDefinition("v"))
    opened.definitions.sync()
    removed, kept = logs()
    old, new = led(removed.name), led(kept.name)
    for storage in (old, new):
        storage.definitions.put(QUEUE)
        storage.definitions.sync()
        for number in range(5):
            storage.files.write(storage.files.create(Path(f"/journal/{number}")), b"data")
        storage.files.flush()
    late = led(removed.name)
    with pytest.raises(UnwrittenError):
        # The takeover has ended its session.
        old.fence.write([Statement("SELECT 1")])
    with pytest.raises(FencedError):
        old.fence.write([Statement("SELECT 1")])
    monkeypatch.setattr("amqpbroker.store.database.vhost_logs._FILES_AT_ONCE", 2)
    opened.reading.run(lambda connection: remove_log(removed, connection, late.fence))
    assert logs() == [kept]
    assert late.definitions.all(QueueDefinition) == []
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'amqpbroker' AND tablename LIKE %s"
    found = [
        len(opened.reading.run(lambda connection, log=log: connection.execute(tables, [f"{log.name}/%"]).fetchall()))
        for log in (removed, kept)
    ]
    assert found == [0, 5]
    assert new.definitions.all(QueueDefinition) == [QUEUE]
    with pytest.raises(FencedError):
        late.fence.write([Statement("SELECT 1")])
    # Its last write is removed, and not lost with a server.
    opened.reading.run(lambda connection: connection.execute(_END_WRITING))
    with pytest.raises(UnwrittenError):
        late.fence.write([Statement("SELECT 1")])
    with pytest.raises(FencedError):
        late.fence.write([Statement("SELECT 1")])
    new.definitions.put(QUEUE._replace(name="r"))
    new.definitions.sync()
