"""Storage of a running broker: its data directory, or memory."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from amqpbroker.broker.node import Database
from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.server.directories import default_directory
from amqpbroker.store.committer import Committer
from amqpbroker.store.definitions.definitions import Definitions, MemoryDefinitions
from amqpbroker.store.log import Log
from amqpbroker.store.log import StoreError as StoreError  # cli looks no further down than here
from amqpbroker.store.recovered import Recovered
from amqpbroker.store.spill import NO_SPILL, Spill, SpillFiles
from amqpbroker.store.store import MemoryStore, Store

if TYPE_CHECKING:
    from amqpbroker.server.shared_vhosts import Share
    from amqpbroker.store.files import Files
    from amqpbroker.store.journal.journal import Journal

log = logging.getLogger(__name__)

#: Makes what writes to a log, and calls the function given before each batch.
MakeCommitter = Callable[[Log, Callable[[], None]], Committer]
OnFailure = Callable[[Exception], None]


def in_memory(committer: MakeCommitter, clock: Clock, on_failure: OnFailure) -> Store:
    """Return a store that needs none of these."""
    return MemoryStore()


@dataclass(frozen=True, slots=True)
class Data:
    """Storage of a broker: in memory, unless it says otherwise.

    `store(committer, clock, on_failure)`, called once, returns what keeps messages; on_failure(error) is called when
    nothing can be written any more. found: what is to be restored of them. spill: where messages go to make room in
    memory. directory: where all that is, None for nowhere. watched: where the disk must not fill up. database: what has
    all but the spill, None without one. share: begins to serve the vhosts, of which this broker has only some; None if
    it has all.
    """

    definitions: Definitions
    store: Callable[[MakeCommitter, Clock, OnFailure], Store] = in_memory
    found: Recovered = field(default_factory=Recovered)
    spill: Spill = NO_SPILL
    directory: Path | None = None
    watched: tuple[Path, ...] = ()
    database: Database | None = None
    share: "Share | None" = None


def go_on(journal: "Journal", found: Recovered) -> None:
    """Continue a recovered journal. Raises OSError.

    Any of its messages may have been delivered if it was not closed in order: the last deliveries have no record.
    """
    if found.closed_in_order:
        journal.remove_end()
    else:
        found.doubt(journal.durable)


@contextmanager
def opened(config: Config) -> Iterator[Data]:
    """Open the stored state that the broker starts from; the context locks the data directory for this process.

    Raises StoreError if the directory cannot be used, or is damaged.
    """
    if config.in_memory:
        yield Data(MemoryDefinitions())
        return

    # A broker in memory has no use for these, and is ready sooner without.
    from amqpbroker.store.definitions.sqlite_definitions import SqliteDefinitions
    from amqpbroker.store.directory.ownership import Ownership
    from amqpbroker.store.files import Files

    files = Files()
    with (
        closing(Ownership(local_directory(config), files)) as owned,
        closing(SqliteDefinitions(owned.directory / "definitions.sqlite", files, config.bounds)) as definitions,
    ):
        storage, spill = on_disk(config, owned.directory, files, definitions)
        log.info("data directory %s", owned.directory)
        with closing(spill):
            yield storage


def on_disk(config: Config, directory: Path, files: "Files", definitions: Definitions) -> tuple[Data, SpillFiles]:
    """Recover the messages in a data directory. Returns the storage, and its spill, which the caller closes.

    Raises StoreError if the directory cannot be used, or is damaged.
    """
    from amqpbroker.store.journal.journal import Journal
    from amqpbroker.store.persistence import Persistence
    from amqpbroker.store.streams.streams import Streams

    messages, streams = directory / "journal", directory / "streams"
    synced = config.durability == "fsync"
    try:
        files.make_directory(messages)
        files.make_directory(streams)
        logs = Streams(streams, files, config.bounds.stream_cache_bytes, synced)
        journal = Journal(messages, files, config.bounds.segment_bytes, synced)
        found = journal.recover()
        go_on(journal, found)
        spill = SpillFiles(directory / "spill", files, config.bounds.spill_bytes)
    except OSError as error:
        raise StoreError(f"{messages}: {error.strerror}") from error

    def store(committer: MakeCommitter, clock: Clock, on_failure: OnFailure) -> Store:
        def before_batch() -> None:
            definitions.sync()
            logs.write()

        made, waits = committer(journal, before_batch), config.durability != "none"
        return Persistence(journal, made, on_failure, clock, waits, config.bounds, logs)

    return Data(definitions, store, found, spill, directory, (messages, streams)), spill


def local_directory(config: Config) -> Path:
    """The data directory of a broker on this machine."""
    return Path(config.data_dir).absolute() if config.data_dir else default_directory()
