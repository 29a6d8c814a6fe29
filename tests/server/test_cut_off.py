"""A broker that the database does not answer, and brokers that have taken its vhosts over."""

import asyncio

import pytest

from amqpbroker.server import cut_off
from amqpbroker.server.cut_off import CutOff
from amqpbroker.store.database.leadership import Leader, Target
from tests.management.brokers import LOST, REFUSED, Brokers
from tests.management.cluster import add_cluster, member

pytestmark = pytest.mark.asyncio


class Site:
    """Brokers a, b and c, of which a may be cut off. told: what it was told about leaders, since `clear`."""

    def __init__(self):
        self.brokers = Brokers("a", "b", "c")
        for name in "abc":
            add_cluster(self.brokers[name], member(name))
        self.is_cut_off = True
        self.asks = 0
        self.told = []
        others = [Leader(name, f"{name}:5672", f"process of {name}", Target("h", 1, name)) for name in "bc"]
        self.cut_off = CutOff(
            self.brokers["a"].peers, "/", self.may_have_ended, lambda: others, lambda *found: self.told.append(found)
        )

    def may_have_ended(self):
        self.asks += 1
        return self.is_cut_off

    async def asked(self):
        """Wait until it has asked the others again, or has found out that it need not."""
        before = self.asks
        async with asyncio.timeout(10):
            while self.asks < before + 4:
                await asyncio.sleep(0.001)

    def known(self):
        return {
            vhost: (leader.process, leader.epoch, leader.target.port) for vhost, leader in self.cut_off.leaders.items()
        }


@pytest.fixture
async def site(monkeypatch):
    monkeypatch.setattr(cut_off, "REQUEST_S", 0.001)
    made = Site()
    yield made
    made.cut_off.close()


async def test_the_leader_with_the_highest_epoch_that_any_broker_knows_counts(site):
    site.brokers["b"].node.cluster.led = [("v", "a", 3), ("w", "b", 2), ("x", "c", 1)]
    site.brokers["c"].node.cluster.led = [("v", "c", 4), ("w", "c", 1), ("x", "c", 1)]
    await site.asked()
    assert site.known() == {
        "v": ("process of c", 4, 1),
        "w": ("process of b", 2, 1),
        "x": ("process of c", 1, 1),
    }
    assert {(vhost, leader.name, leader.epoch) for vhost, leader in site.told} == {
        ("v", "c", 4),
        ("w", "b", 2),
        ("x", "c", 1),
    }
    assert ("b", "GET", "/api/leadership") in site.brokers.sent("a")


async def test_a_broker_that_reaches_the_database_asks_nobody(site):
    site.brokers["b"].node.cluster.led = [("v", "b", 2)]
    await site.asked()
    site.is_cut_off = False
    await site.asked()
    site.told.clear()
    before = len(site.brokers.sent("a"))
    await site.asked()
    assert site.known() == {}
    assert site.told == []
    assert len(site.brokers.sent("a")) == before


@pytest.mark.parametrize("fault", [REFUSED, LOST])
async def test_brokers_that_do_not_answer_say_nothing(site, fault):
    site.brokers.faults["b"] = fault
    site.brokers["b"].node.cluster.led = [("v", "b", 5)]
    site.brokers["c"].node.cluster.led = [("v", "c", 4)]
    await site.asked()
    assert site.known() == {"v": ("process of c", 4, 1)}
    del site.brokers.faults["b"]
    await site.asked()
    assert site.known() == {"v": ("process of b", 5, 1)}


async def test_leaders_that_are_not_known_here_are_left_out(site):
    site.brokers["b"].node.cluster.led = [("v", "d", 5), ("w", "a", 5)]
    await site.asked()
    assert site.known() == {}


async def test_an_invalid_answer_ends_nothing(site, caplog):
    site.brokers["b"].node.cluster.led = [("v", "b", 2)]
    site.brokers["c"].node.cluster.leaders = lambda: ["no leader"]
    await site.asked()
    site.brokers["c"].node.cluster.leaders = list
    await site.asked()
    assert site.known() == {"v": ("process of b", 2, 1)}
