"""The brokers of one database, with a table in memory."""

import asyncio

import pytest

from amqpbroker.broker.cluster import Change, RefusedError, UnknownBrokerError
from amqpbroker.server.cluster import DatabaseCluster, named
from amqpbroker.store.database.members import Facts, Row
from amqpbroker.store.log import UnwrittenError


def row(process, node="", address="", running=True, drained=False, lag_s=None):
    facts = Facts(process, node or f"{process}@host", address or f"{process}.example:5672", "1.0")
    return Row(facts, running, drained, 1, 2, lag_s)


class Table:
    """The table of the broker `a`."""

    facts = row("a").facts

    def __init__(self, *rows):
        self.brokers = {each.facts.process: each for each in rows}
        self.yielded = []
        self.fails = False

    def rows(self):
        return list(self.brokers.values())

    def set_drained(self, process, drained):
        self.brokers[process] = self.brokers[process]._replace(drained=drained)

    def yield_to(self, successor):
        if self.fails:
            raise UnwrittenError(5, "gone")
        self.yielded.append(successor)


class Setting:
    """The cluster of `a` with other brokers. handed_over: number of times that it was told."""

    def __init__(self, *others):
        self.table = Table(*others[:1], row("a"), *others[1:])
        self.cluster = DatabaseCluster(asyncio.get_running_loop(), self.table)
        self.handed_over = 0
        self.cluster.watch(self._count)

    def _count(self):
        self.handed_over += 1

    @property
    def drained(self):
        return {process for process, each in self.table.brokers.items() if each.drained}


async def test_members_begin_with_the_leader():
    setting = Setting(row("b"), row("c", running=False))
    members = await setting.cluster.members()
    assert [(member.name, member.leader, member.running) for member in members] == [
        ("a@host", True, True),
        ("b@host", False, True),
        ("c@host", False, False),
    ]


def test_members_with_the_same_name_have_their_addresses():
    rows = [
        row("p", "amqpbroker@localhost", "10.0.0.1:5672"),
        row("q", "amqpbroker@localhost", "10.0.0.2:5672"),
        row("r", "other@host"),
        row("s", "twin@host", "h:1"),
        row("t", "twin@host", "h:1"),
    ]
    assert [member.name for member in named(rows, "r")] == [
        "other@host",
        "amqpbroker@10.0.0.1:5672",
        "amqpbroker@10.0.0.2:5672",
        "twin@h:1-s",
        "twin@h:1-t",
    ]


async def test_leadership_is_transferred_to_any_broker():
    setting = Setting(row("b"), row("c"))
    assert not setting.cluster.yield_leadership()
    assert await setting.cluster.transfer("", "") == Change("", True)
    assert setting.handed_over == 1
    assert setting.cluster.yield_leadership()
    assert setting.table.yielded == [""]


async def test_the_only_other_broker_is_named():
    setting = Setting(row("b"), row("c", running=False), row("d", drained=True))
    assert await setting.cluster.transfer("", "") == Change("b@host", True)


async def test_the_broker_that_is_behind_least_is_preferred():
    setting = Setting(row("b"), row("c", lag_s=0.3), row("d", lag_s=0.1), row("e", lag_s=0.0, running=False))
    assert await setting.cluster.transfer("", "") == Change("d@host", True)
    assert setting.cluster.yield_leadership()
    assert setting.table.yielded == ["d"]


@pytest.mark.parametrize("name", ["b@host", "b.example:5672", "b"])
async def test_leadership_is_transferred_to_the_broker_that_is_named(name):
    setting = Setting(row("b"), row("c"))
    assert await setting.cluster.transfer("", name) == Change("b@host", True)
    assert setting.cluster.yield_leadership()
    assert setting.table.yielded == ["b"]


async def test_a_transfer_to_the_leader_changes_nothing():
    setting = Setting(row("b"))
    assert await setting.cluster.transfer("", "a@host") == Change("a@host", False)
    assert setting.handed_over == 0


@pytest.mark.parametrize(
    ("others", "name", "reason"),
    [
        ([], "", "no other broker can lead: start another one"),
        ([row("b", drained=True), row("c", running=False)], "", "no other broker can lead: start another one"),
        (
            [row("b", drained=True)],
            "b@host",
            r"b@host cannot lead, since it is drained: revive it first .*revive b@host",
        ),
        ([row("b", running=False)], "b@host", "b@host cannot lead, since it does not run: start it first"),
    ],
)
async def test_a_transfer_to_no_broker_that_could_lead_is_refused(others, name, reason):
    setting = Setting(*others)
    with pytest.raises(RefusedError, match=reason):
        await setting.cluster.transfer("", name)
    assert setting.handed_over == 0


async def test_an_unknown_broker_is_refused_with_the_known_ones():
    setting = Setting(row("b", "same@host", "h:1"), row("c", "same@host", "h:2"))
    for name in ("x", "same@host"):
        for request in (
            setting.cluster.transfer("", name),
            setting.cluster.drain(name, ""),
            setting.cluster.revive(name, ""),
        ):
            with pytest.raises(UnknownBrokerError, match="name one of a@host, same@h:1, same@h:2"):
                await request
    with pytest.raises(UnknownBrokerError, match="not known yet"):
        await setting.cluster.drain("", "z")


async def test_a_waiting_broker_is_drained_and_revived():
    setting = Setting(row("b"), row("c"))
    assert await setting.cluster.drain("b@host", "c") == Change("b@host", False)
    assert await setting.cluster.drain("", "c") == Change("c@host", False)
    assert setting.drained == {"b", "c"}
    assert await setting.cluster.revive("", "c") == Change("c@host", False)
    assert setting.drained == {"b"}
    assert setting.handed_over == 0


async def test_a_drained_leader_hands_over():
    setting = Setting(row("b"), row("c", lag_s=0.3))
    assert await setting.cluster.drain("", "") == Change("a@host", True)
    assert (setting.drained, setting.handed_over) == ({"a"}, 1)
    assert setting.cluster.yield_leadership()
    assert setting.table.yielded == ["c"]


@pytest.mark.parametrize("other", [row("b", running=False), row("b", drained=True)])
async def test_the_last_broker_that_may_lead_is_not_drained(other):
    setting = Setting(other)
    before = setting.drained
    with pytest.raises(RefusedError, match="no broker could lead if a@host were drained"):
        await setting.cluster.drain("", "")
    assert (setting.drained, setting.handed_over) == (before, 0)


async def test_a_leader_that_hands_over_refuses_further_requests():
    setting = Setting(row("b"), row("c"))
    await setting.cluster.transfer("", "b")
    for request in (setting.cluster.transfer("", "c"), setting.cluster.drain("c", "")):
        with pytest.raises(RefusedError, match="the leadership is being handed over"):
            await request
    assert (setting.drained, setting.handed_over) == (set(), 1)


async def test_two_requests_at_once_do_not_drain_all_brokers():
    setting = Setting(row("b"))
    drains = (setting.cluster.drain("b", ""), setting.cluster.drain("a", ""))
    found = await asyncio.gather(*drains, return_exceptions=True)
    assert found[0] == Change("b@host", False)
    assert isinstance(found[1], RefusedError)
    assert setting.drained == {"b"}


async def test_a_database_that_is_away_at_the_end_does_not_stop_the_transfer(caplog):
    setting = Setting(row("b"))
    await setting.cluster.transfer("", "")
    setting.table.fails = True
    assert setting.cluster.yield_leadership()
    assert "any broker may take the leadership" in caplog.text
