"""A data directory as the source or the target of a copy, with one part for all vhosts."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from amqpbroker.store.copying.interfaces import Part, Source, Target
from amqpbroker.store.definitions.definitions import KEYS, Definition
from amqpbroker.store.definitions.sqlite_definitions import SqliteDefinitions
from amqpbroker.store.directory.names import DATABASE
from amqpbroker.store.directory.ownership import Ownership
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError


@contextmanager
def directory_source(directory: Path) -> Iterator[Source]:
    """Open a data directory for reading, without a broker. Raises StoreError, OSError."""
    if not (directory / "version").exists():
        raise StoreError(f"{directory} is not a data directory of amqpbroker")
    with _opened(directory) as (_, part):
        yield Source(part.name, part.definitions, [part], _no_check)


@contextmanager
def directory_target(directory: Path) -> Iterator[Target]:
    """Open a data directory, which may not exist yet, for writing, without a broker. Raises StoreError, OSError."""
    with _opened(directory) as (owned, part):
        yield DirectoryTarget(owned, part)


class DirectoryTarget(Target):
    """A data directory without data. It has no version until everything is written."""

    def __init__(self, owned: Ownership, part: Part) -> None:
        self.name = part.name
        self._owned = owned
        self._part = part

    def is_empty(self) -> bool:
        return not (any(self._part.definitions.all(kind) for kind in KEYS) or self._part.has_messages())

    def begin(self, vhosts: Sequence[str]) -> dict[str, Part]:
        self._owned.make_incomplete()
        return dict.fromkeys(vhosts, self._part)

    def end(self, definitions: Sequence[Definition]) -> None:
        self._part.definitions.put(*definitions)
        self._part.definitions.sync()
        self._owned.make_complete()


@contextmanager
def _opened(directory: Path) -> Iterator[tuple[Ownership, Part]]:
    files = Files()
    with (
        closing(Ownership(directory.absolute(), files)) as owned,
        closing(SqliteDefinitions(owned.directory / DATABASE, files)) as definitions,
    ):
        yield owned, Part(str(directory), owned.directory, files, definitions)


def _no_check() -> None:
    """Accept the source: the lock of the directory keeps brokers out until the end of the copy."""
