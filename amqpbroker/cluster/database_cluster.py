"""The brokers that share the vhosts of a database, as each of them shows and changes them.

Requests of operators are written to the tables of the database, and the brokers that they concern carry them out.
"""

import asyncio
import errno
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple, TypeVar

from amqpbroker.broker.cluster import (
    Change,
    Cluster,
    Leading,
    Member,
    Move,
    RefusedError,
    UnknownBrokerError,
    UnknownVhostError,
)
from amqpbroker.cluster.broker_names import distinct_names, found
from amqpbroker.cluster.leadership.leaderships import Held, read_held, request_moves
from amqpbroker.cluster.leadership.members import Facts, Members, Row
from amqpbroker.cluster.placement.order import Order
from amqpbroker.cluster.placement.placement import moves, standby
from amqpbroker.cluster.placement.sharing import Sharing
from amqpbroker.cluster.placement.sharing_view import Prefers, brokers_of, matcher, processes_of, vhosts_of
from amqpbroker.server.log import in_one_line
from amqpbroker.store.database.fence import LOG
from amqpbroker.store.database.session import TimedConnection
from amqpbroker.store.database.vhost_logs import read_logs
from amqpbroker.store.log import UnwrittenError

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Requests that use the tables at the same time.
_WORKERS: Final = 2

_START_ANOTHER = (
    "start another one with the same database, or revive one that is drained (amqpbroker ctl revive BROKER)"
)


class _Seen(NamedTuple):
    """The tables at one time. held: leaderships by log. vhosts: by log, without deleted ones."""

    rows: list[Row]
    held: dict[str, Held]
    vhosts: dict[str, str]

    @property
    def running(self) -> set[str]:
        return {row.facts.process for row in self.rows if row.running}

    def leader(self, log_name: str) -> str:
        """Return the process that leads a log, empty if none does."""
        held = self.held.get(log_name)
        return held.leader.process if held is not None and held.valid and held.leader.process in self.running else ""

    def order(self, prefers: Prefers) -> Order:
        return Order(brokers_of(self.rows), matcher({**self.vhosts, LOG: ""}, prefers))


class DatabaseCluster(Cluster):
    """The brokers in the tables of a database, on any of them, until `close`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        table: Members,
        sharing: Sharing,
        prefers: Prefers,
        serves: Callable[[str], bool],
        lag_s: Callable[[], float | None],
        may_have_ended: Callable[[], bool],
        may_be_taken: Callable[[], bool] | None = None,
    ) -> None:
        """sharing: of this broker. prefers: returns whether the pattern of a broker matches a vhost.

        serves: returns whether this broker serves a vhost. lag_s: returns the lag of this broker, as in `Member`.
        may_have_ended, may_be_taken: see Leaderships; without the second, the first counts.
        """
        self.process = table.facts.process
        self._loop = loop
        self._table = table
        self._sharing = sharing
        self._prefers = prefers
        self._serves = serves
        self._lag_s = lag_s
        self._may_have_ended = may_have_ended
        self._may_be_taken = may_be_taken or may_have_ended
        # A separate pool, because its threads wait while the database does not answer. Lookups of host addresses, which
        # use the default one, must not wait then.
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="tables")
        self._is_closed: bool = False
        self._named: tuple[Sequence[Facts], dict[str, str]] = ((), {})

    async def close(self) -> None:
        """Answer no further request; return when none is under way."""
        self._is_closed = True
        await self._loop.run_in_executor(None, partial(self._workers.shutdown, cancel_futures=True))

    async def members(self) -> list[Member]:
        return self._members(await self._read())

    @property
    def name(self) -> str:
        return self._last_names().get(self.process, self._table.facts.node)

    def leader_of(self, vhost: str) -> str:
        if self._serves(vhost):
            # The last step may have been before it took the vhost.
            return self.name
        leader = self._sharing.leaders.get(vhost)
        return "" if leader is None else self._last_names().get(leader.process, leader.name)

    def leaders(self) -> list[Leading]:
        names = self._last_names()
        return [
            Leading(vhost, log_name, names.get(leader.process, leader.name), leader.process, leader.epoch)
            for vhost, log_name, leader in self._sharing.led
        ]

    def reaches_database(self) -> bool:
        return not self._may_have_ended()

    def leads_surely(self) -> bool:
        return not self._may_be_taken()

    def is_drained(self) -> bool:
        return self._sharing.drained

    def _last_names(self) -> dict[str, str]:
        """Return the names of the brokers as of the last step, by process."""
        brokers = self._sharing.members
        if brokers is not self._named[0]:
            self._named = brokers, distinct_names(list(brokers))
        return self._named[1]

    def lag_s(self) -> float | None:
        return self._lag_s()

    async def transfer(self, vhost: str, name: str) -> Change:
        seen = await self._read()
        of = next((log_name for log_name, each in seen.vhosts.items() if each == vhost), "")
        if not of:
            raise UnknownVhostError(f"vhost '{vhost}' does not exist")
        members = self._members(seen)
        leader = next((member for member in members if member.process == seen.leader(of)), None)
        if leader is None:
            raise RefusedError(f"no broker leads vhost '{vhost}' at the moment: repeat the request later")
        target = found(members, name) if name else self._standby(seen, of, members)
        if target is leader:
            return Change(target.name, False)
        if target.drained or not target.running:
            reason = (
                f"is drained: revive it first (amqpbroker ctl revive {target.name})"
                if target.drained
                else "does not run: start it first"
            )
            raise RefusedError(f"{target.name} cannot lead, since it {reason}")
        if of not in await self._request([(seen.held[of], target.process)]):
            raise RefusedError(f"vhost '{vhost}' has just got another leader: repeat the request")
        log.warning("vhost '%s' is to be handed over from %s to %s", in_one_line(vhost), leader.name, target.name)
        return Change(target.name, True)

    async def rebalance(self) -> list[Move]:
        seen = await self._read()
        names, processes = self._names(seen), processes_of(seen.rows)
        vhosts = vhosts_of([LOG, *seen.vhosts], seen.held.values(), seen.rows)
        wanted = moves(vhosts, seen.order(self._prefers), with_clients=True)
        wanted.pop(LOG, None)
        asked = await self._request([(seen.held[of], processes[target]) for of, target in wanted.items()])
        if asked:
            log.warning("vhosts to be handed over to other brokers: %d", len(asked))
        return [
            Move(seen.vhosts[of], names[seen.held[of].leader.process], names[processes[target]])
            for of, target in wanted.items()
            if of in asked
        ]

    async def drain(self, name: str) -> Change:
        seen = await self._read()
        member = self._chosen(self._members(seen), name)
        if not await self._run(partial(self._table.drain, member.process)):
            raise RefusedError(f"no broker could lead if {member.name} were drained: {_START_ANOTHER}")
        log.warning("%s is drained: it leads no vhost until it is revived or started again", member.name)
        led = sorted(vhost for of, vhost in seen.vhosts.items() if seen.leader(of) == member.process)
        return Change(member.name, bool(led or member.leader), tuple(led))

    async def revive(self, name: str) -> Change:
        member = self._chosen(await self.members(), name)
        await self._run(partial(self._table.set_drained, member.process, False))
        log.warning("%s may lead", member.name)
        return Change(member.name, False)

    def _standby(self, seen: _Seen, of: str, members: list[Member]) -> Member:
        """Return the broker that would take a log if its leader ended. Raises RefusedError."""
        (vhost,) = vhosts_of([of], seen.held.values(), seen.rows)
        process = processes_of(seen.rows).get(standby(vhost, seen.order(self._prefers)))
        for member in members:
            if member.process == process:
                return member
        raise RefusedError(f"no other broker can lead: {_START_ANOTHER}")

    def _chosen(self, members: list[Member], name: str) -> Member:
        if name:
            return found(members, name)
        for member in members:
            if member.process == self.process:
                return member
        raise UnknownBrokerError("this broker is not in the table of brokers yet: repeat the request")

    def _members(self, seen: _Seen) -> list[Member]:
        names, writer = self._names(seen), seen.leader(LOG)
        led = Counter(seen.leader(of) for of in seen.vhosts)
        members = [
            Member(
                names[row.facts.process], row.facts.node, row.facts.process, row.facts.address, row.facts.version,
                row.running, row.facts.process == writer, row.drained, row.started_ms, row.seen_ms, row.lag_s,
                led[row.facts.process],
            )
            for row in seen.rows
        ]  # fmt: skip
        return sorted(members, key=lambda member: member.process != self.process)

    def _names(self, seen: _Seen) -> dict[str, str]:
        return distinct_names([row.facts for row in seen.rows])

    async def _read(self) -> _Seen:
        return await self._run(self._seen)

    def _seen(self) -> _Seen:
        def read(connection: TimedConnection) -> tuple[list[Held], dict[str, str]]:
            logs = {each.name: each.vhost for each in read_logs(connection) if not each.removed}
            return read_held(connection), logs

        rows = self._table.rows()
        held, vhosts = self._table.run(read)
        return _Seen(rows, {each.log: each for each in held}, vhosts)

    async def _request(self, wanted: list[tuple[Held, str]]) -> set[str]:
        """Ask leaders to hand logs over, each to a process; return the logs that still have these leaders."""
        if not wanted:
            return set()
        return await self._run(partial(self._table.run, partial(request_moves, wanted)))

    async def _run(self, task: Callable[[], T]) -> T:
        """Run a task on a worker. Raises OSError, at once if the database has not answered for the time of a lease."""
        if self._is_closed:
            raise UnwrittenError(errno.EIO, "this broker ends")
        self._require_answers()
        return await self._loop.run_in_executor(self._workers, partial(self._answered, task))

    def _answered(self, task: Callable[[], T]) -> T:
        """Run a task that may have waited for others."""
        self._require_answers()
        return task()

    def _require_answers(self) -> None:
        if self._may_have_ended():
            raise UnwrittenError(errno.EIO, "the database does not answer this broker")
