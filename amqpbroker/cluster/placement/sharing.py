"""The part of one broker in sharing the vhosts of a database: what it takes, leads, follows and hands over."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from amqpbroker.cluster.leadership.leadership import Leader
from amqpbroker.cluster.leadership.leaderships import Held, Leaderships
from amqpbroker.cluster.leadership.members import Facts, Row
from amqpbroker.cluster.placement.order import Broker, Order
from amqpbroker.cluster.placement.placement import Vhost, followers, moves, takers
from amqpbroker.cluster.placement.sharing_view import (
    Prefers,
    brokers_of,
    identity_of,
    matcher,
    prefers_none,
    processes_of,
    vhosts_of,
)
from amqpbroker.store.database.session import TimedConnection
from amqpbroker.store.database.vhost_logs import VhostLog

#: Free vhosts that a broker should have to take at most before others hand it more.
_AT_ONCE: Final = 8
#: Steps in which a broker reads the journal of a vhost that it is to get, while its leader serves the clients. Then it
#: reads the rest when it leads, and the clients wait.
_PREPARING_STEPS: Final = 120
#: Steps in which a vhost that had clients does not move by itself, from when it is served after a takeover: they
#: connect again, many of them some seconds later.
SETTLING_STEPS: Final = 24


class VhostServer(ABC):
    """Serves the vhosts that a broker leads. Its methods return at once."""

    @abstractmethod
    def serve(self, log: VhostLog, epoch: int) -> None:
        """Read what a vhost has stored, and serve it: this broker leads it now."""

    @abstractmethod
    def remove(self, log: VhostLog, epoch: int) -> None:
        """Remove what a deleted vhost has stored, which this broker leads and may have served."""

    @abstractmethod
    def lose(self, log: str, epoch: int, error: OSError) -> None:
        """Serve a vhost no longer, and write nothing: another broker leads it, or the database lacks its leadership.

        epoch: in which this broker has led it.
        """

    @abstractmethod
    def hand_over(self, log: str, epoch: int, successor: str) -> None:
        """Serve a vhost no longer, write what is left, and release its leadership.

        epoch: in which this broker leads it. successor: process of a broker.
        """

    @abstractmethod
    def check(self, connection: TimedConnection) -> None:
        """Check that the database has what was written last to each log that is served: it may be another server.

        connection: for reading. Raises psycopg.Error.
        """

    @abstractmethod
    def follow(self, logs: Sequence[str]) -> None:
        """Follow the journals of these logs from now on, and of no others."""

    @abstractmethod
    def has_followed(self, log: str) -> bool:
        """Return whether the journal of a log that is followed was read to its end."""

    @abstractmethod
    def serves(self, log: str) -> bool:
        """Return whether clients of a log are served, whose messages are read."""

    @abstractmethod
    def busy(self) -> Sequence[str]:
        """Return the logs of the vhosts that have clients."""


class Sharing:
    """Decides a step at a time, by what all brokers see, and carries out the part of this broker. Used by a thread.

    leaders: of vhosts, as of the last step. led: the same with the names of the logs. members: the brokers in the
    table; running: the processes of those that run; drained: this broker may not lead; all as of the last step, too.
    Other threads may read them, since they are replaced as a whole. steps: number of steps that are done. may_end: as
    of the last step, other brokers are ready to take all vhosts here that have clients, or there is no other broker.
    """

    def __init__(
        self,
        leaderships: Leaderships,
        process: str,
        read_logs: Callable[[], list[VhostLog]],
        read_members: Callable[[], list[Row]],
        server: VhostServer,
        prefers: Prefers = prefers_none,
    ) -> None:
        """process: of this broker. read_logs, read_members: return the tables; raise OSError.

        prefers: returns whether the pattern of a broker matches a vhost.
        """
        self.leaders: Mapping[str, Leader] = {}
        self.led: Sequence[tuple[str, str, Leader]] = ()
        self.members: Sequence[Facts] = ()
        self.running: Collection[str] = ()
        self.drained: bool = False
        self.steps: int = 0
        self.may_end: bool = True
        self._leaderships = leaderships
        self._process = process
        self._read_logs = read_logs
        self._read_members = read_members
        self._server = server
        #: Logs that an operator has moved here, which do not move by themselves, and the steps since which logs are
        #: served that had clients when they were taken.
        self._placed: set[str] = set()
        self._taken: dict[str, int] = {}
        #: Logs that an operator wants this broker to take, and the steps at which this was seen first.
        self._asked: dict[str, int] = {}
        #: Logs that this broker keeps until another one is ready to take them, with the steps at which that began.
        self._kept: dict[str, int] = {}
        #: Names of vhosts by their logs.
        self._names: dict[str, str] = {}
        self._matches = matcher(self._names, prefers)
        #: Logs that it tries to take, logs that it has handed over and not released yet, and logs that it removes.
        self._trying: set[str] = set()
        self._leaving: set[str] = set()
        self._removing: set[str] = set()
        #: Number of the connection at the last check of what is served.
        self._checked_on: int = 0
        #: Logs to release, with the epochs of their leaderships and their successors.
        self._ended: dict[str, tuple[int, str]] = {}
        self._order = Order((), prefers_none)
        self._brokers: list[Broker] = []
        self._ends: bool = False

    def end(self) -> None:
        """Only renew and release from the next step on: this broker ends. Called on any thread."""
        self._ends = True

    def step(self) -> None:
        """Renew what this broker leads, take what it should take, and hand over what others should lead.

        Raises OSError, after which the next call goes on.
        """
        self.release()
        led = dict(self._leaderships.held)
        for log, error in self._leaderships.renew(self._staying()).items():
            if log not in self._removing:
                self._server.lose(log, led[log], error)
        if self._checked_on != (connections := self._leaderships.connections):
            self._leaderships.run(self._server.check)
            self._checked_on = connections
        self._leaving &= self._leaderships.held.keys()
        self._removing &= self._leaderships.held.keys()
        if self._ends:
            return
        rows, logs = self._read_members(), {log.name: log for log in self._read_logs()}
        own = next((row for row in rows if row.facts.process == self._process), None)
        if own is None:
            # It has not reported yet.
            return
        me = identity_of(own.facts)
        self._arrange(rows, logs)
        held = self._leaderships.all()
        vhosts = vhosts_of(logs, held, rows)
        self._try([log for log, taker in takers(vhosts, self._order).items() if taker == me], logs, held)
        self._remove(logs)
        self._cancel_requests(held, rows)
        moving = moves(vhosts, self._order, at_once=_AT_ONCE)
        self._hand_over(moving, vhosts, rows, me)
        self._accept_requests(held)
        followed = followers(vhosts, self._order)
        # The broker that each log is to move to, or else its next standby, reports that it has read the journal.
        next_ready = {**{log: brokers[0] for log, brokers in followed.items()}, **moving}
        mine = {log for log, broker in next_ready.items() if broker == me}
        self._report_ready(mine, held)
        self._follow(mine.union(self._asked, [log for log, brokers in followed.items() if me in brokers]), logs)
        with_clients = [vhost for vhost in vhosts if vhost.leader == me and vhost.has_clients]
        self.may_end = {me}.issuperset(self._order.brokers) or all(map(self._may_leave, with_clients))
        with_leader = {vhost.name for vhost in vhosts if vhost.leader}
        self.led = [
            (logs[each.log].vhost, each.log, each.leader)
            for each in held
            if each.log in with_leader and not logs[each.log].removed
        ]
        self.leaders = {vhost: leader for vhost, _, leader in self.led}
        members = tuple(row.facts for row in rows)
        if members != self.members:
            self.members = members
        self.running = {row.facts.process for row in rows if row.running}
        self.drained = own.drained
        self.steps += 1

    def release(self) -> None:
        """Release what the server has ended. Raises OSError, after which the next call goes on."""
        for log, (epoch, successor) in list(self._ended.items()):
            if self._leaderships.held.get(log) == epoch:
                self._leaderships.release(log, successor)
                self._leaving.discard(log)
                self._removing.discard(log)
            del self._ended[log]

    def released(self, log: str, epoch: int, successor: str) -> None:
        """Release a leadership with the next step, unless it is lost: the server has written what was left."""
        self._ended[log] = (epoch, successor)

    def _staying(self) -> list[str]:
        """Return the logs of this broker that do not move by themselves."""
        self._placed &= self._leaderships.held.keys()
        settling = {
            log: step if self._server.serves(log) else self.steps
            for log, step in self._taken.items()
            if log in self._leaderships.held
        }
        self._taken = {log: step for log, step in settling.items() if self.steps - step < SETTLING_STEPS}
        return [*{*self._server.busy(), *self._placed, *self._taken}]

    def _arrange(self, rows: Iterable[Row], logs: Mapping[str, VhostLog]) -> None:
        brokers = brokers_of(rows)
        self._names.clear()
        self._names.update({name: log.vhost for name, log in logs.items()})
        if brokers != self._brokers:
            self._brokers, self._order = brokers, Order(brokers, self._matches)
        self._order.retain(logs)
        self._leaderships.retain(logs.keys())

    def _try(self, wanted: list[str], logs: dict[str, VhostLog], held: Iterable[Held]) -> None:
        earlier = {each.log: each for each in held}
        for log in self._trying - set(wanted):
            self._leaderships.abandon(log)
        self._trying = set(wanted) - self._leaderships.held.keys()
        for log in sorted(self._trying):
            if self._leaderships.try_take(log):
                self._trying.discard(log)
                if log in earlier and earlier[log].busy:
                    self._taken[log] = self.steps
                if log in earlier and earlier[log].wanted == self._process:
                    self._placed.add(log)
                if not logs[log].removed:
                    self._server.serve(logs[log], self._leaderships.held[log])

    def _remove(self, logs: dict[str, VhostLog]) -> None:
        for log, epoch in self._leaderships.held.items():
            if log in logs and logs[log].removed and log not in self._removing:
                self._removing.add(log)
                self._server.remove(logs[log], epoch)

    def _cancel_requests(self, held: Iterable[Held], rows: Iterable[Row]) -> None:
        """Cancel requests of operators that cannot be carried out, which nobody expects any more later."""
        able = {row.facts.process for row in rows if row.running and not row.drained}
        cancelled = [
            each.log
            for each in held
            if each.wanted
            and each.leader.process == self._process
            and each.log in self._leaderships.held
            and (each.wanted not in able or each.wanted == self._process)
        ]
        if cancelled:
            self._leaderships.cancel_requests(cancelled)

    def _accept_requests(self, held: Iterable[Held]) -> None:
        """Accept requests of operators to take logs when their journals are read, so that clients hardly wait."""
        requests = {
            each.log: each
            for each in held
            if each.wanted == self._process and each.valid and each.leader.process != self._process
        }
        self._asked = {log: self._asked.get(log, self.steps) for log in requests}
        accepted = [
            log
            for log, step in self._asked.items()
            if not requests[log].accepted and (self._server.has_followed(log) or self.steps - step >= _PREPARING_STEPS)
        ]
        if accepted:
            self._leaderships.accept_requests(accepted)

    def _follow(self, wanted: Iterable[str], logs: dict[str, VhostLog]) -> None:
        held = self._leaderships.held
        self._server.follow(sorted(log for log in wanted if log in logs and log not in held and not logs[log].removed))

    def _report_ready(self, followed: Iterable[str], held: Iterable[Held]) -> None:
        """Tell the other brokers which of these logs this one has followed so far that it can take them at once.

        After a failover of the database it has to read them again.
        """
        led = [each for each in held if each.valid and each.log not in self._leaderships.held]
        others = {each.log for each in led if each.ready != self._process}
        ready = [log for log in followed if log in others and self._server.has_followed(log)]
        if ready:
            self._leaderships.set_ready(ready)
        lost = [each.log for each in led if each.ready == self._process and not self._server.has_followed(each.log)]
        if lost:
            self._leaderships.clear_ready(lost)

    def _may_leave(self, vhost: Vhost) -> bool:
        """Return whether a broker is ready to take a vhost from its leader."""
        return vhost.ready != vhost.leader and self._order.is_able(vhost.ready)

    def _hand_over(self, moving: Mapping[str, str], vhosts: Iterable[Vhost], rows: Iterable[Row], me: str) -> None:
        """Hand logs over to brokers that are ready, and to others after some time, since clients wait while these read.

        moving: identities of the brokers that should get logs of this broker and of others.
        """
        processes = processes_of(rows)
        leaving = {
            vhost: moving[vhost.name]
            for vhost in vhosts
            if vhost.name in moving
            and vhost.name in self._leaderships.held
            and vhost.name not in self._leaving | self._removing
            and moving[vhost.name] != me
        }
        self._kept = {
            vhost.name: self._kept.get(vhost.name, self.steps)
            for vhost, successor in leaving.items()
            if successor not in (vhost.ready, vhost.wanted)
        }
        for vhost, successor in leaving.items():
            if vhost.name not in self._kept or self.steps - self._kept[vhost.name] >= _PREPARING_STEPS:
                self._leaving.add(vhost.name)
                self._server.hand_over(vhost.name, self._leaderships.held[vhost.name], processes[successor])
