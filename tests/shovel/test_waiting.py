"""When a shovel tries again: the clock is moved by hand, and nothing connects."""

import asyncio

import pytest

from amqpbroker.broker.shovel_definition import read
from amqpbroker.clock import ManualClock
from amqpbroker.shovel.failure import LinkError
from amqpbroker.shovel.shovel import Shovel


class Dialer:
    """Reaches nobody."""

    def __init__(self):
        self.dialed = 0
        self.fails_with = LinkError("nobody is there")

    async def dial(self, uris, name):
        self.dialed += 1
        await asyncio.sleep(0)
        raise self.fails_with


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def dialer():
    return Dialer()


@pytest.fixture
async def shovel(clock, dialer):
    """Makes one that runs, told the keys of its value."""
    tasks = []

    def make(**value):
        value = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://far", **value}
        shovel = Shovel("/", "s", read("s", value, False), dialer, clock, clock.now_ms, "me", lambda: None)
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
async def test_it_tries_again_after_the_delay(shovel, clock, dialer, value, delay_ms):
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


async def test_it_does_not_try_again_without_a_delay(shovel, clock, dialer):
    made = shovel(**{"reconnect-delay": 0})
    await turns()
    clock.advance(3_600_000)
    await turns()
    assert (dialer.dialed, made.status.state) == (1, "terminated")


async def test_a_mistake_of_ours_is_logged_and_it_goes_on(shovel, clock, dialer, caplog):
    dialer.fails_with = KeyError("oops")
    made = shovel()
    await turns()
    assert made.status.reason == "internal error, see the broker's log"
    assert "oops" in caplog.text
    clock.advance(5000)
    await turns()
    assert dialer.dialed == 2


async def test_it_can_be_stopped_while_it_waits(shovel, clock, dialer):
    shovel()
    await turns()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    clock.advance(60_000)
    await turns()
    assert dialer.dialed == 1
