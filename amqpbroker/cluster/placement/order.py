"""Rendezvous order of brokers: each vhost has its own order, of which a broker that joins or leaves changes little.

All brokers compute the same order, because it depends only on the names, and not on Python's hashes of strings.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

_DIGEST_BYTES: Final = 8
_MASK: Final = 2**64 - 1


class Broker(NamedTuple):
    """A broker that uses the database.

    identity: unique to it, and the same after a restart. able: it may lead. pattern: of the vhosts that it prefers,
    None for a broker that prefers none.
    """

    identity: str
    able: bool = True
    pattern: str | None = None


class Order:
    """The orders of able brokers for vhosts. It remembers them, so use it for all views that have the same brokers.

    Brokers that prefer a vhost come before all others in its order. brokers: identities of the able ones, sorted.
    """

    def __init__(self, brokers: Iterable[Broker], matches: Callable[[str, str], bool]) -> None:
        """matches: returns whether a pattern matches a vhost."""
        able = {broker.identity: broker for broker in brokers if broker.able}
        self.brokers: Sequence[str] = sorted(able)
        self._matches = matches
        self._numbers = {identity: _number(identity) for identity in self.brokers}
        #: The brokers by pattern.
        self._preferring: dict[str, list[str]] = {}
        for identity in self.brokers:
            if (pattern := able[identity].pattern) is not None:
                self._preferring.setdefault(pattern, []).append(identity)
        #: The candidates by the patterns that match a vhost; without such a pattern, all brokers.
        self._groups: dict[tuple[str, ...], Sequence[str]] = {(): self.brokers}
        self._candidates: dict[str, Sequence[str]] = {}
        #: The first two brokers by vhost.
        self._first: dict[str, Sequence[str]] = {}

    def is_able(self, identity: str) -> bool:
        """Return whether a broker is one of `brokers`."""
        return identity in self._numbers

    def candidates(self, vhost: str) -> Sequence[str]:
        """Return the brokers that should lead a vhost: those that prefer it, `brokers` if there are none.

        Vhosts with equal candidates have the same object.
        """
        if not self._preferring:
            return self.brokers
        found = self._candidates.get(vhost)
        if found is None:
            matching = tuple(pattern for pattern in self._preferring if self._matches(pattern, vhost))
            found = self._groups.get(matching)
            if found is None:
                made = sorted(identity for pattern in matching for identity in self._preferring[pattern])
                found = next((known for known in self._groups.values() if known == made), made)
                self._groups[matching] = found
            self._candidates[vhost] = found
        return found

    def first(self, vhost: str, but: str = "") -> str:
        """Return the first broker in the order of a vhost, apart from the broker `but`; "" if there is none."""
        first = self._first.get(vhost)
        if first is None:
            first = self._first[vhost] = self._first_two(vhost)
        return next((identity for identity in first if identity != but), "")

    def best(self, vhost: str, among: Sequence[str]) -> str:
        """Return the first broker in the order of a vhost, of some that all prefer it, or none of which does."""
        if len(among) == 1:
            return among[0]
        scores = self._scores(vhost, among)
        return among[scores.index(max(scores))]

    def fewest(self, vhost: str, counts: Mapping[str, int]) -> str:
        """Return the candidate of a vhost with the least count; of several, the first in the order of the vhost."""
        candidates = self.candidates(vhost)
        fewest = min([counts[identity] for identity in candidates])
        return self.best(vhost, [identity for identity in candidates if counts[identity] == fewest])

    def score(self, vhost: str, broker: str) -> int:
        """Return a number that is greater the earlier a broker is in the order of a vhost, without preferences."""
        return self._scores(vhost, (broker,))[0]

    def retain(self, vhosts: Iterable[str]) -> None:
        """Remove what is remembered of other vhosts, which no longer exist."""
        existing = set(vhosts)
        for remembered in (self._candidates, self._first):
            if len(remembered) > len(existing):
                for vhost in remembered.keys() - existing:
                    del remembered[vhost]

    def _first_two(self, vhost: str) -> list[str]:
        if not self.brokers:
            return []
        among = self.candidates(vhost)
        scores = self._scores(vhost, among)
        place = scores.index(max(scores))
        first = [among[place]]
        if len(among) > 1:
            scores[place] = -1
            first.append(among[scores.index(max(scores))])
        elif others := [identity for identity in self.brokers if identity != first[0]]:
            first.append(self.best(vhost, others))
        return first

    def _scores(self, vhost: str, among: Sequence[str]) -> list[int]:
        # Odd, so that no two brokers have the same score.
        factor = _number(vhost) | 1
        # A multiplication mixes enough: one factor is random for each vhost, the other for each broker.
        if among is self.brokers:
            return [factor * number & _MASK for number in self._numbers.values()]
        numbers = self._numbers
        return [factor * numbers[identity] & _MASK for identity in among]


def _number(name: str) -> int:
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES, person=b"amqpbroker")
    return int.from_bytes(digest.digest(), "big")
