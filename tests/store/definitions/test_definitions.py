import logging
import os
import sqlite3
import subprocess
import sys

import pytest

from amqpbroker.errors import AmqpError
from amqpbroker.store.definitions.definitions import (
    BindingDefinition,
    ExchangeDefinition,
    GlobalParameterDefinition,
    MemoryDefinitions,
    ParameterDefinition,
    PermissionDefinition,
    QueueDefinition,
    StreamOffsetDefinition,
    TopicPermissionDefinition,
    UserDefinition,
    VhostDefinition,
)
from amqpbroker.store.definitions.sqlite_definitions import MIGRATIONS, SqliteDefinitions
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError
from amqpbroker.store.record import MAX_ID
from tests.fault_definitions import FaultyDefinitions

#: Two of each kind, with values that are hard to store: empty names, bytes that are not text, quotes, other scripts,
#: NUL.
SAMPLES = [
    VhostDefinition("/"),
    VhostDefinition("tä'st", "süß", ("a, b", ""), "quorum", True),
    UserDefinition("guest", bytes(range(36)), ("administrator", "a, b"), {"max-channels": -1}),
    UserDefinition("nobody", b"", ()),
    PermissionDefinition("guest", "/", ".*", "", "^q"),
    PermissionDefinition("guest", "tä'st", "", "", ""),
    TopicPermissionDefinition("guest", "/", "x", "^{username}", ".*"),
    TopicPermissionDefinition("guest", "/", "", ".*", ".*"),
    ParameterDefinition("policy", "/", "p", {"priority": 10**30, "definition": {"é": [1.5, None, True, {}]}}),
    ParameterDefinition("vhost-limits", "tä'st", "", "\ud800\0"),
    GlobalParameterDefinition("cluster_name", "ours"),
    GlobalParameterDefinition("", None),
    ExchangeDefinition("/", "x", 5, "x-delayed-message", True, False, b"\0\0\0\1\xff"),
    ExchangeDefinition("/", "y\0z", 0, "topic", False, True, b"\0\0\0\0"),
    QueueDefinition("/", "q", 3, True, b"\0\0\0\0"),
    QueueDefinition("tä'st", "q", 7, False, b"\0\0\0\1\xff", 3_000_000_000),
    BindingDefinition("/", "x", False, "q", b"\xff\0", b"\0\0\0\0"),
    BindingDefinition("/", "x", True, "q", b"", b"\0\0\0\1\0"),
    StreamOffsetDefinition("/", "q", "reader", (1 << 62) + 1, 1_700_000_000_000),
    StreamOffsetDefinition("tä'st", "q", "é\0", 0, 0),
]
KINDS = list(dict.fromkeys(type(sample) for sample in SAMPLES))


class CountingFiles(Files):
    """Real files. syncs: number of syncs; the one numbered `fail_sync` fails."""

    def __init__(self):
        self.syncs = 0
        self.fail_sync = 0

    def sync(self, descriptor):
        self.syncs += 1
        if self.syncs == self.fail_sync:
            raise OSError("no more disk")
        super().sync(descriptor)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "definitions.sqlite"


#: Definitions opened by a test. Some are left open, as by a killed process.
_OPENED = []


@pytest.fixture(autouse=True)
def _closed():
    yield
    while _OPENED:
        definitions = _OPENED.pop()
        definitions._log._connection.close()
        definitions._connection.close()


def opened(path, files=None, **options):
    definitions = SqliteDefinitions(path, files or Files(), **options)
    _OPENED.append(definitions)
    return definitions


def everything(definitions):
    return [definition for kind in KINDS for definition in definitions.all(kind)]


def refuse_changes(definitions):
    """Make every further change fail, as on a full disk."""
    pages = definitions._connection.execute("PRAGMA page_count").fetchone()[0]
    definitions._connection.execute(f"PRAGMA max_page_count = {pages}")


# --- contents ---------------------------------------------------------------------------------------------------------


def test_all_definitions_are_read_back_unchanged(path):
    first = opened(path)
    first.put(*SAMPLES)
    first.close()
    second = opened(path)
    assert everything(second) == SAMPLES
    queue, exchange = second.all(QueueDefinition)[0], second.all(ExchangeDefinition)[0]
    assert (queue.auto_delete, exchange.auto_delete, exchange.internal) == (True, True, False)
    assert type(queue.auto_delete) is bool


def test_changes_survive_a_process_that_ends_without_close(path):
    # Without close, SQLite's log is not moved into the database; the next process would find a copy of these files.
    first = opened(path)
    first.put(*SAMPLES)
    left = path.with_name("left.sqlite")
    for suffix in ("", "-wal"):
        left.with_name(left.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    assert everything(opened(left)) == SAMPLES


@pytest.mark.parametrize("sample", SAMPLES[::2], ids=lambda sample: type(sample).__name__)
def test_removed_definitions_stay_removed(path, sample):
    first = opened(path)
    first.put(*SAMPLES)
    first.remove(sample)
    first.remove(sample)
    first.close()
    assert everything(opened(path)) == [other for other in SAMPLES if other != sample]


@pytest.mark.parametrize("make", [opened, lambda path: FaultyDefinitions()], ids=["sqlite", "faulty"])
def test_removing_a_vhost_removes_all_its_definitions(path, make):
    definitions = make(path)
    definitions.put(*SAMPLES)
    definitions.remove_vhost("/")
    kept = [sample for sample in SAMPLES if "/" not in (sample[0], getattr(sample, "vhost", None))]
    assert everything(definitions) == kept
    definitions.remove_vhost("/")
    assert everything(definitions) == kept


def test_removal_of_a_vhost_is_atomic(path):
    definitions = opened(path)
    definitions.put(*SAMPLES)
    definitions._connection.execute("CREATE TRIGGER no BEFORE DELETE ON vhost BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(AmqpError, match="the change cannot be stored: no"):
        definitions.remove_vhost("/")
    assert everything(definitions) == SAMPLES


def test_definitions_are_removed_and_replaced_by_key(path):
    definitions = opened(path)
    definitions.put(*SAMPLES)
    definitions.remove(QueueDefinition("/", "q", 0, False, b""))
    assert definitions.all(QueueDefinition) == [
        sample for sample in SAMPLES if type(sample) is QueueDefinition and sample.vhost == "tä'st"
    ]
    definitions.put(UserDefinition("guest", b"new", ()))
    assert [user.password_hash for user in definitions.all(UserDefinition)] == [b"", b"new"]


def test_definitions_keep_the_order_in_which_they_were_put(path):
    definitions = opened(path)
    bindings = [BindingDefinition("/", "x", False, name, b"", b"") for name in ("c", "a", "b")]
    definitions.put(*bindings)
    assert definitions.all(BindingDefinition) == bindings


def test_memory_definitions_store_nothing():
    definitions = MemoryDefinitions()
    with definitions.transaction():
        definitions.put(*SAMPLES)
    definitions.remove(SAMPLES[0])
    definitions.sync()
    assert everything(definitions) == []


def test_putting_an_unchanged_definition_writes_nothing(path):
    definitions = opened(path)
    definitions.put(*SAMPLES)
    log = path.with_name(path.name + "-wal")
    size = log.stat().st_size
    definitions.put(*SAMPLES)
    assert log.stat().st_size == size
    assert everything(definitions) == SAMPLES


# --- ids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [opened, lambda path: MemoryDefinitions()], ids=["sqlite", "memory"])
def test_ids_count_from_1(path, make):
    definitions = make(path)
    assert [definitions.new_id() for _ in range(3)] == [1, 2, 3]


def test_the_id_of_a_deleted_queue_is_never_reused(path):
    first = opened(path)
    for name in ("a", "b"):
        first.put(QueueDefinition("/", name, first.new_id(), False, b""))
    first.remove(QueueDefinition("/", "b", 2, False, b""))
    first.remove(QueueDefinition("/", "a", 1, False, b""))
    first.close()
    assert opened(path).new_id() == 3


def test_a_replaced_queue_gets_a_new_id(path):
    definitions = opened(path)
    for _ in range(2):
        definitions.put(QueueDefinition("/", "q", definitions.new_id(), False, b""))
    assert [queue.id for queue in definitions.all(QueueDefinition)] == [2]
    definitions.close()
    assert opened(path).new_id() == 3


def test_exchanges_and_queues_share_one_id_sequence(path):
    first = opened(path)
    first.put(QueueDefinition("/", "q", first.new_id(), False, b""))
    delaying = ExchangeDefinition("/", "x", first.new_id(), "x-delayed-message", False, False, b"")
    first.put(delaying, ExchangeDefinition("/", "y", 0, "direct", False, False, b""))
    first.close()
    second = opened(path)
    assert second.new_id() == 3
    second.remove(delaying)
    second.close()
    third = opened(path)
    assert third.new_id() == 3
    third.put(QueueDefinition("/", "q3", 3, False, b""))
    third.close()
    assert opened(path).new_id() == 4


def test_the_id_of_the_first_exchange_is_never_reused(path):
    first = opened(path)
    delaying = ExchangeDefinition("/", "x", first.new_id(), "x-delayed-message", False, False, b"")
    first.put(delaying)
    first.remove(delaying)
    first.close()
    assert opened(path).new_id() == 2


def test_no_id_is_higher_than_the_journal_can_represent(path):
    definitions = opened(path)
    definitions.put(QueueDefinition("/", "q", MAX_ID - 1, False, b""))
    definitions.close()
    definitions = opened(path)
    assert definitions.new_id() == MAX_ID
    for _ in range(2):
        with pytest.raises(AmqpError, match=f"RESOURCE_ERROR - the change cannot be stored: all {MAX_ID} queue ids"):
            definitions.new_id()


# --- all or nothing ---------------------------------------------------------------------------------------------------


def test_an_error_in_a_transaction_undoes_it(path):
    definitions = opened(path)

    def fail():
        with definitions.transaction():
            definitions.put(*SAMPLES[:3])
            with definitions.transaction():
                definitions.put(*SAMPLES[3:])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert everything(definitions) == []
    with definitions.transaction():
        definitions.put(*SAMPLES)
    assert everything(definitions) == SAMPLES


def test_a_change_that_cannot_be_written_is_reported_and_undone(path, caplog):
    definitions = opened(path)
    definitions.put(*SAMPLES)
    refuse_changes(definitions)
    more = [QueueDefinition("/", f"more {number}", 100 + number, False, bytes(1000)) for number in range(100)]
    with pytest.raises(AmqpError) as raised:
        definitions.put(*more)
    assert raised.value.text == "RESOURCE_ERROR - the change cannot be stored: database or disk is full"
    assert everything(definitions) == SAMPLES
    assert f"{path}: database or disk is full" in caplog.text
    definitions.remove(SAMPLES[0])
    assert definitions.all(VhostDefinition) == [SAMPLES[1]]


def test_a_full_disk_at_commit_undoes_the_change(path):
    # A limit on the size of files replaces the disk: the log fits, but the next commit does not.
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    definitions = opened(path)
    definitions.put(*SAMPLES)
    size = path.with_name(path.name + "-wal").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(AmqpError) as raised:
            definitions.put(VhostDefinition("one too many"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert raised.value.code == 506
    assert everything(definitions) == SAMPLES
    definitions.put(VhostDefinition("one more"))
    definitions.close()
    assert opened(path).all(VhostDefinition)[-1] == VhostDefinition("one more")


# --- sync -------------------------------------------------------------------------------------------------------------


def test_a_sync_costs_nothing_unless_something_changed(path):
    files = CountingFiles()
    definitions = opened(path, files)
    definitions.sync()  # what an earlier process may have left
    assert files.syncs == 1
    definitions.put(*SAMPLES)
    assert files.syncs == 1
    definitions.sync()
    definitions.sync()
    assert files.syncs == 2
    definitions.remove(SAMPLES[0])
    definitions.sync()
    assert files.syncs == 3


def test_a_change_made_during_a_sync_is_left_to_the_next(path):
    class Busy(CountingFiles):
        def sync(self, descriptor):
            super().sync(descriptor)
            if self.syncs == 1:
                definitions.put(*SAMPLES)

    files = Busy()
    definitions = opened(path, files)
    definitions.sync()
    definitions.sync()
    assert files.syncs == 2


def test_a_sync_syncs_the_log(path):
    synced = []

    class Watching(CountingFiles):
        def sync(self, descriptor):
            synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("no /proc")
    opened(path, Watching()).sync()
    assert synced == [f"{path}-wal"]


def test_a_failed_sync_is_never_repeated(path):
    files = CountingFiles()
    files.fail_sync = 1
    definitions = opened(path, files)
    for _ in range(2):
        with pytest.raises(OSError, match="no more disk"):
            definitions.sync()
    assert files.syncs == 1


def test_watchers_are_notified_after_each_change(path):
    definitions = opened(path)
    told = []
    definitions.watch(lambda: told.append(len(definitions.all(VhostDefinition))))
    definitions.put(VhostDefinition("a"))
    with definitions.transaction():
        definitions.put(VhostDefinition("b"))
        definitions.put(VhostDefinition("c"))
    definitions.remove(VhostDefinition("a"))
    assert told == [1, 3, 2]


# --- versions ---------------------------------------------------------------------------------------------------------

MIGRATED = (*MIGRATIONS, "ALTER TABLE vhost ADD COLUMN colour TEXT NOT NULL DEFAULT 'none'")


def test_an_older_version_is_migrated(path, caplog):
    first = opened(path)
    first.put(*SAMPLES)
    first.close()
    caplog.set_level(logging.INFO)
    second = opened(path, migrations=MIGRATED)
    assert everything(second) == SAMPLES
    assert second._connection.execute("SELECT DISTINCT colour FROM vhost").fetchall() == [("none",)]
    assert f"{path}: migrating from version 6 to 7" in caplog.text
    second.close()
    caplog.clear()
    opened(path, migrations=MIGRATED).close()
    assert caplog.text == ""


#: The tables of version 1.
VERSION_1 = """
    CREATE TABLE vhost (
        name TEXT NOT NULL PRIMARY KEY);
    CREATE TABLE user (
        name TEXT NOT NULL PRIMARY KEY, password_hash BLOB NOT NULL, tags TEXT NOT NULL);
    CREATE TABLE permission (
        user TEXT NOT NULL, vhost TEXT NOT NULL,
        configure TEXT NOT NULL, write TEXT NOT NULL, read TEXT NOT NULL,
        PRIMARY KEY (user, vhost));
    CREATE TABLE topic_permission (
        user TEXT NOT NULL, vhost TEXT NOT NULL, exchange TEXT NOT NULL,
        write TEXT NOT NULL, read TEXT NOT NULL,
        PRIMARY KEY (user, vhost, exchange));
    CREATE TABLE exchange (
        vhost TEXT NOT NULL, name TEXT NOT NULL,
        type TEXT NOT NULL, auto_delete INTEGER NOT NULL, internal INTEGER NOT NULL, arguments BLOB NOT NULL,
        PRIMARY KEY (vhost, name));
    CREATE TABLE queue (
        vhost TEXT NOT NULL, name TEXT NOT NULL,
        id INTEGER PRIMARY KEY AUTOINCREMENT, auto_delete INTEGER NOT NULL, arguments BLOB NOT NULL,
        UNIQUE (vhost, name));
    CREATE TABLE binding (
        vhost TEXT NOT NULL, source TEXT NOT NULL, to_exchange INTEGER NOT NULL, destination TEXT NOT NULL,
        routing_key BLOB NOT NULL, arguments BLOB NOT NULL,
        PRIMARY KEY (vhost, source, to_exchange, destination, routing_key, arguments));
    PRAGMA user_version = 1;
"""


def of_version_1(path, *statements):
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(VERSION_1)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_version_1_is_migrated_and_its_delaying_exchanges_get_ids(path):
    exchange = "INSERT INTO exchange (vhost, name, type, auto_delete, internal, arguments) VALUES"
    queue = "INSERT INTO queue (vhost, name, id, auto_delete, arguments) VALUES"
    of_version_1(
        path,
        f"{exchange} ('/', 'x', 'direct', 1, 0, x'00000000')",
        f"{exchange} ('/', 'late', 'x-delayed-message', 0, 0, x'00000000')",
        f"{exchange} ('/', 'y', 'topic', 0, 1, x'00000000')",
        f"{exchange} ('other', 'late', 'x-delayed-message', 0, 0, x'00000000')",
        f"{queue} ('/', 'q', 3, 0, x'00000000')",
        f"{queue} ('/', 'gone', 7, 0, x'00000000')",
        "DELETE FROM queue WHERE name = 'gone'",
        "INSERT INTO user (name, password_hash, tags) VALUES ('guest', x'01', '[\"administrator\"]')",
    )
    for _ in range(2):
        definitions = opened(path)
        assert definitions.all(ExchangeDefinition) == [
            ExchangeDefinition("/", "x", 0, "direct", True, False, b"\0\0\0\0"),
            ExchangeDefinition("/", "late", 8, "x-delayed-message", False, False, b"\0\0\0\0"),
            ExchangeDefinition("/", "y", 0, "topic", False, True, b"\0\0\0\0"),
            ExchangeDefinition("other", "late", 9, "x-delayed-message", False, False, b"\0\0\0\0"),
        ]
        assert definitions.all(QueueDefinition) == [QueueDefinition("/", "q", 3, False, b"\0\0\0\0")]
        assert definitions.all(UserDefinition) == [UserDefinition("guest", b"\1", ("administrator",))]
        assert definitions.new_id() == 10
        definitions.close()


def test_an_empty_version_1_is_migrated(path):
    of_version_1(path)
    definitions = opened(path)
    assert everything(definitions) == []
    assert definitions.new_id() == 1
    definitions.put(*SAMPLES)
    assert everything(definitions) == SAMPLES


def test_version_2_is_migrated_and_its_vhosts_and_users_are_as_before(path):
    second = opened(path, migrations=MIGRATIONS[:2])
    second._connection.execute("INSERT INTO vhost (name) VALUES ('/')")
    second._connection.execute("INSERT INTO user (name, password_hash, tags) VALUES ('guest', x'01', '[]')")
    insert = "INSERT INTO queue (vhost, name, id, auto_delete, arguments) VALUES"
    second._connection.execute(f"{insert} ('/', 'q', 3, 0, x'00000000')")
    second.close()
    for _ in range(2):
        definitions = opened(path)
        assert definitions.all(VhostDefinition) == [VhostDefinition("/", "", (), "", False)]
        assert definitions.all(UserDefinition) == [UserDefinition("guest", b"\1", (), {})]
        assert definitions.all(ParameterDefinition) == definitions.all(GlobalParameterDefinition) == []
        assert definitions.all(QueueDefinition) == [QueueDefinition("/", "q", 3, False, b"\0\0\0\0")]
        assert definitions.new_id() == 4
        definitions.close()


def test_a_migration_that_fails_leaves_the_old_version(path):
    first = opened(path)
    first.put(*SAMPLES)
    first.close()
    with pytest.raises(StoreError, match="nonsense"):
        opened(path, migrations=(*MIGRATIONS, "DELETE FROM vhost; nonsense"))
    assert everything(opened(path)) == SAMPLES


def test_a_newer_version_is_refused(path):
    opened(path, migrations=MIGRATED).close()
    with pytest.raises(StoreError) as raised:
        opened(path)
    assert str(raised.value) == (
        f"{path}: version 7 of the definitions was written by a newer amqpbroker; this one reads up to version 6"
    )


def excludes_others():
    """Return whether SQLite can exclude other processes on this system, which it cannot on Windows."""
    try:
        sqlite3.connect("file::memory:?vfs=unix-excl", uri=True).close()
    except sqlite3.OperationalError:
        return False
    return True


@pytest.mark.skipif(not excludes_others(), reason="SQLite has no such file system here")
def test_a_database_that_another_program_has_open_is_refused(path):
    opened(path).close()
    program = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM vhost').fetchall()"
    other = subprocess.Popen(
        [sys.executable, "-c", f"{program}; print(flush=True); sys.stdin.read()", str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with other:
        assert other.stdout.readline() == b"\n"
        with pytest.raises(StoreError, match="database is locked; end the other program that has it open"):
            opened(path)
        other.stdin.close()
    opened(path)


def test_definitions_are_stored_where_sqlite_cannot_exclude_other_processes(path, monkeypatch):
    """On Windows; the lock of the data directory excludes other brokers there."""
    connect = sqlite3.connect

    def refuse(database, **options):
        if "vfs=unix-excl" in database:
            raise sqlite3.OperationalError("no such vfs: unix-excl")
        return connect(database, **options)

    monkeypatch.setattr(sqlite3, "connect", refuse)
    definitions = opened(path)
    definitions.put(*SAMPLES)
    definitions.sync()
    definitions.close()
    assert everything(opened(path)) == SAMPLES


def test_sqlite_flushes_the_cache_of_the_disk_on_macos(path, monkeypatch):
    """Its checkpoints remove changes from the log, which could still be in that cache. No effect on other systems."""
    made = []
    connect = sqlite3.connect

    def record(*arguments, **options):
        made.append(connect(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", record)
    opened(path)
    settings = ("fullfsync", "checkpoint_fullfsync")
    found = [[each.execute(f"PRAGMA {name}").fetchone()[0] for name in settings] for each in made]
    assert found == [[1, 1]] * len(made)
    assert made


def test_a_file_that_is_not_a_database_is_refused(path):
    path.write_text("these are not the definitions you are looking for" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        opened(path)


def test_the_database_is_readable_only_by_its_owner(path):
    before = os.umask(0)
    try:
        opened(path).put(*SAMPLES)
    finally:
        os.umask(before)
    files = list(path.parent.glob(path.name + "*"))
    assert {file.name for file in files} - {f"{path.name}-shm"} == {path.name, f"{path.name}-wal"}
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_missing_directory_is_reported(path):
    with pytest.raises(StoreError, match="No such file or directory"):
        opened(path.parent / "nowhere" / "definitions.sqlite")


def test_a_damaged_table_is_reported_when_it_is_read(path):
    first = opened(path)
    first.put(*(QueueDefinition("/", f"q{number}", number + 1, False, bytes(500)) for number in range(100)))
    first.close()
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="malformed"):
        opened(path).all(QueueDefinition)
