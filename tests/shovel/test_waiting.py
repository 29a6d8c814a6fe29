"""Retries of a shovel: the clock is advanced by the test, and nothing connects."""

import asyncio
from types import SimpleNamespace

import pytest

from amqpbroker.broker.shovels.definition import read
from amqpbroker.client.login import LinkError
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.shovel.runner import Runner
from amqpbroker.shovel.shovel import Shovel

VALUE = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://far"}


class Dialer:
    """Fails to connect, or returns the links that it is given, the last first."""

    def __init__(self):
        self.dialed = 0
        self.links = []
        self.fails_with = LinkError("nobody is there")

    async def dial(self, uris, name):
        self.dialed += 1
        await asyncio.sleep(0)
        if self.links:
            return self.links.pop(), uris[0]
        raise self.fails_with


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def dialer():
    return Dialer()


@pytest.fixture
async def shovel(clock, dialer):
    """Return a function that creates a running shovel from the keys of its definition."""
    tasks = []

    def make(**value):
        shovel = Shovel(
            "/", "s", read("s", VALUE | value, False), dialer, clock, clock.now_ms, "me", lambda: None, 1 << 20
        )
        tasks.append(asyncio.ensure_future(shovel.run()))
        return shovel

    yield make
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def turns():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("value", "delay_ms"), [({}, 5000), ({"reconnect-delay": 1}, 1000)])
async def test_shovel_reconnects_after_the_delay(shovel, clock, dialer, value, delay_ms):
    made = shovel(**value)
    assert made.status.state == "starting"
    await turns()
    for tried in (1, 2, 3):
        assert dialer.dialed == tried
        assert (made.status.state, made.status.reason) == ("terminated", "nobody is there")
        assert made.status.since_ms == clock.now_ms()
        clock.advance(delay_ms - 1)
        await turns()
        assert dialer.dialed == tried
        clock.advance(1)
        await turns()


async def test_shovel_without_a_delay_does_not_reconnect(shovel, clock, dialer):
    made = shovel(**{"reconnect-delay": 0})
    await turns()
    clock.advance(3_600_000)
    await turns()
    assert (dialer.dialed, made.status.state) == (1, "terminated")


async def test_internal_error_is_logged_and_the_shovel_retries(shovel, clock, dialer, caplog):
    dialer.fails_with = KeyError("oops")
    made = shovel()
    await turns()
    assert made.status.reason == "internal error, see the broker's log"
    assert "oops" in caplog.text
    clock.advance(5000)
    await turns()
    assert dialer.dialed == 2


async def test_shovel_can_be_stopped_while_it_waits_to_reconnect(shovel, clock, dialer):
    shovel()
    await turns()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    clock.advance(60_000)
    await turns()
    assert dialer.dialed == 1


class Link:
    """A link whose broker refuses everything, and answers a close if it is told to. client: the link itself."""

    def __init__(self, closed):
        self.client = self
        self._closed = closed
        self.ends = []

    async def call(self, name, *_, **__):
        raise LinkError(f"no {name}")

    async def close(self):
        self.ends.append("closing")
        await self._closed.wait()
        self.ends.append("closed")


async def test_shovel_stopped_while_closing_one_end_closes_the_other(shovel, dialer):
    answered = asyncio.Event()
    answered.set()
    source, destination = Link(answered), Link(asyncio.Event())
    dialer.links = [destination, source]
    shovel()
    await turns()
    assert (source.ends, destination.ends) == ([], ["closing"])
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await turns()
    assert (source.ends, destination.ends) == (["closing", "closed"], ["closing"])


async def test_stop_does_not_wait_for_shovel_peers_that_do_not_answer(clock, dialer, monkeypatch):
    both = [Link(asyncio.Event()), Link(asyncio.Event())]
    dialer.links = list(both)
    monkeypatch.setattr("amqpbroker.shovel.runner.Dialer", lambda *_: dialer)
    runner = Runner(SimpleNamespace(users=None, clock=clock, cluster_name="me", config=Config()), clock, None)
    runner.start("/", "s", read("s", VALUE, False))
    await turns()
    await runner.close(0.01)
    assert [link.ends for link in both] == [["closing"], ["closing"]]
    assert asyncio.all_tasks() == {asyncio.current_task()}
