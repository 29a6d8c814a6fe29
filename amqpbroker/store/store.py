"""The store seam: what the domain needs of whatever keeps messages safe.

A position is opaque and grows: everything up to `synced` survives a crash. The domain appends while it handles a loop
turn's input and calls `sync` once at its end; a confirm waits until the position that was `appended` when it was due is
`synced`.
"""

from abc import ABCMeta, abstractmethod
from typing import Protocol

from mypy_extensions import mypyc_attr

from amqpbroker.store.recovery import Copies


class Holder(Protocol):
    """A durable queue, or a durable exchange that holds messages back.

    id: its name in the journal, 0 for one that stores nothing.
    """

    id: int

    def recover(self, copies: Copies) -> None:
        """Take in its stored copies, before anything else happens to it."""

    def recovered(self) -> None:
        """All holders have their copies: whatever is overdue may leave."""

    def discard(self) -> None:
        """Drop all copies from memory, without changing the store, after the broker has ended."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Store(metaclass=ABCMeta):
    """Storage of messages. Publisher confirms read `appended` and `synced` once in an event loop iteration.

    stored, loaded: number of copies written, and of copies read back.
    """

    appended: int = 0
    synced: int = 0
    stored: int = 0
    loaded: int = 0

    @property
    @abstractmethod
    def waiting_bytes(self) -> int:
        """Memory of operations before their write begins and of answers before their sync, in bytes (estimated).

        While it is above 0, `synced` is going to grow. If it is large, clients that add to it have to wait.
        """

    @abstractmethod
    def count_answer(self, size: int) -> None:
        """Count an answer of `size` bytes that is held back until everything appended so far is synced."""

    @abstractmethod
    def sync(self) -> None:
        """Make everything appended so far safe, now or soon; `synced` tells how far that has come."""


@mypyc_attr(allow_interpreted_subclasses=True)
class MemoryStore(Store):
    """Keeps nothing beyond the process: whatever is appended is as safe as it will ever be."""

    @property
    def waiting_bytes(self) -> int:
        return 0

    def count_answer(self, size: int) -> None:
        pass

    def sync(self) -> None:
        self.synced = self.appended
