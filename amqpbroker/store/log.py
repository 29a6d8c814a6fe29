"""The log seam: where batches go, and are read back from. Bytes and positions only."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

from amqpbroker.store.living import LivingBySegment
from amqpbroker.store.record import OFFSET_BITS
from amqpbroker.store.recovered import Recovered


class StoreError(Exception):
    """The store cannot go on, or must not start; the text is for the operator."""


class UnwrittenError(OSError):
    """A batch was not taken, and the log is as it was before: the batch may be tried again."""


class FencedError(OSError):
    """A batch was not taken, since another writer has opened the log: this one may write nothing any more."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one write makes durable.

    position, stop: where it goes, and where it ends. parts: its bytes, which are not joined.
    """

    number: int
    position: int
    stop: int
    parts: list[bytes]


class Span(NamedTuple):
    """From one position on, and before another."""

    start: int
    stop: int


class Log(ABC):
    """Batches one behind the other, in numbered segments: what is oldest is forgotten a whole segment at a time.

    Everything is called on the event loop's thread but `write`, which is called on one other, a batch at a time, and
    `remove_freed`, which may be called on a third. `free` is called only between two batches.

    A log has one writer. Opening one that has a writer is refused (files: by the lock of the data directory), or shuts
    that writer out: its next `write` raises FencedError, and nothing of it is ever found. A log that is opened is
    recovered before anything else: then it has all that was durable, at the same positions, and goes on behind that.

    name: for the operator. living: the entries that live; who appends and settles tells it. segment_bytes: size from
    which another segment is begun. oldest, newest: numbers of segments; 0 if there is none. durable: everything before
    that position survives whatever the log promises to survive; grows with each `write`.
    """

    name: str
    living: LivingBySegment
    segment_bytes: int
    oldest: int
    newest: int
    durable: int

    # --- the beginning ----------------------------------------------------------------------------------------------

    @abstractmethod
    def recover(self) -> Recovered:
        """Read everything that is durable, once, and return what lives in it; of a new log nothing.

        What was being written when the log ended is there as a whole or dropped. Raises StoreError for damage, OSError.
        """

    # --- append -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def next_position(self) -> int:
        """The position of the first byte of the next batch's groups."""

    @abstractmethod
    def batch(self, groups: list[bytes]) -> Batch:
        """Append these groups as the next batch, at `next_position`, which has been asked for since the one before.

        It is to be given to `write`, after all batches before it.
        """

    @abstractmethod
    def write(self, batch: Batch) -> None:
        """Make a batch durable.

        Raises UnwrittenError, after which the same batch is to be tried again and no other, and OSError, of which
        FencedError is one, after which nothing may be written any more. Then the batch is there as a whole or not at
        all.
        """

    # --- read -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def read(self, position: int, size: int) -> bytes:
        """Up to `size` bytes from there on, of what is durable, and of one segment. Raises OSError."""

    @abstractmethod
    def expect(self, position: int, size: int) -> None:
        """So many bytes from there on will be read soon."""

    @abstractmethod
    def groups(self, position: int) -> Span:
        """Where the groups of the batch at that position are. Raises OSError, DamagedError."""

    # --- segments ---------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes of all segments."""

    @abstractmethod
    def batches_in(self, segment: int) -> Span:
        """Where the batches of a segment are, those included that are not written yet."""

    @abstractmethod
    def forget_up_to(self, position: int) -> None:
        """Forget the segments before that position, oldest first; those that are not written stay."""

    def free(self) -> bool:
        """Forget the oldest segments as long as nothing in them lives, never the newest; returns whether any was."""
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
        """Give back the space of what was forgotten. It takes too long to be done by `forget_up_to`."""

    # --- the end ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def close(self) -> None:
        """End, whether or not everything is written."""
