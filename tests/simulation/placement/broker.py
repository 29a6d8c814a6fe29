"""A broker's process: it reads the table from time to time, takes vhosts one after another, and hands some over."""

from functools import partial
from typing import NamedTuple, Protocol

from amqpbroker.cluster.leadership.leadership import GRACE_S
from tests.simulation.chance import Chance
from tests.simulation.placement.events import Events
from tests.simulation.placement.table import Table, View

#: Interval between two renewals of a broker, at most.
MOST_S = GRACE_S / 2


class Costs(NamedTuple):
    """Times in seconds, and counts.

    work_s: processor time of a takeover on the broker. round_trip_s: to the database. statements: round trips of a
    takeover, one after another. look_s, balance_s: intervals of reading the table, and of moving vhosts. lag_s: longest
    time until a broker acts on a slow read. lagging: share of slow reads.
    """

    work_s: float = 0.02
    round_trip_s: float = 0.001
    statements: int = 4
    look_s: float = 1.0
    balance_s: float = 2.0
    lag_s: float = 3.0
    lagging: float = 0.05
    fresh_s: float = 0.5
    at_once: int | None = 10
    lease_s: float = 10.0


class Witness(Protocol):
    """Receives what a broker does."""

    def queried(self, of_each_vhost: int) -> None:
        """Count a query of the database. of_each_vhost: queries if there were one for each vhost."""

    def leads(self, broker: "Process", name: str) -> None:
        """Notice that a broker leads a vhost from now on."""

    def leads_no_more(self, broker: "Process", name: str, successor: str) -> None:
        """Notice that a broker hands a vhost over."""


class Process:
    """A process of a broker. number: its session. leading: vhost -> epoch. is_hung: it does nothing until it wakes."""

    def __init__(
        self, identity: str, table: Table, events: Events, costs: Costs, witness: Witness, chance: Chance
    ) -> None:
        self.identity = identity
        self.leading: dict[str, int] = {}
        self.is_hung = False
        self.is_running = True
        self._table = table
        self._events = events
        self._costs = costs
        self._witness = witness
        self._chance = chance
        #: Vhosts to take -> earliest time of the takeover, None if they are not locked yet.
        self._taking: dict[str, float | None] = {}
        self._is_working = False
        self._balanced_s = events.now_s
        self.number = table.connect(identity, events.now_s)
        events.after(chance.random() * MOST_S, self._renew)
        events.after(chance.random() * costs.look_s, self._look)

    @property
    def acts(self) -> bool:
        return self.is_running and not self.is_hung

    def lead(self, name: str) -> None:
        """Lead a vhost at once."""
        self._table.try_lock(self.number, name)
        self.leading[name] = self._table.raise_epoch(self.number, name)
        self._witness.leads(self, name)

    # --- its end ------------------------------------------------------------------------------------------------------

    def die(self, connections_stay: bool = False) -> None:
        """End without a word. connections_stay: the database does not notice, as when a machine loses power."""
        self.is_running = False
        if not connections_stay:
            self._table.disconnect(self.number)

    def stop(self) -> None:
        """Release all vhosts, and end."""
        for name in list(self.leading):
            self._hand_over(name, "")
        self.die()

    def wake(self) -> None:
        """Continue after a hang."""
        self.is_hung = False
        for name, epoch in list(self.leading.items()):
            if not self._table.accepts(name, epoch):
                del self.leading[name]
        self._renew()
        self._look()

    # --- what it does regularly ---------------------------------------------------------------------------------------

    def _renew(self) -> None:
        if not self.acts:
            return
        self._witness.queried(max(1, len(self.leading)))
        if not self._table.renew(self.number, self._events.now_s):
            # Its session was ended: it finds its vhosts taken, and waits like others.
            self.leading.clear()
            self._taking.clear()
            self.number = self._table.connect(self.identity, self._events.now_s)
        self._events.after(MOST_S, self._renew)

    def _look(self) -> None:
        if not self.acts:
            return
        view = self._table.read(self._events.now_s)
        for_moves = self._table.read_for_moves(self._events.now_s)
        self._witness.queried(len(view.vhosts) // max(1, len(view.order.brokers)))
        lag_s = self._costs.round_trip_s
        if self._chance.random() < self._costs.lagging:
            lag_s += self._chance.random() * self._costs.lag_s
        self._events.after(lag_s, lambda: self._act(view, for_moves, lag_s))

    def _act(self, view: View, for_moves: View, age_s: float) -> None:
        if not self.acts:
            return
        self._take(view)
        if age_s <= self._costs.fresh_s and self._events.now_s - self._balanced_s >= self._costs.balance_s:
            self._balanced_s = self._events.now_s
            for name, successor in for_moves.moves.items():
                if name in self.leading:
                    self._hand_over(name, successor)
        self._events.after(self._costs.look_s * (0.9 + 0.2 * self._chance.random()), self._look)

    def _hand_over(self, name: str, successor: str) -> None:
        epoch = self.leading.pop(name)
        self._witness.leads_no_more(self, name, successor)
        self._table.release(self.number, name, epoch, successor)

    # --- takeovers ----------------------------------------------------------------------------------------------------

    def _take(self, view: View) -> None:
        wanted = view.takers.get(self.identity, ())
        for name in self._taking.keys() - wanted:
            del self._taking[name]
            self._table.unlock(self.number, name)
        for name in wanted:
            if name not in self.leading:
                self._taking.setdefault(name, None)
        self._lock()
        self._work()

    def _lock(self) -> None:
        """Lock the vhosts of silent leaders with one query; the grace of all of them passes at the same time."""
        now_s = self._events.now_s
        for name, ready_s in self._taking.items():
            row = self._table.rows[name]
            if ready_s is None and row.process and not row.released:
                if self._table.try_lock(self.number, name):
                    self._taking[name] = now_s + GRACE_S
                else:
                    self._table.terminate_silent(name, now_s)
        if self._taking:
            self._witness.queried(len(self._taking))

    def _work(self) -> None:
        """Take the next vhost, unless a takeover is under way."""
        if self._is_working or not self.acts:
            return
        now_s = self._events.now_s
        for name, ready_s in self._taking.items():
            row = self._table.rows[name]
            is_free = row.released or not row.process
            if (is_free and ready_s is None) or (ready_s is not None and ready_s <= now_s):
                del self._taking[name]
                self._is_working = True
                self._witness.queried(1)
                self._events.after(self._costs.round_trip_s * self._costs.statements, partial(self._raise, name))
                return
        waiting = [ready_s for ready_s in self._taking.values() if ready_s is not None]
        if waiting:
            self._events.after(min(waiting) - now_s, self._work)

    def _raise(self, name: str) -> None:
        locked = self.acts and self._table.try_lock(self.number, name)
        epoch = self._table.raise_epoch(self.number, name) if locked else 0
        if epoch:
            self._events.after(self._costs.work_s, lambda: self._recovered(name, epoch))
        else:
            self._is_working = False
            self._work()

    def _recovered(self, name: str, epoch: int) -> None:
        if self.is_hung:
            self._events.after(MOST_S, lambda: self._recovered(name, epoch))
            return
        self._is_working = False
        if self.acts and self._table.accepts(name, epoch):
            self.leading[name] = epoch
            self._witness.leads(self, name)
        self._work()
