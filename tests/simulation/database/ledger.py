"""Expected contents of one log: the batches that its leaders have written, and what later leaders find."""

from typing import NamedTuple


class BrokenError(Exception):
    """A promise that was broken; the text says which, and when."""


class Contents(NamedTuple):
    """The contents of a vhost.

    live: messages of its queue, in order. queues: names of its other queues. streamed: number of messages that its
    stream has ever had. last_id: the greatest id that a queue has.
    """

    live: list[int]
    queues: frozenset[str] = frozenset()
    streamed: int = 0
    last_id: int = 0


class Attempt(NamedTuple):
    """A batch: the number of its message, and the numbers of those that it settles.

    queue: name of a queue that is stored before the batch, "" for none, and last_id, its id. streamed: the message is
    also appended to the stream, before the batch.
    """

    sequence: int
    settled: tuple[int, ...] = ()
    queue: str = ""
    streamed: bool = False
    last_id: int = 0

    def applied(self, live: list[int]) -> list[int]:
        """Return the live messages after this batch."""
        return [number for number in live if number not in self.settled] + [self.sequence]


class Ledger:
    """Batches of one log.

    epoch: of the newest leader that has recovered. contents: what it has, without batches that are not acknowledged.
    acknowledged: number of batches that were acknowledged.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.contents = Contents([])
        self.acknowledged = 0
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
        self.acknowledged += 1
        if found is None:
            first = self._pending.pop(0)
            if first.sequence != sequence:
                raise BrokenError(f"batch {sequence} was acknowledged before batch {first.sequence}")
            live, queues, streamed, last_id = self.contents
            self.contents = Contents(
                first.applied(live),
                queues | {first.queue} if first.queue else queues,
                streamed + first.streamed,
                max(last_id, first.last_id),
            )

    def recover(self, epoch: int, found: Contents) -> None:
        """Record what a new leader has found."""
        if epoch <= self.epoch:
            raise BrokenError(f"epoch {epoch} follows epoch {self.epoch}")
        expected, pending = self.contents, self._pending
        live, count = expected.live, 0
        while found.live != live:
            if count == len(pending):
                raise BrokenError(
                    f"the leader of epoch {epoch} finds {found.live} instead of {expected.live}, with the batches"
                    f" {pending} under way"
                )
            live = pending[count].applied(live)
            count += 1
        least = {attempt.queue for attempt in pending[:count] if attempt.queue} | expected.queues
        most = {attempt.queue for attempt in pending if attempt.queue} | expected.queues
        if not least <= found.queues <= most:
            raise BrokenError(
                f"the leader of epoch {epoch} lacks the queues {sorted(least - found.queues)}, and finds"
                f" {sorted(found.queues - most)}, which nobody has declared"
            )
        fewest = expected.streamed + sum(attempt.streamed for attempt in pending[:count])
        greatest = expected.streamed + sum(attempt.streamed for attempt in pending)
        if not fewest <= found.streamed <= greatest:
            raise BrokenError(
                f"the leader of epoch {epoch} finds {found.streamed} messages in the stream, which has {fewest} to"
                f" {greatest}"
            )
        if found.last_id < expected.last_id:
            raise BrokenError(
                f"the leader of epoch {epoch} finds {found.last_id} as the last id, which is {expected.last_id}"
            )
        for at, attempt in enumerate(pending):
            self._found[attempt.sequence] = at < count
        self.epoch, self.contents, self._pending = epoch, found, []
