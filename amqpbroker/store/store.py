"""The store seam: what the domain tells whatever keeps messages safe, and what it asks.

A position is opaque and grows: everything up to `synced` survives a crash. The domain appends while it handles a loop
turn's input and calls `sync` once at its end; a confirm waits until the position that was `appended` when it was due is
`synced`.
"""

from abc import ABCMeta, abstractmethod
from array import array
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from mypy_extensions import mypyc_attr

from amqpbroker.message.message import Copy, Message
from amqpbroker.store.recovered import Copies, Recovered


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


class Reading(metaclass=ABCMeta):
    """One pass of reading stored messages. deadline_ms: of the copy that was read last."""

    deadline_ms: int = 0

    @abstractmethod
    def message(self, position: int) -> Message:
        """The message of the copy there. Raises OSError, DamagedError."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Store(metaclass=ABCMeta):
    """Storage of copies of messages. A queue or an exchange that is not durable has one that keeps nothing.

    keeps: a copy that is enqueued has a position other than 0 until it is settled, and outlives the process. Else no
    copy ever has one. appended, synced: read once in an event loop iteration, for publisher confirms. waiting_bytes:
    memory of operations before their write begins and of answers before their sync, in bytes (estimated); while it is
    above 0, `synced` is going to grow, and if it is large, clients that add to it have to wait. stored, loaded: number
    of copies written, and of copies read back. Only the store itself writes any of these.
    """

    keeps: bool = False
    appended: int = 0
    synced: int = 0
    waiting_bytes: int = 0
    stored: int = 0
    loaded: int = 0

    # --- copies -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def enqueue(self, copy: Copy) -> None:
        """A copy is to be stored. Copies of one message that are enqueued one after the other are one group."""

    @abstractmethod
    def settle(self, copy: Copy) -> None:
        """A copy lives no more. One that was not written yet never will be."""

    @abstractmethod
    def settle_positions(self, positions: "array[int]") -> None:
        """`settle` for many copies that are not in memory."""

    @abstractmethod
    def returned(self, copy: Copy) -> None:
        """A stored copy was delivered or came back: from then on it is redelivered, `delivery_count` times.

        A copy whose position is still below 0 need not be said to have been delivered for the first time: it is written
        with that, as its `delivered_ms` says.
        """

    @abstractmethod
    def begin(self) -> None:
        """What follows, up to the matching `end`, takes effect as a whole or not at all."""

    @abstractmethod
    def end(self) -> None:
        """End what `begin` began."""

    # --- safety -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def sync(self) -> None:
        """Make everything appended so far safe, now or soon; `synced` tells how far that has come."""

    @abstractmethod
    def watch(self, on_synced: Callable[[], None]) -> None:
        """Have `on_synced` called whenever what was written has become safe. There is one who watches."""

    @abstractmethod
    def is_safe(self, copy: Copy) -> bool:
        """Whether the copy can be read back, whatever happens."""

    @abstractmethod
    def when_safe(self, try_again: Callable[[], bool]) -> None:
        """Have `try_again` called each time that more has become safe, until it returns True."""

    @abstractmethod
    def count_answer(self, size: int) -> None:
        """Count an answer of `size` bytes that is held back until everything appended so far is synced."""

    # --- reading back -----------------------------------------------------------------------------------------------

    @abstractmethod
    def load(self, positions: Sequence[int]) -> Reading:
        """Begin a pass over these copies, if any. In their order each part of the disk is read once."""

    @abstractmethod
    def expect(self, positions: Sequence[int]) -> None:
        """The messages of these copies will be read soon, in this order."""

    @abstractmethod
    def delivery_count(self, position: int) -> int:
        """How often the copy there is known to have been delivered; -1 if it never was."""

    @abstractmethod
    def count_loaded(self, count: int) -> None:
        """Count copies that were read back into a queue."""

    # --- the beginning and the end ----------------------------------------------------------------------------------

    @abstractmethod
    def drive(self, on_gathered: Callable[[], None]) -> None:
        """Call `on_gathered` when there is something to write after there was nothing; `sync` is to follow."""

    @abstractmethod
    def restore(self, found: Recovered, holders: Mapping[int, Holder], lost: Collection[int] = ()) -> int:
        """Give recovered copies back to their holders, which are there already, by their ids; returns how many.

        Copies of holders that are gone are dropped; those of holders in `lost`, which are but could not be restored,
        are kept. Raises StoreError.
        """

    @abstractmethod
    def definitions_changed(self) -> None:
        """Definitions are to be synced, with the next batch or soon without one."""

    @abstractmethod
    def watch_disk(self, on_stuck: Callable[[OSError | None], None]) -> None:
        """Call `on_stuck` with an error when the disk takes nothing for now, and with None when it does again.

        There is one who watches.
        """

    @abstractmethod
    def close(self) -> None:
        """Write what is not written yet, and end.

        Raises StoreError if that failed; the log says how much was lost. Nothing of it was confirmed.
        """


class _NoReading(Reading):
    def message(self, position: int) -> Message:
        raise LookupError(f"no message is stored at position {position}: this store keeps none")


@mypyc_attr(allow_interpreted_subclasses=True)
class MemoryStore(Store):
    """Keeps nothing beyond the process: whatever is appended is as safe as it will ever be."""

    def enqueue(self, copy: Copy) -> None:
        pass

    def settle(self, copy: Copy) -> None:
        pass

    def settle_positions(self, positions: "array[int]") -> None:
        pass

    def returned(self, copy: Copy) -> None:
        pass

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass

    def sync(self) -> None:
        self.synced = self.appended

    def watch(self, on_synced: Callable[[], None]) -> None:
        pass

    def is_safe(self, copy: Copy) -> bool:
        return False

    def when_safe(self, try_again: Callable[[], bool]) -> None:
        pass

    def count_answer(self, size: int) -> None:
        pass

    def load(self, positions: Sequence[int]) -> Reading:
        return _NoReading()

    def expect(self, positions: Sequence[int]) -> None:
        pass

    def delivery_count(self, position: int) -> int:
        return -1

    def count_loaded(self, count: int) -> None:
        pass

    def drive(self, on_gathered: Callable[[], None]) -> None:
        pass

    def restore(self, found: Recovered, holders: Mapping[int, Holder], lost: Collection[int] = ()) -> int:
        return 0

    def definitions_changed(self) -> None:
        pass

    def watch_disk(self, on_stuck: Callable[[OSError | None], None]) -> None:
        pass

    def close(self) -> None:
        pass


#: The store of queues and exchanges that are not durable.
UNSTORED: Final = MemoryStore()
