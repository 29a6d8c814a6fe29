"""A broker that the database does not answer, and brokers that have taken its vhosts over."""

import asyncio
import json

import pytest

from amqpbroker.cluster import partition_monitor
from amqpbroker.cluster.leadership.leadership import Leader, Target
from amqpbroker.cluster.partition_monitor import PartitionMonitor
from tests.cluster.requests.brokers import LOST, REFUSED, Brokers
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
        self.partition_monitor = PartitionMonitor(
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
            vhost: (leader.process, leader.epoch, leader.target.port)
            for vhost, leader in self.partition_monitor.leaders.items()
        }


@pytest.fixture
async def site(monkeypatch):
    monkeypatch.setattr(partition_monitor, "REQUEST_S", 0.001)
    made = Site()
    yield made
    made.partition_monitor.close()


async def test_the_leader_with_the_highest_epoch_that_any_broker_knows_counts(site):
    site.brokers["b"].node.cluster.led = [("v", "a", 3), ("w", "b", 2), ("x", "c", 1)]
    site.brokers["c"].node.cluster.led = [("v", "c", 4), ("w", "c", 1), ("x", "c", 1)]
    await site.asked()
    assert site.known() == {
        "v": ("process of c", 4, 1),
        "w": ("process of b", 2, 1),
        "x": ("process of c", 1, 1),
    }
    assert {("log of v", "c", 4), ("log of w", "b", 2), ("log of x", "c", 1)} <= {*site.told}
    assert ("b", "GET", "/api/leadership") in site.brokers.sent("a")


async def test_later_answers_count_only_with_a_higher_epoch(site):
    site.brokers["b"].node.cluster.led = [("v", "b", 2)]
    await site.asked()
    site.told.clear()
    site.brokers["b"].node.cluster.led = [("v", "c", 1)]
    await site.asked()
    assert (site.known(), site.told) == ({"v": ("process of b", 2, 1)}, [])
    site.brokers["b"].node.cluster.led = [("v", "c", 3)]
    await site.asked()
    assert (site.known(), site.told) == ({"v": ("process of c", 3, 1)}, [("log of v", "c", 3)])


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


async def test_the_others_are_asked_less_often_while_they_say_nothing_new(site, monkeypatch):
    site.brokers["b"].node.cluster.led = [("v", "b", 2)]
    await site.asked()
    monkeypatch.setattr(partition_monitor, "LONGEST_S", 0.01)
    await site.asked()
    await site.asked()
    assert site.partition_monitor._pause_s == 0.01
    site.brokers["b"].node.cluster.led = [("v", "c", 3)]
    async with asyncio.timeout(10):
        while site.partition_monitor._pause_s != partition_monitor.REQUEST_S:
            await asyncio.sleep(0.0001)


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


async def test_clients_are_not_passed_on_to_a_broker_that_is_not_known_here(site):
    site.brokers["b"].node.cluster.led = [("v", "b", 4)]
    await site.asked()
    site.brokers["b"].node.cluster.led = [("v", "d", 5)]
    await site.asked()
    assert site.known() == {}
    assert site.told[-1] == ("log of v", "d", 5)


@pytest.mark.parametrize("answer", [[{"vhost": "v"}], ["v"], 1, [{"log": 1, "epoch": None}]])
async def test_an_answer_of_another_version_takes_nothing_from_the_others(site, answer, monkeypatch, caplog):
    site.brokers["b"].node.cluster.led = [("v", "b", 2)]
    request = site.brokers["a"].peers.request

    async def requested(peer, *arguments):
        found = await request(peer, *arguments)
        return found._replace(parts=_parts(json.dumps(answer).encode())) if peer.name == "c" else found

    monkeypatch.setattr(site.brokers["a"].peers, "request", requested)
    await site.asked()
    assert site.known() == {"v": ("process of b", 2, 1)}
    assert caplog.records == []


async def _parts(body):
    yield body
