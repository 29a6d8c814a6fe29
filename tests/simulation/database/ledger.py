"""Expected contents of the database: the batches that leaders have written, and what later leaders find."""

from typing import NamedTuple


class BrokenError(Exception):
    """A promise that was broken; the text says which, and when."""


class Attempt(NamedTuple):
    """A batch: the number of its message, and the numbers of those that it settles."""

    sequence: int
    settled: tuple[int, ...]

    def applied(self, live: list[int]) -> list[int]:
        """Return the live messages after this batch."""
        return [number for number in live if number not in self.settled] + [self.sequence]


class Ledger:
    """Batches of one world.

    epoch: of the newest leader that has recovered. live: the messages that it has, in order.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.live: list[int] = []
        #: Batches of the newest leader that are not acknowledged yet, in order.
        self._pending: list[Attempt] = []
        #: Batches whose leader was replaced: message -> whether the next leader has found it.
        self._found: dict[int, bool] = {}

    def attempt(self, epoch: int, attempt: Attempt) -> None:
        """Record that a leader begins to write a batch."""
        if epoch == self.epoch:
            self._pending.append(attempt)
        else:
            self._found[attempt.sequence] = False

    def acknowledge(self, epoch: int, sequence: int) -> None:
        """Record that the write of a batch has succeeded."""
        found = self._found.get(sequence)
        if found is False:
            raise BrokenError(
                f"batch {sequence} of epoch {epoch} was acknowledged, but the leader of epoch {self.epoch} has not"
                " found it"
            )
        if found is None:
            first = self._pending.pop(0)
            if first.sequence != sequence:
                raise BrokenError(f"batch {sequence} was acknowledged before batch {first.sequence}")
            self.live = first.applied(self.live)

    def recover(self, epoch: int, found: list[int]) -> None:
        """Record what a new leader has found."""
        if epoch <= self.epoch:
            raise BrokenError(f"epoch {epoch} follows epoch {self.epoch}")
        live, count = self.live, 0
        while found != live:
            if count == len(self._pending):
                raise BrokenError(
                    f"the leader of epoch {epoch} finds {found} instead of {self.live}, with the batches"
                    f" {self._pending} under way"
                )
            live = self._pending[count].applied(live)
            count += 1
        for at, attempt in enumerate(self._pending):
            self._found[attempt.sequence] = at < count
        self.epoch, self.live, self._pending = epoch, found, []
