"""Placement: which broker leads each vhost, which one follows it, and which vhosts move.

All functions depend only on their arguments, so that every broker with the same view of the database decides the same.
A broker only carries out its own part. Brokers with different views cannot both lead a vhost: see leadership.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from amqpbroker.store.database.placement_order import Order


class Vhost(NamedTuple):
    """A vhost in a view of the database.

    leader: identity of the broker that leads it, "" if it is free. last_leader: of the broker that led it last, "" if
    none ever did. successor: of the broker to which the last leader has handed it over, "" if it has not.
    """

    name: str
    leader: str = ""
    has_clients: bool = False
    last_leader: str = ""
    successor: str = ""


def takers(vhosts: Iterable[Vhost], order: Order) -> dict[str, str]:
    """Return the broker that should take each free vhost. Empty if no broker is able.

    This is the successor that the last leader has named; otherwise the standby; for a new vhost, the broker with the
    fewest vhosts of its candidates.
    """
    vhosts = list(vhosts)
    free = sorted(vhost for vhost in vhosts if not vhost.leader)
    found: dict[str, str] = {}
    if not order.brokers or not free:
        return found
    able = set(order.brokers)
    new: list[str] = []
    for vhost in free:
        if vhost.successor in able:
            found[vhost.name] = vhost.successor
        elif vhost.last_leader:
            # The last leader only if it is the only broker: it may fail again.
            found[vhost.name] = order.first(vhost.name, vhost.last_leader) or vhost.last_leader
        else:
            new.append(vhost.name)
    if new:
        counts = _counts(vhosts, found, order)
        for name in new:
            found[name] = chosen = _fewest(name, counts, order)
            counts[chosen] += 1
    return found


def standbys(vhosts: Iterable[Vhost], order: Order) -> dict[str, str]:
    """Return the broker that should follow each vhost: the one that takes it if its leader, or last leader, is gone.

    Vhosts without such a broker are left out, and new vhosts, of which there is nothing to follow.
    """
    found = {}
    for vhost in vhosts:
        holder = vhost.leader or vhost.last_leader
        if holder and (standby := order.first(vhost.name, holder)):
            found[vhost.name] = standby
    return found


def moves(
    vhosts: Iterable[Vhost], order: Order, with_clients: bool = False, at_once: int | None = None
) -> dict[str, str]:
    """Return the vhosts that their leaders should hand over now, each with the broker that should take it.

    A broker that is not able any more hands over all its vhosts. Another one hands over vhosts that it does not prefer
    while another broker does, and as many others as it has more than its share, if other brokers have less. A share is
    the number of vhosts divided by that of able brokers. After all these moves there are no others until brokers or
    vhosts change.

    with_clients: also move vhosts with clients, for an operator. at_once: greatest number of free vhosts that a broker
    should have to take, because it takes one after another; None for no limit.
    """
    vhosts = list(vhosts)
    found = _Moves(vhosts, order, with_clients).result() if order.brokers else {}
    return found if at_once is None else _limited(found, Counter(takers(vhosts, order).values()), at_once)


def _limited(found: dict[str, str], taking: Counter[str], at_once: int) -> dict[str, str]:
    """Return the first moves to each broker. taking: number of vhosts that a broker should take without them."""
    first = {}
    for name, target in found.items():
        if taking[target] < at_once:
            taking[target] += 1
            first[name] = target
    return first


class _Moves:
    """Finds moves one after another, each given those before it, until there is none."""

    def __init__(self, vhosts: list[Vhost], order: Order, with_clients: bool) -> None:
        self._order = order
        self._counts = _counts(vhosts, takers(vhosts, order), order)
        #: The share of a broker, rounded down and up.
        self._low = len(vhosts) // len(order.brokers)
        self._high = -(-len(vhosts) // len(order.brokers))
        #: The vhosts that may move, by the broker that leads them after all moves so far.
        self._movable: dict[str, set[str]] = {identity: set() for identity in order.brokers}
        #: The first leader of each vhost that has moved, and the last one.
        self._moved: dict[str, tuple[str, str]] = {}
        for vhost in vhosts:
            if vhost.leader and (with_clients or not vhost.has_clients or vhost.leader not in self._counts):
                self._movable.setdefault(vhost.leader, set()).add(vhost.name)

    def result(self) -> dict[str, str]:
        self._move_misplaced()
        # Where brokers prefer some vhosts, a move may make others possible.
        while self._even_out():
            pass
        return {name: last for name, (first, last) in self._moved.items() if first != last}

    def _move_misplaced(self) -> None:
        """Move the vhosts of brokers that are not able, or that do not prefer a vhost which another one prefers."""
        misplaced = sorted(
            (name, leader)
            for leader, names in self._movable.items()
            for name in names
            if not self._is_candidate(leader, name)
        )
        for name, leader in misplaced:
            # The standby follows the vhost, so it takes over faster than others.
            target = self._order.first(name, leader)
            if self._counts[target] >= self._high:
                target = self._fewest(name)
            self._move(name, leader, target)

    def _even_out(self) -> bool:
        """Move vhosts from brokers with more than their share to those with less. Return whether any was moved."""
        moved = self._move_above(self._high)
        if min(self._counts.values()) < self._low:
            # Such as a broker that has joined, while none has more than the share rounded up.
            moved |= self._move_above(self._low)
        return moved

    def _move_above(self, most: int) -> bool:
        """Move vhosts from brokers with more than `most`, one of the shares. Return whether any was moved."""
        moved = False
        above = {
            # Last in the order of a vhost, a broker is unlikely to lead it again.
            leader: sorted(self._movable[leader], key=partial(self._order.score, broker=leader))
            for leader, count in self._counts.items()
            if count > most
        }
        for leader, names in above.items():
            # Standbys follow the vhosts, so they take over faster than others.
            for name in self._above(most, leader, names):
                standby = self._order.first(name, leader)
                if self._counts[standby] < self._low and self._is_candidate(standby, name):
                    self._move(name, leader, standby)
                    moved = True
        for leader, names in above.items():
            for name in self._above(most, leader, names):
                target = self._fewest(name)
                # A target that would have as many as the leader has now could move it back.
                limit = self._low if most == self._low else self._counts[leader] - 1
                if self._counts[target] < limit:
                    self._move(name, leader, target)
                    moved = True
        return moved

    def _above(self, most: int, leader: str, names: Sequence[str]) -> Iterator[str]:
        """Yield the vhosts that a broker still leads, until it has at most `most`."""
        for name in names:
            if self._counts[leader] <= most:
                return
            if name in self._movable[leader]:
                yield name

    def _is_candidate(self, broker: str, name: str) -> bool:
        candidates = self._order.candidates(name)
        return broker in (self._counts if candidates is self._order.brokers else candidates)

    def _fewest(self, name: str) -> str:
        return _fewest(name, self._counts, self._order)

    def _move(self, name: str, leader: str, target: str) -> None:
        if leader in self._counts:
            self._counts[leader] -= 1
        self._counts[target] += 1
        self._movable[leader].remove(name)
        self._movable[target].add(name)
        first, _ = self._moved.get(name, (leader, ""))
        self._moved[name] = (first, target)


def _counts(vhosts: Iterable[Vhost], taken: dict[str, str], order: Order) -> dict[str, int]:
    """Return the number of vhosts of each able broker, with free ones that it takes."""
    counts = dict.fromkeys(order.brokers, 0)
    for vhost in vhosts:
        leader = vhost.leader or taken.get(vhost.name)
        if leader in counts:
            counts[leader] += 1
    return counts


def _fewest(name: str, counts: dict[str, int], order: Order) -> str:
    """Return the candidate of a vhost with the fewest vhosts; of several, the first in the order of the vhost."""
    candidates = order.candidates(name)
    fewest = min([counts[identity] for identity in candidates])
    return order.best(name, [identity for identity in candidates if counts[identity] == fewest])
