"""Moves between the brokers that should lead a group of vhosts, so that these have as many vhosts as each other."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from amqpbroker.cluster.placement.order import Order


class Led(NamedTuple):
    """A vhost. leader: the able broker that leads it, or takes it now. may_move: it may be handed over."""

    name: str
    leader: str
    may_move: bool


class Group:
    """The vhosts that have the same candidates.

    Brokers carry moves out at different times. So a broker does not hand over vhosts because it will receive others,
    and receives none because it will hand over others.
    """

    def __init__(self, candidates: Sequence[str], order: Order) -> None:
        self.candidates = candidates
        self._order = order
        self._vhosts: list[Led] = []
        self._coming: list[str] = []
        #: Number of vhosts of each candidate: without those that it hands over, and with those that it receives.
        self._left: dict[str, int] = {}
        self._expected: dict[str, int] = {}
        self._moved: dict[str, str] = {}

    def add(self, vhost: Led) -> None:
        self._vhosts.append(vhost)

    def add_coming(self, taker: str) -> None:
        """Add a vhost that a broker will take."""
        self._coming.append(taker)

    def moves(self, counts: dict[str, int]) -> dict[str, str]:
        """Return the vhosts to move, and where to.

        counts: vhosts of all brokers in groups before this one, after their moves; those of this group are added.
        """
        left = self._left = {identity: counts[identity] for identity in self.candidates}
        bases = sorted(left.values())
        movable: dict[str, list[str]] = {identity: [] for identity in left}
        misplaced: list[Led] = []
        for vhost in sorted(self._vhosts):
            if vhost.leader in left:
                left[vhost.leader] += 1
                if vhost.may_move:
                    movable[vhost.leader].append(vhost.name)
            elif vhost.may_move:
                misplaced.append(vhost)
        self._expected = dict(left)
        for taker in self._coming:
            counts[taker] += 1
            if taker in left:
                self._expected[taker] += 1
        low, high = levels(bases, sum(self._expected.values()) - sum(bases) + len(misplaced))
        self._move_misplaced(misplaced, low, high)
        self._move_above(high, high, low, movable)
        # Such as a broker that has joined, while none has more than the share rounded up.
        self._move_above(low, low, low, movable)
        for vhost in self._vhosts:
            counts[self._moved.get(vhost.name, vhost.leader)] += 1
        return self._moved

    def _move_misplaced(self, misplaced: list[Led], low: int, high: int) -> None:
        """Move vhosts whose leaders are no candidates."""
        for name, leader, _ in misplaced:
            # The standby follows the vhost, so it takes over faster than others.
            target = self._order.first(name, leader)
            if self._expected[target] >= (low if min(self._expected.values()) < low else high):
                target = self._order.fewest(name, self._expected)
            self._move(name, leader, target)

    def _move_above(self, most: int, below: int, low: int, movable: dict[str, list[str]]) -> None:
        """Move vhosts from brokers with more than `most` to brokers with fewer than `below`.

        low: standbys receive vhosts only if they have fewer.
        """
        above = [leader for leader, count in self._left.items() if count > most]
        if not above or min(self._expected.values()) >= below:
            return
        for leader in above:
            # Last in the order of a vhost, a broker is unlikely to lead it again.
            movable[leader].sort(key=partial(self._order.score, broker=leader))
        for leader in above:
            # Standbys follow the vhosts, so they take over faster than others.
            for name in self._until(most, leader, movable):
                standby = self._order.first(name, leader)
                if self._expected.get(standby, low) < low:
                    self._move(name, leader, standby)
        for leader in above:
            for name in self._until(most, leader, movable):
                target = self._order.fewest(name, self._expected)
                if self._expected[target] >= below:
                    return
                self._move(name, leader, target)

    def _until(self, most: int, leader: str, movable: dict[str, list[str]]) -> Iterator[str]:
        """Yield the vhosts that a broker does not hand over yet, until it has at most `most`."""
        for name in movable[leader]:
            if self._left[leader] <= most:
                return
            if name not in self._moved:
                yield name

    def _move(self, name: str, leader: str, target: str) -> None:
        if leader in self._left:
            self._left[leader] -= 1
        self._expected[target] += 1
        self._moved[name] = target


def levels(bases: Sequence[int], number: int) -> tuple[int, int]:
    """Return the least and the greatest number of vhosts of brokers that share a number of further ones evenly.

    bases: the vhosts that each has already, sorted; brokers with more than the result get none.
    """
    total = number
    for count, base in enumerate(bases, 1):
        total += base
        if count == len(bases) or total <= bases[count] * count:
            break
    return total // count, -(-total // count)
