"""Where a running broker keeps what outlives it."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from amqpbroker.config import Config
from amqpbroker.store.definitions.definitions import Definitions, MemoryDefinitions
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.log import StoreError as StoreError  # cli looks no further down than here
from amqpbroker.store.recovered import Recovered
from amqpbroker.store.spill import NO_SPILL, Spill, SpillFiles

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Data:
    """What is kept: definitions, the journal of messages with what was found in it (None if kept in memory).

    spill: where messages go to make room in memory. directory: where all that is, None for nowhere.
    """

    definitions: Definitions
    journal: Journal | None = None
    found: Recovered | None = None
    spill: Spill = NO_SPILL
    directory: Path | None = None


@contextmanager
def opened(config: Config) -> Iterator[Data]:
    """What the broker starts from; within the context the data directory belongs to this process.

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
        closing(Ownership(_directory(config), files)) as owned,
        closing(SqliteDefinitions(owned.directory / "definitions.sqlite", files, config.bounds)) as definitions,
    ):
        directory = owned.directory / "journal"
        try:
            files.make_directory(directory)
            journal = Journal(directory, files, config.bounds.segment_bytes, synced=config.durability == "fsync")
            found = journal.recover()
            spill = SpillFiles(owned.directory / "spill", files, config.bounds.spill_bytes)
        except OSError as error:
            raise StoreError(f"{directory}: {error.strerror}") from error
        log.info("data directory %s", owned.directory)
        with closing(spill):
            yield Data(definitions, journal, found, spill, owned.directory)


def _directory(config: Config) -> Path:
    return Path(config.data_dir).absolute() if config.data_dir else default_directory()


def default_directory() -> Path:
    """The user's own, where no directory is named."""
    import platformdirs

    return platformdirs.user_data_path("amqpbroker", appauthor=False)
