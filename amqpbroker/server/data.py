"""Where a running broker keeps what outlives it."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from amqpbroker.config import Config
from amqpbroker.store.definitions import Definitions, MemoryDefinitions
from amqpbroker.store.journal import StoreError as StoreError  # cli looks no further down than here

log = logging.getLogger(__name__)


@contextmanager
def opened(config: Config) -> Iterator[Definitions]:
    """What is kept of definitions; within the context the data directory belongs to this process.

    Raises StoreError if the directory cannot be used.
    """
    if config.in_memory:
        yield MemoryDefinitions()
        return

    # A broker in memory has no use for these, and is ready sooner without.
    from amqpbroker.store.files import Files
    from amqpbroker.store.ownership import Ownership
    from amqpbroker.store.sqlite_definitions import SqliteDefinitions

    files = Files()
    with (
        closing(Ownership(_directory(config), files)) as owned,
        closing(SqliteDefinitions(owned.directory / "definitions.sqlite", files)) as definitions,
    ):
        log.warning(
            "messages are kept in memory and lost when the broker ends; vhosts, users, exchanges, queues and bindings"
            " are kept in %s",
            owned.directory,
        )
        yield definitions


def _directory(config: Config) -> Path:
    if config.data_dir:
        return Path(config.data_dir).absolute()
    import platformdirs

    return platformdirs.user_data_path("amqpbroker", appauthor=False)
