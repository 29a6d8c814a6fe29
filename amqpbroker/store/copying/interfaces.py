"""The interfaces of copying: a store that is read, and one that is written. No broker uses them meanwhile."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from amqpbroker.store.definitions.definitions import Definition, Definitions
from amqpbroker.store.files import Files

#: Directories of a part.
JOURNAL: Final = "journal"
STREAMS: Final = "streams"


class Part(NamedTuple):
    """The storage of some vhosts. No other part of its store has the same name.

    root: the directory of the journal and the streams. definitions: of the queues, exchanges, bindings and offsets.
    """

    name: str
    root: Path
    files: Files
    definitions: Definitions

    @property
    def journal(self) -> Path:
        return self.root / JOURNAL

    @property
    def streams(self) -> Path:
        return self.root / STREAMS

    def has_messages(self) -> bool:
        """Return whether there is a journal or a stream. Raises OSError."""
        return any(self.files.names(directory) for directory in (self.journal, self.streams))


class Source(NamedTuple):
    """A store that is read.

    name: for the operator. definitions: those that concern all vhosts. parts: of the vhosts. check(): raises StoreError
    if a broker may have used the store meanwhile.
    """

    name: str
    definitions: Definitions
    parts: Sequence[Part]
    check: Callable[[], None]


class Target(ABC):
    """A store that is written. name: for the operator."""

    name: str

    @abstractmethod
    def is_empty(self) -> bool:
        """Return whether nothing was ever stored there. Raises OSError, StoreError."""

    @abstractmethod
    def begin(self, vhosts: Sequence[str]) -> Mapping[str, Part]:
        """Return the part for each vhost, which may be the same one. Raises OSError, StoreError.

        Until `end`, brokers refuse the store, also if this process does not reach it.
        """

    @abstractmethod
    def end(self, definitions: Sequence[Definition]) -> None:
        """Add the definitions that concern all vhosts, and let brokers use the store, when all parts are written.

        Raises OSError, StoreError.
        """
