"""Ids that the messages of a transaction are going to take when it is committed."""

from abc import ABCMeta, abstractmethod
from collections.abc import Iterator
from typing import final


class AcceptedIds(metaclass=ABCMeta):
    """The ids that a queue or an exchange has accepted and remembers."""

    @abstractmethod
    def has(self, key: bytes) -> bool:
        """Return whether a message with this id is a duplicate."""

    @abstractmethod
    def spare(self) -> int | None:
        """Return how many more ids it can remember without forgetting the oldest one; None for any number."""

    @abstractmethod
    def oldest(self) -> Iterator[bytes]:
        """Iterate over the ids in the order in which they would be forgotten."""


@final
class ForeseenIds:
    """Ids of the messages of one transaction, added in the order of the messages, before any of them is published."""

    def __init__(self) -> None:
        self._by_owner: dict[AcceptedIds, _Foreseen] = {}

    def add(self, accepted: AcceptedIds, key: bytes) -> bool:
        """Add an id; return False if a message with this id will be a duplicate."""
        foreseen = self._by_owner.get(accepted)
        if foreseen is None:
            foreseen = self._by_owner[accepted] = _Foreseen(accepted)
        return foreseen.add(key)


@final
class _Foreseen:
    """The accepted ids of one queue or exchange as they will be after the messages so far."""

    def __init__(self, accepted: AcceptedIds) -> None:
        self._accepted: AcceptedIds = accepted
        self._spare: int | None = accepted.spare()
        self._oldest: Iterator[bytes] = accepted.oldest()
        #: From the oldest to the newest.
        self._taken: dict[bytes, None] = {}
        self._forgotten: set[bytes] = set()

    def add(self, key: bytes) -> bool:
        if key in self._taken or (key not in self._forgotten and self._accepted.has(key)):
            return False
        self._taken[key] = None
        if self._spare is None:
            return True
        if self._spare > 0:
            self._spare -= 1
            return True
        forgotten = next(self._oldest, None)
        if forgotten is None:
            del self._taken[next(iter(self._taken))]
        else:
            self._forgotten.add(forgotten)
        return True
