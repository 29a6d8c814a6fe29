"""Division of a bound, such as the number of batches of a vhost, among users."""

from collections.abc import Iterator
from itertools import chain
from typing import final

from amqpbroker import errors
from amqpbroker.errors import AmqpError


@final
class Shares:
    """Counts things of a vhost, such as its batches, by owner, and finds those that make space for further ones.

    A user may have at most a share of them. A thing that is released, because it has ended, makes space: for its
    owner if the owner has its whole share, and for any user if there is no space at all.
    """

    def __init__(self, kind: str, vhost: str, most: int, share: float, least: int = 1) -> None:
        """kind: of the things, for errors. most: their number, or their bytes, in the vhost. share: the part that a
        user may have. least: a user may have as many in any case.
        """
        self._kind: str = kind
        self._vhost: str = vhost
        self.most: int = most
        self.user_most: int = min(max(least, round(most * share)), most)
        self._total: int = 0
        self._owners: dict[bytes, str] = {}
        self._sizes: dict[bytes, int] = {}
        self._counts: dict[str, int] = {}
        #: The released things of all users, and of each.
        self._released: _Released = _Released()
        self._released_of: dict[str, _Released] = {}

    @property
    def total(self) -> int:
        """The number, or the bytes, of all things."""
        return self._total

    def add(self, id_: bytes, owner: str, size: int = 1) -> None:
        """Count a further thing. owner: the user."""
        self._owners[id_] = owner
        self._sizes[id_] = size
        self._total += size
        self._counts[owner] = self._counts.get(owner, 0) + size

    def remove(self, id_: bytes) -> None:
        """Count a thing no more, if it is counted."""
        if id_ not in self._owners:
            return
        self.hold(id_)
        owner, size = self._owners.pop(id_), self._sizes.pop(id_)
        self._total -= size
        self._counts[owner] -= size
        if not self._counts[owner]:
            del self._counts[owner]
            self._released_of.pop(owner, None)

    def release(self, id_: bytes, later: bool = False) -> None:
        """Mark a thing, if it is counted, as one that makes space for others, after those that already do.

        later: also after all those without `later` that will do so.
        """
        if id_ not in self._owners:
            return
        self.hold(id_)
        self._released.add(id_, later)
        self._released_of.setdefault(self._owners[id_], _Released()).add(id_, later)

    def hold(self, id_: bytes) -> None:
        """Undo the release of a thing, which makes no space for others any more."""
        self._released.remove(id_)
        own = self._released_of.get(self._owners.get(id_, ""))
        if own is not None:
            own.remove(id_)

    def count(self, owner: str) -> int:
        """Return the number, or the bytes, of the things of a user."""
        return self._counts.get(owner, 0)

    def has_share(self, owner: str, size: int = 1) -> bool:
        """Return whether a further thing of that size would exceed the share of a user."""
        return self.count(owner) + size > self.user_most

    @property
    def ended_count(self) -> int:
        """The number of things that were released without `later`."""
        return self._released.first_count

    def owner_of(self, id_: bytes) -> str:
        """Return the user who has a thing."""
        return self._owners[id_]

    def released(self, owner: str | None = None) -> Iterator[bytes]:
        """Return the things of a user, or of all users, that make space for others, in their order."""
        found = self._released if owner is None else self._released_of.get(owner)
        return iter(()) if found is None else found.all()

    def has_space(self, owner: str, size: int = 1) -> bool:
        """Return whether a user may have a further thing, without another one that makes space."""
        return not self.has_share(owner, size) and self._total + size <= self.most

    def next_released(self, owner: str, size: int = 1) -> bytes | None:
        """Return the thing that makes space for a further one of a user, None if there is none."""
        return next(self.released(owner if self.has_share(owner, size) else None), None)

    def is_full(self, owner: str) -> bool:
        """Return whether a further thing of a user has to be refused."""
        return not self.has_space(owner) and self.next_released(owner) is None

    def refusal(self, owner: str, has_share: bool) -> AmqpError:
        """Return the error for a further thing of a user. has_share: the user has its whole share."""
        if has_share and self.user_most < self.most:
            return errors.share_limit(self._kind, self.user_most, owner, self._vhost)
        return errors.vhost_limit(self._kind, self.most, self._vhost)

    def clear(self) -> None:
        """Remove all things."""
        self._total = 0
        self._owners.clear()
        self._sizes.clear()
        self._counts.clear()
        self._released = _Released()
        self._released_of.clear()


class _Released:
    """Things that make space for others, in their order."""

    def __init__(self) -> None:
        self._first: dict[bytes, None] = {}
        self._later: dict[bytes, None] = {}

    def add(self, id_: bytes, later: bool) -> None:
        (self._later if later else self._first)[id_] = None

    def remove(self, id_: bytes) -> None:
        self._first.pop(id_, None)
        self._later.pop(id_, None)

    @property
    def first_count(self) -> int:
        return len(self._first)

    def all(self) -> Iterator[bytes]:
        return chain(self._first, self._later)


@final
class ForeseenShares:
    """The things of a vhost after further ones of one user, before any of them is added. Valid until one is.

    removed: those that have made space.
    """

    def __init__(self, shares: Shares, owner: str) -> None:
        self.removed: set[bytes] = set()
        self._shares: Shares = shares
        self._owner: str = owner
        self._count: int = shares.total
        self._own_count: int = shares.count(owner)
        #: The released things of the user, and of all users, that were not examined yet.
        self._own: Iterator[bytes] = shares.released(owner)
        self._all: Iterator[bytes] = shares.released()

    def refusal(self) -> AmqpError:
        """Return the error for a thing that was not added."""
        return self._shares.refusal(self._owner, self.has_share)

    @property
    def has_share(self) -> bool:
        """Return whether the user has its whole share."""
        return self._own_count >= self._shares.user_most

    def add(self, held: set[bytes]) -> bool:
        """Add a thing; return False if there is no space. held: things that make no space any more."""
        while self.has_share or self._count >= self._shares.most:
            id_ = self._next(self._own if self.has_share else self._all, held)
            if id_ is None:
                return False
            self.removed.add(id_)
            self._count -= 1
            self._own_count -= self._shares.owner_of(id_) == self._owner
        self._count += 1
        self._own_count += 1
        return True

    def release(self) -> None:
        """Release the thing that was added last, which makes space for others then."""
        self._count -= 1
        self._own_count -= 1

    def _next(self, released: Iterator[bytes], held: set[bytes]) -> bytes | None:
        for id_ in released:
            if id_ not in self.removed and id_ not in held:
                return id_
        return None
