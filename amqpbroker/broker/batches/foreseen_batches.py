"""The batches of a vhost as a transaction is going to change them."""

from typing import final

from amqpbroker import errors
from amqpbroker.broker.batches.batch import Batch
from amqpbroker.broker.batches.member import member_name
from amqpbroker.broker.batches.request import COMPLETE, Request
from amqpbroker.broker.batches.terms import Terms
from amqpbroker.broker.tracking.shares import ForeseenShares, Shares


@final
class ForeseenBatches:
    """The batches as they will be after the messages of a transaction so far, before any of them is published."""

    def __init__(self, vhost: str, batches: dict[bytes, Batch], shares: Shares, user: str, most_members: int) -> None:
        """batches: by id. user: publishes the messages. most_members: number in `Bounds`."""
        self._vhost: str = vhost
        self._batches: dict[bytes, Batch] = batches
        self._shares: ForeseenShares = ForeseenShares(shares, user)
        self._most_members: int = most_members
        self._complete: dict[Batch, None] = {}
        self._foreseen: dict[bytes, _Foreseen] = {}

    def terms(self) -> list[Terms]:
        """Return the terms of all batches to which messages were added."""
        return [*[batch.terms for batch in self._complete], *[each.terms for each in self._foreseen.values()]]

    def add(self, request: Request, key: bytes | None) -> None:
        """Add a message. key: of the member, None if the message is not counted.

        Raises AmqpError 406 if it contradicts its batch or exceeds a limit.
        """
        foreseen = self._foreseen.get(request.id)
        if foreseen is None:
            batch = self._batches.get(request.id)
            if batch is None or request.id in self._shares.removed:
                if not self._shares.add(set()):
                    raise self._shares.refusal()
                batch = None
            elif COMPLETE in batch.sent:
                self._complete[batch] = None
                return
            foreseen = self._foreseen[request.id] = _Foreseen(batch)
        foreseen.terms.check(request, foreseen.total)
        foreseen.terms.join(request)
        if key is not None and not foreseen.add(key, self._most_members):
            raise errors.vhost_limit("members of a batch", self._most_members, self._vhost)


@final
class _Foreseen:
    """A batch that is not complete. total: number of members."""

    def __init__(self, batch: Batch | None) -> None:
        """batch: None for a new one."""
        self.terms: Terms = Terms() if batch is None else batch.terms.copy()
        self.total: int = 0 if batch is None else batch.total
        self._batch: Batch | None = batch
        self._added: set[bytes] = set()

    def add(self, key: bytes, most: int) -> bool:
        """Add a member, which may be known; return False if there are `most` already."""
        batch = self._batch
        if key in self._added or (batch is not None and member_name(batch.number, key) in batch.members):
            return True
        if self.total >= most:
            return False
        self._added.add(key)
        self.total += 1
        return True
