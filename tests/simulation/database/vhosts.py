"""The vhosts of a world, which administrators create and delete: what they have asked for, and what must be there."""

import random
from collections import Counter
from typing import Final

from tests.simulation.database.broker import Request

#: The vhost that the first broker creates, and nobody deletes.
DEFAULT: Final = "/"


class Vhosts:
    """Requests of one world. pauses: administrators ask for nothing meanwhile."""

    def __init__(self, chance: random.Random, most: int) -> None:
        """most: number of vhosts."""
        self.pauses = False
        self._chance = chance
        self._names = [f"vhost {number}" for number in range(1, most)]
        #: Name -> whether it may exist, and may not: as the last successful request, and those after it, have it.
        self._allowed: dict[str, set[bool]] = {name: {False} for name in self._names}
        self._deletions: Counter[str] = Counter()
        #: Requests that are not done, with the number of each.
        self._open: list[Request] = []

    def choose(self, names: list[str]) -> Request | None:
        """Return the next request, None for none. names: of the vhosts that its broker knows."""
        if self.pauses or not self._names:
            return None
        name = self._chance.choice(self._names)
        if name not in names:
            return Request(name, deletes=False, creates=True)
        if self._chance.random() < 0.5:
            return None
        # Two administrators may ask at once for both.
        return Request(name, deletes=True, creates=self._chance.random() < 0.25)

    def requested(self, request: Request) -> None:
        """Record that a request may take effect from now on."""
        self._open.append(request)
        self._allowed[request.name] |= _results(request)
        self._deletions[request.name] += request.deletes

    def done(self, request: Request) -> None:
        """Record that a request has succeeded, and that no earlier broker can write one any more."""
        at = next(at for at, each in enumerate(self._open) if each is request)
        later = [each for each in self._open[at + 1 :] if each.name == request.name]
        self._open = [each for each in self._open if each.name != request.name] + later
        self._allowed[request.name] = {request.creates}.union(*map(_results, later))

    @property
    def all_deletions(self) -> int:
        """Return the number of times that somebody has asked for the deletion of any vhost."""
        return self._deletions.total()

    def deletions(self, name: str) -> int:
        """Return the number of times that somebody has asked for the deletion of a vhost."""
        return self._deletions[name]

    def check(self, defined: set[str]) -> str:
        """Return what is wrong with the vhosts that exist, an empty text if nothing is."""
        for name, allowed in self._allowed.items():
            if (name in defined) not in allowed:
                return f"vhost {name} {'exists' if name in defined else 'does not exist'}, unlike what was confirmed"
        if DEFAULT not in defined:
            return "the default vhost does not exist"
        return ""


def _results(request: Request) -> set[bool]:
    """Return whether a vhost may exist after a request that is not done: a creation is a write after the deletion."""
    return {request.creates, not request.deletes}
