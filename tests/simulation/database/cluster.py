"""A primary with its standbys: the log of commits, and which server has how much of it."""

import random
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from tests.simulation.database.server import Function, Server
from tests.simulation.database.skipping import Skipping
from tests.simulation.database.transaction import Changes, Rows, Tables
from tests.simulation.scheduler import MS, SECOND

#: Time in which a synchronous standby receives a commit.
RECEIVE_NS = (0, MS)
#: Share of statements before which the primary is slow, and the longest time.
STALL = 0.002
PLANNED_STALL = 0.3
STALL_NS = 4 * SECOND
#: Time of a planned one: long enough for a takeover.
PLANNED_STALL_NS = (2 * SECOND, 5 * SECOND)
#: Most commits by which an asynchronous standby is behind.
LAG = 12


class Standby:
    """One standby. received: number of commits that it has. stalled_until: time until which it receives nothing."""

    def __init__(self, tables: Tables, received: int, synchronous: bool) -> None:
        self.received = received
        self.synchronous = synchronous
        self.stalled_until = 0
        self._tables = tables
        self._applied = received

    def delay(self, commits: int) -> None:
        """Lack so many of the last commits, unless they are applied."""
        self.received = max(self._applied, self.received - commits)

    def tables(self, log: list[Changes]) -> Tables:
        """Return the tables with everything that it has received. log: the commits before and after that."""
        for changes in log[self._applied : self.received]:
            changes.apply(self._tables)
        self._applied = self.received
        return self._tables


class Slow(NamedTuple):
    """A stall to come of a session that writes.

    process: beginning of the names of its sessions. is_single: with a statement that is a transaction. begins: called
    when it begins.
    """

    process: str
    is_single: bool
    begins: Callable[[], None]


class Cluster:
    """One database, which has at most one primary at a time.

    primary: None while there is none. is_silent: the machine of the last primary is gone, so that nothing answers.
    """

    def __init__(
        self,
        scheduler: Skipping,
        chance: random.Random,
        statements: dict[str, Function],
        readers: frozenset[Function],
        synchronous: int,
        asynchronous: int,
    ) -> None:
        """statements: known to the servers. readers: functions of single statements that only read.

        synchronous, asynchronous: number of standbys of each kind; a commit waits for one of the synchronous."""
        self.is_synchronous = synchronous > 0
        self.is_silent = False
        #: Called when a session ends others: its name, and the beginning of theirs.
        self.on_terminate: Callable[[str, str], None] = lambda name, prefix: None
        #: A stall to come.
        self.slow: Slow | None = None
        #: Called when the primary is slow, with the name of the session and the time in nanoseconds.
        self.on_stall: Callable[[str, int], None] = lambda name, duration: None
        #: Faults of commits to come: beginning of a session's name, and a part of it -> kind.
        self.commit_faults: dict[tuple[str, str], str] = {}
        self._scheduler = scheduler
        self._chance = chance
        self._statements = statements
        self._readers = readers
        self._counts = (synchronous, asynchronous)
        #: All commits of the world.
        self._log: list[Changes] = []
        self._durable: Tables = {}
        self._number = 0
        self.standbys: list[Standby] = []
        self.primary: Server | None = None
        self._begin({})
        self._attach()

    # --- commits ------------------------------------------------------------------------------------------------------

    def append(self, changes: Changes) -> int:
        """Write a commit to the log of the primary; return its position."""
        self._log.append(changes)
        changes.apply(self._durable)
        position = len(self._log)
        for standby in self.standbys:
            if standby.synchronous:
                delay = max(self._chance.randint(*RECEIVE_NS), standby.stalled_until - self._scheduler.now)
                if delay > RECEIVE_NS[1] // 2:
                    self._scheduler.after(delay, partial(self._receive, standby, position))
                elif standby.stalled_until <= self._scheduler.now:
                    standby.received = position
            elif standby.stalled_until <= self._scheduler.now:
                standby.received = max(standby.received, position - self._chance.randint(0, LAG))
        return position

    def _receive(self, standby: Standby, position: int) -> None:
        rest = standby.stalled_until - self._scheduler.now
        if rest > 0:
            self._scheduler.after(rest, partial(self._receive, standby, position))
        elif standby in self.standbys:
            standby.received = max(standby.received, position)
            if self.primary is not None:
                self.primary.received()

    def is_safe(self, position: int) -> bool:
        """Return whether a commit may be confirmed."""
        if not self.is_synchronous:
            return True
        return any(standby.synchronous and standby.received >= position for standby in self.standbys)

    def epoch(self, log: str) -> int:
        """Return the epoch of a log in the log of the primary, also if its commit waits for a standby.

        0 if nobody has led it, or if it is removed.
        """
        row = self._durable.get("fence", {}).get(log)
        return row[0] if row is not None else 0

    def rows(self, table: str) -> Rows:
        """Return the rows of a table in the log of the primary, also those whose commits wait for a standby."""
        return self._durable.get(table, {})

    @property
    def tables(self) -> Tables:
        """Return all tables, as `rows` does."""
        return self._durable

    def next_number(self) -> int:
        """Return the next value of the sequence of logs."""
        self._number += 1
        return self._number

    def commit_fault(self, name: str) -> str:
        """Return the planned fault of a session's commit, an empty text if there is none."""
        for prefix, part in self.commit_faults:
            if name.startswith(prefix) and part in name:
                return self.commit_faults.pop((prefix, part))
        return ""

    def stall_ns(self, name: str, single: bool) -> int:
        """Return the time for which a session is slow before the next statement of its request, mostly none.

        single: before the commit of a statement that is a transaction.
        """
        slow = self.slow
        if slow is not None and single is slow.is_single and is_writing(name, slow.process):
            if self._chance.random() > PLANNED_STALL:
                return 0
            self.slow = None
            slow.begins()
            duration = self._chance.randint(*PLANNED_STALL_NS)
        elif self._chance.random() > STALL:
            return 0
        else:
            duration = int(STALL_NS * self._chance.random() ** 3)
        self.on_stall(name, duration)
        return duration

    def signal_ns(self) -> int:
        """Return the time until a session has ended that was told to."""
        return self._chance.randint(0, 3 * MS)

    # --- failures -----------------------------------------------------------------------------------------------------

    def break_all(self) -> None:
        """Cut all connections."""
        if self.primary is not None:
            for backend in list(self.primary.backends):
                backend.terminate("57P01")

    def crash(self, silent: bool) -> None:
        """End the primary. silent: with its machine, so that nothing answers."""
        if self.primary is not None:
            self.primary.crash(silent)
        self.primary, self.is_silent = None, silent

    def restart(self) -> None:
        """Start the primary again: everything in its log is there, also what has not reached a standby."""
        self._begin(self._durable)

    def promote(self, synchronous: bool) -> None:
        """Make the standby of a kind that has most the primary. The others are copied from it again, later."""
        chosen = max(
            (each for each in self.standbys if each.synchronous is synchronous), key=lambda each: each.received
        )
        self._begin(chosen.tables(self._log))
        self.standbys = []
        self._scheduler.after(self._chance.randint(0, 3 * SECOND), self._attach)

    def would_lose(self, synchronous: bool) -> int:
        """Return the number of commits that the best standby of a kind lacks."""
        return len(self._log) - max(each.received for each in self.standbys if each.synchronous is synchronous)

    def stall(self, duration: int) -> None:
        """Stop all standbys for some time."""
        for standby in self.standbys:
            standby.stalled_until = self._scheduler.now + duration

    def _begin(self, tables: Tables) -> None:
        skew_ns = self._chance.randint(-2 * SECOND, 2 * SECOND)
        self.is_silent = False
        self._durable = _copied(tables)
        self.primary = Server(self, self._scheduler, self._statements, self._readers, _copied(tables), skew_ns)

    def _attach(self) -> None:
        """Copy the primary to new standbys, unless there are some."""
        if self.standbys:
            return
        if self.primary is None:
            self._scheduler.after(SECOND, self._attach)
            return
        end = len(self._log)
        self.standbys = [
            Standby(_copied(self._durable), end, synchronous=kind == 0)
            for kind, count in enumerate(self._counts)
            for _ in range(count)
        ]
        self.primary.received()


def is_writing(name: str, process: str) -> bool:
    """Return whether a session's name is that of one that writes. process: the beginning of the names of a process."""
    return name.startswith(process) and "writing" in name


def _copied(tables: Tables) -> Tables:
    return {name: dict(rows) for name, rows in tables.items()}
