"""The stored records of all jobs of a broker."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, final

from amqpbroker.broker.jobs.job import piece_of
from amqpbroker.store.keys import JOB, vhost_of
from amqpbroker.store.message_id_record import MessageIdRecord

if TYPE_CHECKING:
    from amqpbroker.broker.jobs.jobs import Jobs


@final
class JobRecords:
    """Numbers the records of jobs and of their replies, and returns recovered ones to the vhosts; an `IdKeeper`."""

    def __init__(self, jobs: "Mapping[str, Jobs]") -> None:
        """jobs: those of each vhost; a vhost without an entry keeps its records and does not use them."""
        self._jobs = jobs
        self._last: int = 0

    def next_number(self) -> int:
        """Return a new number, which no stored record has."""
        self._last += 1
        return self._last

    def start_after(self, other: "JobRecords") -> None:
        """Continue the numbers of a broker that has ended."""
        self._last = other._last

    def recover_ids(self, ids: list[MessageIdRecord]) -> list[MessageIdRecord]:
        """See `IdKeeper`."""
        heads: list[MessageIdRecord] = []
        replies: dict[int, list[MessageIdRecord]] = {}
        unneeded: list[MessageIdRecord] = []
        for taken in ids:
            self._last = max(self._last, taken.sequence)
            if taken.key.startswith(JOB):
                heads.append(taken)
            else:
                replies.setdefault(piece_of(taken)[0], []).append(taken)
        for head in heads:
            own = sorted(replies.pop(head.sequence, []), key=piece_of)
            jobs = self._jobs.get(vhost_of(head.key))
            if jobs is None:
                unneeded += [head, *own]
            else:
                jobs.recover(head, own)
        for strays in replies.values():
            unneeded += strays
        return unneeded

    def stored_count(self) -> int:
        """See `IdKeeper`."""
        return sum([jobs.stored_count() for jobs in self._jobs.values()])
