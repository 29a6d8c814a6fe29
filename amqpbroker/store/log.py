"""The log seam: batches are appended to it, and read back. Bytes and positions only."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, NamedTuple

from amqpbroker.store.live_entries import LiveEntriesBySegment
from amqpbroker.store.record import OFFSET_BITS
from amqpbroker.store.recovered import Recovered

#: Text for a user who lacks the library of the database; its parameter is the error.
NEEDS_PSYCOPG: Final = "a store in a database needs psycopg ({}); install it with `pip install amqpbroker[postgresql]`"


class StoreError(Exception):
    """The store cannot continue, or must not start; the text is for the operator."""


class LogError(OSError):
    """An error of a log. Without a file, its text is for the operator, so its number is not shown."""

    def __str__(self) -> str:
        return super().__str__() if self.filename is not None or not self.strerror else self.strerror


class UnwrittenError(LogError):
    """A batch was not written, and the log is unchanged: the batch may be retried."""


class FencedError(LogError):
    """A batch was not written, since another writer has opened the log: this one may write nothing any more."""


class LostError(LogError):
    """A batch was not written, since the log lacks earlier ones that were durable: nothing may be written any more."""


class RefusedError(LogError):
    """The database has refused a call, and would refuse it again."""


class Batch(NamedTuple):
    """The unit that one write makes durable.

    position, stop: its start and end. parts: its bytes, not joined.
    """

    number: int
    position: int
    stop: int
    parts: list[bytes]


class Span(NamedTuple):
    """The positions from `start` on and before `stop`."""

    start: int
    stop: int


class Log(ABC):
    """Consecutive batches in numbered segments. Old data is removed a whole segment at a time.

    All methods are called on the event loop's thread, except for `begin` and `write`, which are called on another one,
    a batch at a time, and `remove_freed`, which may be called on a third. `free` is called only between two batches.

    A log has one writer. Opening a log that has a writer is refused (files: by the lock of the data directory), or
    fences that writer off: its next `write` raises FencedError, and none of that write is ever found. A log must be
    recovered before any other call: then it has all data that was durable, at the same positions, and continues after
    it.

    name: for the operator. living: the live entries, updated by the callers that append and settle. segment_bytes: size
    from which another segment is begun. oldest, newest: numbers of segments; 0 if there is none. durable: everything
    before that position survives the failures that the log protects against; grows with each `write`. concurrency:
    number of batches that may be written at the same time.
    """

    name: str
    living: LiveEntriesBySegment
    segment_bytes: int
    oldest: int
    newest: int
    durable: int
    concurrency: int

    # --- recovery
    # -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def recover(self) -> Recovered:
        """Read all durable data, once, and return its live entries; none for a new log.

        A batch that was being written when the log ended is there as a whole or dropped. Raises StoreError for damage,
        OSError.
        """

    # --- append -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def next_position(self) -> int:
        """Return the position of the first byte of the next batch's groups."""

    @abstractmethod
    def batch(self, groups: list[bytes]) -> Batch:
        """Append these groups as the next batch, at `next_position`, which must have been called since the last batch.

        The batch must be passed to `write`, after all batches before it.
        """

    @property
    @abstractmethod
    def is_next_alone(self) -> bool:
        """Return whether no other may be written at the same time as the next batch: the first of a segment is one."""

    def write(self, batch: Batch) -> None:
        """Make a batch durable.

        Raises UnwrittenError, after which the same batch and no other must be retried, and OSError (such as
        FencedError), after which nothing may be written any more. The batch is then there as a whole or not at all.
        """
        self.begin(batch)()

    @abstractmethod
    def begin(self, batch: Batch) -> Callable[[], None]:
        """Begin to write a batch, after the batches before it; return what makes it durable, on any thread.

        Up to `concurrency` batches may be under way. A batch is recovered only together with all before it. Both raise
        errors as `write` does; after an UnwrittenError, all batches from that one on must be written again, in order,
        once none of them is under way any more.
        """

    # --- read -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def read(self, position: int, size: int) -> bytes:
        """Return up to `size` durable bytes of one segment, from `position` on. Raises OSError."""

    @abstractmethod
    def expect(self, position: int, size: int) -> None:
        """Announce that `size` bytes from `position` on will be read soon."""

    @abstractmethod
    def groups(self, position: int) -> Span:
        """Return the span of the groups in the batch at `position`. Raises OSError, DamagedError."""

    # --- segments ---------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def size(self) -> int:
        """Size of all segments in bytes."""

    @abstractmethod
    def batches_in(self, segment: int) -> Span:
        """Return the span of the batches in a segment, including those that are not written yet."""

    @abstractmethod
    def forget_up_to(self, position: int) -> None:
        """Remove the segments before `position`, oldest first; segments that are not written yet remain."""

    @property
    def has_free(self) -> bool:
        """Return whether the oldest segment has no live entries, and is not the newest."""
        return self.oldest != self.newest and not self.living.of(self.oldest).count

    def free(self) -> bool:
        """Remove the oldest segments without live entries, but never the newest; return whether any was removed."""
        first = self.oldest
        last = self.newest
        if first == last or self.living.of(first).count:
            return False
        number = first + 1
        while number < last and not self.living.of(number).count:
            number += 1
        self.forget_up_to(number << OFFSET_BITS)
        for forgotten in range(first, self.oldest):
            self.living.remove(forgotten)
        return self.oldest > first

    @abstractmethod
    def remove_freed(self) -> None:
        """Free the disk space of removed segments, which would take too long in `forget_up_to`."""

    # --- end
    # ------------------------------------------------------------------------------------------------------------

    def end(self, doubted: int) -> None:  # noqa: B027
        """Note in the log that it is closed in order, if that matters at the next recovery. Raises OSError.

        doubted: copies at lower positions may have been delivered without a record.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the log, even if not everything is written."""
