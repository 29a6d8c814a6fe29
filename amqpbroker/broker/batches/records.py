"""The stored records of all batches of a broker."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, final

from amqpbroker.broker.batches.batch import recovered_batch
from amqpbroker.broker.batches.member import Member, recovered_member
from amqpbroker.store.keys import BATCH, owner_of
from amqpbroker.store.message_id_record import MessageIdRecord

if TYPE_CHECKING:
    from amqpbroker.broker.batches.batches import Batches


@final
class BatchRecords:
    """Numbers the records of batches and of their members, and returns recovered ones to the vhosts; an `IdKeeper`.

    A batch is identified by the number of its record, which its members name.
    """

    def __init__(self, batches: "Mapping[str, Batches]") -> None:
        """batches: those of each vhost; a vhost without an entry keeps its records and does not use them."""
        self._batches = batches
        self._last: int = 0

    def next_number(self) -> int:
        """Return a new number, which no stored record has."""
        self._last += 1
        return self._last

    def start_after(self, other: "BatchRecords") -> None:
        """Continue the numbers of a broker that has ended."""
        self._last = other._last

    def recover_ids(self, ids: list[MessageIdRecord]) -> list[MessageIdRecord]:
        """See `IdKeeper`."""
        heads: list[MessageIdRecord] = []
        members: dict[int, list[Member]] = {}
        unneeded: list[MessageIdRecord] = []
        for taken in ids:
            self._last = max(self._last, taken.sequence)
            if taken.key.startswith(BATCH):
                heads.append(taken)
            else:
                members.setdefault(owner_of(taken.key), []).append(recovered_member(taken))
        for head in heads:
            batch = recovered_batch(head)
            own = members.pop(batch.number, [])
            batches = self._batches.get(batch.vhost)
            if batches is None:
                unneeded += [head, *own]
            else:
                batches.recover(batch, own)
        for strays in members.values():
            unneeded += strays
        return unneeded

    def stored_count(self) -> int:
        """See `IdKeeper`."""
        return sum([batches.stored_count() for batches in self._batches.values()])
