"""The brokers of one database, as their leader shows and changes them."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from amqpbroker.broker.cluster import Change, Cluster, Member, Move, RefusedError, UnknownBrokerError
from amqpbroker.server.broker_names import distinct_names, found
from amqpbroker.store.database.members import Members, Row

T = TypeVar("T")

log = logging.getLogger(__name__)


class DatabaseCluster(Cluster):
    """The brokers in the table of a database, on the leader."""

    def __init__(self, loop: asyncio.AbstractEventLoop, members: Members) -> None:
        self._loop = loop
        self._table = members
        self.process = members.facts.process
        self._on_hand_over: Callable[[], None] = _nothing
        #: Process of the broker that is to lead, empty for any, None if this one goes on to lead.
        self._successor: str | None = None
        self._changing = asyncio.Lock()

    async def members(self) -> list[Member]:
        rows = await self._run(self._table.rows)
        return named(rows, self._table.facts.process)

    def leader_of(self, vhost: str) -> str:
        return self._table.facts.node

    async def rebalance(self) -> list[Move]:
        raise RefusedError("one broker leads all vhosts, so there is nothing to rebalance")

    async def transfer(self, vhost: str, name: str) -> Change:
        async with self._changing:
            self._require_leading()
            members = await self.members()
            able = _able(members)
            if not name:
                if not able:
                    raise RefusedError(
                        "no other broker can lead: start another one with the same database, or revive one that is"
                        " drained (amqpbroker ctl revive BROKER)"
                    )
                return Change(self._hand_over_to_best(able), True)
            member = found(members, name)
            if member.leader:
                return Change(member.name, False)
            if member not in able:
                reason = (
                    f"is drained: revive it first (amqpbroker ctl revive {member.name})"
                    if member.drained
                    else "does not run: start it first"
                )
                raise RefusedError(f"{member.name} cannot lead, since it {reason}")
            self._hand_over(member.process, member.name)
            return Change(member.name, True)

    async def drain(self, name: str, through: str) -> Change:
        async with self._changing:
            self._require_leading()
            members = await self.members()
            member = self._chosen(members, name, through)
            others = [one for one in members if one.running and not one.drained and one is not member]
            if not others:
                raise RefusedError(
                    f"no broker could lead if {member.name} were drained: start another one with the same database, or"
                    " revive one that is drained (amqpbroker ctl revive BROKER)"
                )
            await self._run(partial(self._table.set_drained, member.process, True))
            log.warning("%s is drained: it does not lead until it is revived or started again", member.name)
            if member.leader:
                self._hand_over_to_best(others)
            return Change(member.name, member.leader)

    async def revive(self, name: str, through: str) -> Change:
        async with self._changing:
            member = self._chosen(await self.members(), name, through)
            await self._run(partial(self._table.set_drained, member.process, False))
            log.warning("%s may lead", member.name)
            return Change(member.name, False)

    def watch(self, on_hand_over: Callable[[], None]) -> None:
        self._on_hand_over = on_hand_over

    def yield_leadership(self) -> bool:
        """Leave the leadership to the successor, before it is given up; return whether it is handed over."""
        if self._successor is None:
            return False
        try:
            self._table.yield_to(self._successor)
        except OSError as error:
            log.warning("%s; any broker may take the leadership", error)
        return True

    def _chosen(self, members: list[Member], name: str, through: str) -> Member:
        if name:
            return found(members, name)
        process = through or self._table.facts.process
        for member in members:
            if member.process == process:
                return member
        raise UnknownBrokerError("the broker that got this request is not known yet: name it, or repeat the request")

    def _require_leading(self) -> None:
        if self._successor is not None:
            raise RefusedError("the leadership is being handed over: repeat the request when another broker leads")

    def _hand_over_to_best(self, able: list[Member]) -> str:
        """Hand over to the broker that is behind least, and return its name.

        If that is not known, hand over to any broker, and return an empty name.
        """
        best = min(able, key=lambda member: float("inf") if member.lag_s is None else member.lag_s)
        known = best.lag_s is not None or len(able) == 1
        self._hand_over(best.process if known else "", best.name if known else "any other broker")
        return best.name if known else ""

    def _hand_over(self, successor: str, name: str) -> None:
        log.warning("the leadership is handed over to %s", name)
        self._successor = successor
        self._on_hand_over()

    async def _run(self, task: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(None, task)


def named(rows: list[Row], leader: str) -> list[Member]:
    """Return the members of a table with distinct names, the leader first. leader: its process."""
    names = distinct_names([row.facts for row in rows])
    members = [
        Member(
            names[row.facts.process], row.facts.node, row.facts.process, row.facts.address, row.facts.version,
            row.running, row.facts.process == leader, row.drained, row.started_ms, row.seen_ms, row.lag_s,
        )
        for row in rows
    ]  # fmt: skip
    return sorted(members, key=lambda member: not member.leader)


def _able(members: list[Member]) -> list[Member]:
    """Return the brokers that could take the leadership at once."""
    return [member for member in members if member.running and not member.drained and not member.leader]


def _nothing() -> None:
    pass
