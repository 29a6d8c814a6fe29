"""The database: sessions, locks, epochs and the table of leaderships, and what a query of all of it returns.

It models what amqpbroker/cluster/leadership/leadership.py relies on: a lock ends with the session that has it, epochs
only grow, and a write with an old epoch is refused.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

from amqpbroker.cluster.placement.order import Broker, Order
from amqpbroker.cluster.placement.placement import Vhost, moves, takers

#: Finding moves is the greatest part of a simulation, so brokers share views for it.
MOVES_S = 0.5


class Row(NamedTuple):
    """A leadership. process: session of the broker that took it last, 0 before. released: it has given it up."""

    epoch: int = 0
    process: int = 0
    identity: str = ""
    released: bool = False
    successor: str = ""


class Session(NamedTuple):
    """A session of a broker's process. until_s: end of its lease."""

    identity: str
    until_s: float


class View:
    """The brokers and vhosts at one time. Decisions are made once for all brokers that read the same view."""

    def __init__(self, vhosts: list[Vhost], order: Order, at_once: int | None, with_clients: bool) -> None:
        """at_once, with_clients: of the moves."""
        self.vhosts = vhosts
        self.order = order
        self._at_once = at_once
        self._with_clients = with_clients

    @cached_property
    def takers(self) -> dict[str, list[str]]:
        """Return the vhosts that each broker should take."""
        found: dict[str, list[str]] = {}
        for name, broker in takers(self.vhosts, self.order).items():
            found.setdefault(broker, []).append(name)
        return found

    @cached_property
    def moves(self) -> dict[str, str]:
        return moves(self.vhosts, self.order, self._with_clients, self._at_once)


class Table:
    """The database. rows: by vhost."""

    def __init__(self, names: Iterable[str], with_clients: Iterable[str], lease_s: float, at_once: int | None) -> None:
        """lease_s: time without a renewal after which a leader may be replaced. at_once: moves to each broker."""
        self.rows = dict.fromkeys(names, Row())
        self.lease_s = lease_s
        self._rebalancing = False
        self._at_once = at_once
        self._with_clients = set(with_clients)
        self._locks: dict[str, int] = {}
        self._locks_of: dict[int, set[str]] = {}
        self._sessions: dict[int, Session] = {}
        self._connected = 0
        self._vhosts = {name: self._vhost(name, frozenset()) for name in self.rows}
        self._alive: frozenset[int] = frozenset()
        self._orders: dict[frozenset[str], Order] = {}
        self._view: View | None = None
        self._moves_view: View | None = None
        self._moves_s = 0.0

    # --- sessions and locks -------------------------------------------------------------------------------------------

    def connect(self, identity: str, now_s: float) -> int:
        """Begin a session; return its number, by which the rows name a leader."""
        self._connected += 1
        self._sessions[self._connected] = Session(identity, now_s + self.lease_s)
        self._locks_of[self._connected] = set()
        return self._connected

    def disconnect(self, process: int) -> None:
        """End a session, with its locks, as when its process ends or another broker terminates it."""
        self._sessions.pop(process, None)
        for name in self._locks_of.pop(process, ()):
            del self._locks[name]

    def renew(self, process: int, now_s: float) -> bool:
        """Renew the lease of all leaderships of a process; return whether its session is there."""
        session = self._sessions.get(process)
        if session is None:
            return False
        self._sessions[process] = session._replace(until_s=now_s + self.lease_s)
        return True

    def try_lock(self, process: int, name: str) -> bool:
        if process not in self._sessions or self._locks.get(name, process) != process:
            return False
        self._locks[name] = process
        self._locks_of[process].add(name)
        return True

    def unlock(self, process: int, name: str) -> None:
        if self._locks.get(name) == process:
            del self._locks[name]
            self._locks_of[process].discard(name)

    def terminate_silent(self, name: str, now_s: float) -> None:
        """End the session that has the lock of a vhost if its lease has ended."""
        holder = self._locks.get(name, 0)
        session = self._sessions.get(holder)
        if session is not None and session.until_s <= now_s:
            self.disconnect(holder)

    # --- leaderships --------------------------------------------------------------------------------------------------

    def raise_epoch(self, process: int, name: str) -> int:
        """Take a leadership; return its epoch, 0 if the process does not have the lock."""
        session = self._sessions.get(process)
        if session is None or self._locks.get(name) != process:
            return 0
        epoch = self.rows[name].epoch + 1
        self._set(name, Row(epoch, process, session.identity))
        return epoch

    def release(self, process: int, name: str, epoch: int, successor: str) -> None:
        row = self.rows[name]
        if row.epoch == epoch and row.process == process:
            self._set(name, row._replace(released=True, successor=successor))
            self.unlock(process, name)

    def accepts(self, name: str, epoch: int) -> bool:
        """Return whether the database accepts a write of a leader with this epoch."""
        return self.rows[name].epoch == epoch

    def rebalance(self, enabled: bool) -> None:
        """Move vhosts with clients too, as an operator orders, or no longer."""
        self._rebalancing = enabled
        self._view = self._moves_view = None

    # --- views --------------------------------------------------------------------------------------------------------

    def read(self, now_s: float) -> View:
        """Return what one query of all brokers and vhosts returns."""
        alive = frozenset(process for process, session in self._sessions.items() if session.until_s > now_s)
        if alive != self._alive:
            changed, self._alive = alive ^ self._alive, alive
            for name, row in self.rows.items():
                if row.process in changed:
                    self._vhosts[name] = self._vhost(name, alive)
            self._view = None
        if self._view is None:
            identities = frozenset(self._sessions[process].identity for process in alive)
            if identities not in self._orders:
                self._orders[identities] = Order([Broker(each) for each in identities], lambda _pattern, _vhost: False)
            vhosts = list(self._vhosts.values())
            self._view = View(vhosts, self._orders[identities], self._at_once, self._rebalancing)
        return self._view

    def read_for_moves(self, now_s: float) -> View:
        """Return a view that is at most MOVES_S old, from which all brokers find moves meanwhile."""
        if self._moves_view is None or now_s - self._moves_s > MOVES_S:
            self._moves_view, self._moves_s = self.read(now_s), now_s
        return self._moves_view

    def _set(self, name: str, row: Row) -> None:
        self.rows[name] = row
        self._vhosts[name] = self._vhost(name, self._alive)
        self._view = None

    def _vhost(self, name: str, alive: frozenset[int]) -> Vhost:
        row = self.rows[name]
        is_led = row.process in alive and not row.released
        return Vhost(
            name,
            row.identity if is_led else "",
            name in self._with_clients,
            "" if is_led else row.identity,
            row.successor,
        )
