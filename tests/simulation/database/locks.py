"""Locks of the simulated engine: of rows, shared or exclusive, and advisory ones of sessions and transactions."""

from collections.abc import Hashable
from typing import Protocol


class Holder(Protocol):
    """A session that waits for a lock."""

    def go_on(self) -> None:
        """Execute the waiting statement again."""


class Lock:
    """One lock. shared: holders that share it. exclusive: its only holder."""

    def __init__(self) -> None:
        self.shared: set[Holder] = set()
        self.exclusive: Holder | None = None
        self.waiting: list[Holder] = []

    @property
    def is_unused(self) -> bool:
        return not self.shared and self.exclusive is None and not self.waiting


class Locks:
    """All locks of a server."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, Lock] = {}

    def try_take(self, key: Hashable, holder: Holder, shared: bool = False) -> bool:
        """Take a lock unless another holder has it; return whether this holder has it now."""
        lock = self._locks.setdefault(key, Lock())
        if lock.exclusive is holder:
            return True
        if lock.exclusive is not None or (not shared and lock.shared - {holder}):
            return False
        if shared:
            lock.shared.add(holder)
        else:
            lock.shared.discard(holder)
            lock.exclusive = holder
        return True

    def wait(self, key: Hashable, holder: Holder) -> None:
        """Call `go_on` of this session when the lock is released."""
        waiting = self._locks[key].waiting
        if holder not in waiting:
            waiting.append(holder)

    def leave(self, holder: Holder) -> None:
        """Stop waiting."""
        for lock in self._locks.values():
            if holder in lock.waiting:
                lock.waiting.remove(holder)

    def release(self, key: Hashable, holder: Holder) -> list[Holder]:
        """Release a lock; return the sessions that may go on."""
        lock = self._locks.get(key)
        if lock is None:
            return []
        lock.shared.discard(holder)
        if lock.exclusive is holder:
            lock.exclusive = None
        waiting, lock.waiting = lock.waiting, []
        if lock.is_unused:
            del self._locks[key]
        return waiting

    def holder(self, key: Hashable) -> Holder | None:
        """Return the exclusive holder of a lock."""
        lock = self._locks.get(key)
        return lock.exclusive if lock is not None else None
