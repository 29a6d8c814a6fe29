"""The batches of a vhost as a transaction is going to change them."""

from typing import final

from amqpbroker import errors
from amqpbroker.broker.batches.batch import Batch
from amqpbroker.broker.batches.member import member_name
from amqpbroker.broker.batches.request import COMPLETE, Request
from amqpbroker.broker.batches.terms import Terms


@final
class ForeseenBatches:
    """The batches as they will be after the messages of a transaction so far, before any of them is published."""

    def __init__(
        self, vhost: str, batches: dict[bytes, Batch], ended: dict[bytes, Batch], most: int, most_members: int
    ) -> None:
        """batches: by id. ended: those that make space, in this order. most, most_members: numbers in `Bounds`."""
        self._vhost: str = vhost
        self._batches: dict[bytes, Batch] = batches
        self._most: int = most
        self._most_members: int = most_members
        self._spare: int = most - len(batches)
        self._ended: list[bytes] = list(ended)
        #: Ended batches that have made space.
        self._removed: set[bytes] = set()
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
            if batch is None or request.id in self._removed:
                self._reserve()
                batch = None
            elif COMPLETE in batch.sent:
                self._complete[batch] = None
                return
            foreseen = self._foreseen[request.id] = _Foreseen(batch)
        foreseen.terms.check(request, foreseen.total)
        foreseen.terms.join(request)
        if key is not None and not foreseen.add(key, self._most_members):
            raise errors.batch_limit("members of a batch", self._most_members, self._vhost)

    def _reserve(self) -> None:
        if self._spare > 0:
            self._spare -= 1
        elif len(self._removed) < len(self._ended):
            self._removed.add(self._ended[len(self._removed)])
        else:
            raise errors.batch_limit("batches", self._most, self._vhost)


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
