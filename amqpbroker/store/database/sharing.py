"""The part of one broker in sharing the vhosts of a database: what it takes, leads, follows and hands over."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from amqpbroker.store.database.leadership import Leader
from amqpbroker.store.database.leaderships import Held, Leaderships
from amqpbroker.store.database.members import Row
from amqpbroker.store.database.placement import Vhost, moves, standbys, takers
from amqpbroker.store.database.placement_order import Broker, Order
from amqpbroker.store.database.vhost_logs import VhostLog

#: Free vhosts that a broker should have to take at most before others hand it more.
_AT_ONCE: Final = 8


class VhostServer(ABC):
    """Serves the vhosts that a broker leads. Its methods return at once."""

    @abstractmethod
    def serve(self, log: VhostLog, epoch: int) -> None:
        """Read what a vhost has stored, and serve it: this broker leads it now."""

    @abstractmethod
    def remove(self, log: VhostLog, epoch: int) -> None:
        """Remove what a deleted vhost has stored, which this broker leads and may have served."""

    @abstractmethod
    def lose(self, log: str, error: OSError) -> None:
        """Serve a vhost no longer, and write nothing: another broker leads it, or the database lacks its leadership."""

    @abstractmethod
    def hand_over(self, log: str, successor: str) -> None:
        """Serve a vhost no longer, write what is left, and release its leadership. successor: process of a broker."""

    @abstractmethod
    def follow(self, logs: Sequence[str]) -> None:
        """Follow the journals of these logs from now on, and of no others."""

    @abstractmethod
    def busy(self) -> Sequence[str]:
        """Return the logs of the vhosts that have clients."""


class Sharing:
    """Decides a step at a time, by what all brokers see, and carries out the part of this broker. Used by a thread.

    leaders: of vhosts, as of the last step; it is replaced as a whole, so that other threads may read it. steps: number
    of steps that are done.
    """

    def __init__(
        self,
        leaderships: Leaderships,
        process: str,
        read_logs: Callable[[], list[VhostLog]],
        read_members: Callable[[], list[Row]],
        server: VhostServer,
    ) -> None:
        """process: of this broker. read_logs, read_members: return the tables; raise OSError."""
        self.leaders: Mapping[str, Leader] = {}
        self.steps: int = 0
        self._leaderships = leaderships
        self._process = process
        self._read_logs = read_logs
        self._read_members = read_members
        self._server = server
        #: Logs that it tries to take, logs that it has handed over and not released yet, and logs that it removes.
        self._trying: set[str] = set()
        self._leaving: set[str] = set()
        self._removing: set[str] = set()
        #: Logs to release, with their successors.
        self._ended: dict[str, str] = {}
        self._order = Order((), _prefers_none)
        self._brokers: list[Broker] = []

    def step(self) -> None:
        """Renew what this broker leads, take what it should take, and hand over what others should lead.

        Raises OSError, after which the next call goes on.
        """
        self.release()
        for log, error in self._leaderships.renew(self._server.busy()).items():
            if log not in self._removing:
                self._server.lose(log, error)
        self._leaving &= self._leaderships.held.keys()
        self._removing &= self._leaderships.held.keys()
        rows, logs = self._read_members(), {log.name: log for log in self._read_logs()}
        own = [row.facts for row in rows if row.facts.process == self._process]
        if not own:
            # It has not reported yet.
            return
        me = identity(own[0].node, own[0].address)
        self._arrange(rows, logs)
        held = self._leaderships.all()
        vhosts = _view(logs, held, rows)
        self._try([log for log, taker in takers(vhosts, self._order).items() if taker == me], logs)
        self._remove(logs)
        self._hand_over(vhosts, rows, me)
        self._server.follow([log for log, standby in standbys(vhosts, self._order).items() if standby == me])
        led = {vhost.name for vhost in vhosts if vhost.leader}
        self.leaders = {logs[each.log].vhost: each.leader for each in held if each.log in led}
        self.steps += 1

    def release(self) -> None:
        """Release what the server has ended. Raises OSError, after which the next call goes on."""
        for log, successor in list(self._ended.items()):
            if log in self._leaderships.held:
                self._leaderships.release(log, successor)
            del self._ended[log]
            self._leaving.discard(log)
            self._removing.discard(log)

    def released(self, log: str, successor: str) -> None:
        """Release a leadership with the next step, unless it is lost: the server has written what was left."""
        self._ended[log] = successor

    def _arrange(self, rows: Iterable[Row], logs: Iterable[str]) -> None:
        brokers = [Broker(identity(row.facts.node, row.facts.address), row.running and not row.drained) for row in rows]
        if brokers != self._brokers:
            self._brokers, self._order = brokers, Order(brokers, _prefers_none)
        self._order.retain(logs)

    def _try(self, wanted: list[str], logs: dict[str, VhostLog]) -> None:
        for log in self._trying - set(wanted):
            self._leaderships.abandon(log)
        self._trying = set(wanted) - self._leaderships.held.keys()
        for log in sorted(self._trying):
            if self._leaderships.try_take(log):
                self._trying.discard(log)
                if not logs[log].removed:
                    self._server.serve(logs[log], self._leaderships.held[log])

    def _remove(self, logs: dict[str, VhostLog]) -> None:
        for log, epoch in self._leaderships.held.items():
            if log in logs and logs[log].removed and log not in self._removing:
                self._removing.add(log)
                self._server.remove(logs[log], epoch)

    def _hand_over(self, vhosts: list[Vhost], rows: Iterable[Row], me: str) -> None:
        processes = {identity(row.facts.node, row.facts.address): row.facts.process for row in rows if row.running}
        for log, successor in moves(vhosts, self._order, at_once=_AT_ONCE).items():
            if log in self._leaderships.held and log not in self._leaving | self._removing and successor != me:
                self._leaving.add(log)
                self._server.hand_over(log, processes[successor])


def identity(node: str, address: str) -> str:
    """Return the identity of a broker, which it has again after a restart."""
    return f"{node} {address}"


def _view(logs: Iterable[str], held: Iterable[Held], rows: Iterable[Row]) -> list[Vhost]:
    """Return the vhosts as all brokers see them.

    A leader whose process has ended leads no more, although its lease may go on.
    """
    running = {row.facts.process: identity(row.facts.node, row.facts.address) for row in rows if row.running}
    found = {each.log: each for each in held}
    vhosts = []
    for log in logs:
        each = found.get(log)
        if each is None:
            vhosts.append(Vhost(log))
            continue
        leader = _identity_of(each.leader)
        if each.valid and each.leader.process in running:
            vhosts.append(Vhost(log, leader, each.busy))
        else:
            vhosts.append(Vhost(log, "", False, leader, running.get(each.successor, "")))
    return vhosts


def _identity_of(leader: Leader) -> str:
    return identity(leader.name, leader.address)


def _prefers_none(pattern: str, vhost: str) -> bool:
    return False
