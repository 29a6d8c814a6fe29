import contextlib
import errno
import signal
import sqlite3
import threading

import pytest

from amqpbroker.config.bounds import BOUNDS
from amqpbroker.errors import AmqpError
from amqpbroker.store.definitions.definitions import QueueDefinition, VhostDefinition
from amqpbroker.store.definitions.sqlite_definitions import SqliteDefinitions
from amqpbroker.store.definitions.sqlite_log import SqliteLog
from amqpbroker.store.files import Files
from amqpbroker.store.log import UnwrittenError

#: Maximum number of bytes that one change of the tests adds to the log.
CHANGE_BYTES = 100_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "definitions.sqlite"


SMALL = BOUNDS._replace(log_bytes=200_000, full_log_bytes=1_000_000, retry_log_bytes=50_000)


@pytest.fixture
def open_definitions(path):
    """Yield a function that opens definitions, and close them at the end."""
    with contextlib.ExitStack() as stack:

        def opened(files=None):
            definitions = SqliteDefinitions(path, files or Files(), SMALL)
            stack.callback(definitions.close)
            return definitions

        yield opened


def log_bytes(path):
    return path.with_name(path.name + "-wal").stat().st_size


def churn(definitions, times=1):
    for _ in range(times):
        queue = QueueDefinition("/", "q", definitions.new_id(), False, bytes(1000))
        definitions.put(queue)
        definitions.remove(queue)


def fill(definitions, path, size):
    while log_bytes(path) < size:
        churn(definitions)


@contextlib.contextmanager
def files_limited(size):
    """Limit the size of files; SQLite gets an I/O error for writes beyond the limit."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def large(definitions, count=400):
    """Make the database larger than the log may become in tests that limit the size of files; return its queues."""
    queues = [
        QueueDefinition("/", f"large {number}", definitions.new_id(), False, bytes(8000)) for number in range(count)
    ]
    definitions.put(*queues)
    return queues


def refusal(definitions, queue):
    """Make two changes; return the error if one of them is refused, otherwise None."""
    try:
        definitions.remove(queue)
        definitions.put(VhostDefinition(queue.name))
    except AmqpError as error:
        return error
    return None


# --- size of the log --------------------------------------------------------------------------------------------------


def test_definitions_log_stays_small_during_continuous_changes(path, open_definitions):
    definitions = open_definitions()
    done = threading.Event()

    def sync():
        while not done.is_set():
            definitions.sync()

    syncing = threading.Thread(target=sync)
    syncing.start()
    most = written = 0
    try:
        while written < 20 * SMALL.full_log_bytes:
            before = log_bytes(path)
            churn(definitions)
            after = log_bytes(path)
            most = max(most, after)
            written += after - before if after > before else after
    finally:
        done.set()
        syncing.join()
    assert most <= SMALL.full_log_bytes + CHANGE_BYTES
    definitions.sync()
    assert log_bytes(path) <= SMALL.log_bytes


def test_a_sync_empties_a_long_log_and_leaves_a_short_one(path, open_definitions):
    definitions = open_definitions()
    definitions.put(VhostDefinition("short"))
    size = log_bytes(path)
    definitions.sync()
    assert log_bytes(path) == size
    fill(definitions, path, SMALL.log_bytes)
    definitions.sync()
    assert log_bytes(path) == 0
    definitions.put(VhostDefinition("after"))
    assert definitions.all(VhostDefinition) == [VhostDefinition("short"), VhostDefinition("after")]


def test_definitions_log_stays_small_without_syncs(path, open_definitions):
    definitions = open_definitions()
    for _ in range(100):
        churn(definitions)
        assert log_bytes(path) <= SMALL.full_log_bytes + CHANGE_BYTES
    assert definitions.all(QueueDefinition) == []


def test_a_transaction_larger_than_the_log_limit_is_stored(path, open_definitions):
    definitions = open_definitions()
    queues = large(definitions)
    assert log_bytes(path) > SMALL.full_log_bytes
    definitions.put(VhostDefinition("after"))
    assert log_bytes(path) < SMALL.log_bytes
    assert definitions.all(QueueDefinition) == queues


def test_long_log_left_by_a_crash_is_emptied_at_the_start(path, open_definitions):
    first = open_definitions()
    for _ in range(4):
        large(first)
    left = path.with_name("left.sqlite")
    for suffix in ("", "-wal"):
        left.with_name(left.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    assert log_bytes(left) > SMALL.log_bytes
    with contextlib.closing(SqliteDefinitions(left, Files())) as definitions:
        assert log_bytes(left) == 0
        assert len(definitions.all(QueueDefinition)) == 400


def test_a_sync_during_a_transaction_does_not_block_it(path, open_definitions):
    definitions = open_definitions()
    with definitions.transaction():
        large(definitions)
        definitions.sync()
    definitions.sync()
    assert len(definitions.all(QueueDefinition)) == 400


# --- failed writes ----------------------------------------------------------------------------------------------------


def test_definitions_change_without_checkpoints_until_the_log_is_full(path, open_definitions, caplog):
    definitions = open_definitions()
    queues = large(definitions)
    definitions.sync()
    assert log_bytes(path) == 0
    # The changes concern queues that are stored beyond the size limit of files.
    with files_limited(1_500_000):
        refused = None
        while refused is None:
            if len(queues) < 100:
                queues += large(definitions, 10)
            refused = refusal(definitions, queues.pop())
            definitions.sync()
        assert refused.code == 506
        assert "the change cannot be stored: disk I/O error" in refused.text
        stored = definitions.all(QueueDefinition), definitions.all(VhostDefinition)
        assert log_bytes(path) <= SMALL.full_log_bytes + CHANGE_BYTES
        definitions.sync()
        with pytest.raises(AmqpError):
            definitions.put(VhostDefinition("one too many"))
        assert (definitions.all(QueueDefinition), definitions.all(VhostDefinition)) == stored
    told = [record.getMessage() for record in caplog.records if "cannot be moved" in record.getMessage()]
    assert len(told) == 1
    assert told[0].endswith("disk I/O error; definitions can be changed until it has 1000000 bytes")
    definitions.put(VhostDefinition("one more"))
    assert log_bytes(path) < SMALL.log_bytes
    assert "the log is moved into the database again" in caplog.text
    assert definitions.all(VhostDefinition) == [*stored[1], VhostDefinition("one more")]


def test_a_checkpoint_that_failed_is_tried_again_when_the_log_has_grown(path, open_definitions, caplog):
    definitions = open_definitions()
    large(definitions)
    definitions.sync()
    tried = []
    definitions._log._connection.set_trace_callback(tried.append)
    with files_limited(700_000):
        large(definitions, 20)
        for _ in range(3):
            definitions.put(VhostDefinition("/"))
            definitions.sync()
    assert len(tried) == 1
    fill(definitions, path, log_bytes(path) + SMALL.retry_log_bytes)
    definitions.sync()
    assert log_bytes(path) == 0
    assert "the log is moved into the database again" in caplog.text


def test_a_change_that_finds_no_space_empties_the_log(path, open_definitions):
    definitions = open_definitions()
    fill(definitions, path, 150_000)
    with files_limited(log_bytes(path)):
        assert refusal(definitions, QueueDefinition("/", "q", 0, False, b"")).code == 506
        definitions.put(VhostDefinition("/"))
        assert log_bytes(path) < 50_000
    assert definitions.all(VhostDefinition) == [VhostDefinition("/")]


def test_definitions_can_be_opened_on_a_full_disk(path, open_definitions, caplog):
    first = open_definitions()
    queues = large(first)
    first.sync()
    first.put(VhostDefinition("in the log"))
    left = path.with_name("left.sqlite")
    for suffix in ("", "-wal"):
        left.with_name(left.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    with files_limited(0), contextlib.closing(SqliteDefinitions(left, Files())) as definitions:
        assert definitions.all(QueueDefinition) == queues
        assert definitions.all(VhostDefinition) == [VhostDefinition("in the log")]
        with pytest.raises(AmqpError):
            definitions.put(VhostDefinition("one too many"))
        definitions.sync()
    assert "cannot be moved into the database" in caplog.text


class Refusing:
    """A connection whose checkpoints fail."""

    def __init__(self, code):
        self.code = code

    def execute(self, statement):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = self.code
        raise error

    def close(self):
        pass


def test_after_a_failed_checkpoint_sync_no_change_counts_as_durable(path, open_definitions):
    definitions = open_definitions()
    definitions.put(VhostDefinition("/"))
    with contextlib.closing(SqliteLog(path, Files(), Refusing(sqlite3.SQLITE_IOERR_FSYNC))) as log:
        for _ in range(2):
            with pytest.raises(OSError, match="disk I/O error") as raised:
                log.sync()
            assert not isinstance(raised.value, UnwrittenError)


def test_checkpoint_errors_other_than_a_failed_sync_are_only_logged(path, open_definitions, caplog):
    definitions = open_definitions()
    definitions.put(VhostDefinition("/"))
    for code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_CANTOPEN):
        with contextlib.closing(SqliteLog(path, Files(), Refusing(code))) as log:
            log.sync()
    assert caplog.text.count("cannot be moved") == 3


def test_too_many_open_files_do_not_stop_the_broker(path, open_definitions):
    class Short(Files):
        short = True

        def sync_directory(self, directory):
            if self.short:
                raise OSError(errno.EMFILE, "Too many open files")
            super().sync_directory(directory)

    files = Short()
    definitions = open_definitions(files)
    for _ in range(2):
        with pytest.raises(UnwrittenError, match="Too many open files"):
            definitions.sync()
    files.short = False
    definitions.sync()
