"""The store seam: what the domain needs of whatever keeps messages safe.

A position is opaque and grows: everything up to `synced` survives a crash. The domain appends while it handles a loop
turn's input and calls `sync` once at its end; a confirm waits until the position that was `appended` when it was due is
`synced`.
"""

from abc import ABCMeta, abstractmethod

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class Store(metaclass=ABCMeta):
    """Where messages are kept. `appended` and `synced` are read by confirms once a turn.

    stored, loaded: how many copies were written, and how many read back. waiting_octets: about what is in memory
    because its writing has not begun, or for an answer that waits until something is synced. Who adds more when that is
    too much has to wait until `synced` grows.
    """

    appended: int = 0
    synced: int = 0
    stored: int = 0
    loaded: int = 0
    waiting_octets: int = 0

    @abstractmethod
    def sync(self) -> None:
        """Make everything appended so far safe, now or soon; `synced` tells how far that has come."""


@mypyc_attr(allow_interpreted_subclasses=True)
class MemoryStore(Store):
    """Keeps nothing beyond the process: whatever is appended is as safe as it will ever be."""

    def sync(self) -> None:
        self.synced = self.appended
