"""Connections without a greeting, from several addresses."""

import asyncio

import pytest

from amqpbroker.cluster.peers.greetings import Greetings


class Port:
    """Connections come from addresses; `names` are those whose greetings are awaited."""

    def __init__(self, most):
        self.greetings = Greetings(most)
        self.tasks = {}

    def come(self, name, host):
        accepted = self.greetings.accepts(host)
        if accepted:
            self.tasks[name] = asyncio.get_running_loop().create_task(asyncio.Event().wait())
            self.greetings.add(self.tasks[name], host)
        return accepted

    async def names(self):
        for _ in range(2):
            await asyncio.sleep(0)
        return [name for name, task in self.tasks.items() if not task.done()]


@pytest.fixture
async def port():
    made = Port(4)
    yield made
    await made.greetings.close()
    assert await made.names() == []


async def test_a_full_port_accepts_no_more_from_the_address_that_fills_it(port):
    assert [port.come(number, "10.0.0.1") for number in range(5)] == [True] * 4 + [False]
    assert await port.names() == [0, 1, 2, 3]


async def test_the_oldest_connection_of_the_address_with_the_most_makes_way_for_another_address(port):
    for number in range(4):
        port.come(number, "10.0.0.1")
    assert port.come("a", "10.0.0.2")
    assert await port.names() == [1, 2, 3, "a"]
    assert port.come("b", "10.0.0.2")
    assert await port.names() == [2, 3, "a", "b"]
    # Both have as many.
    assert not port.come("c", "10.0.0.2")
    assert port.come("d", "10.0.0.3")
    assert await port.names() == [3, "a", "b", "d"]


async def test_a_connection_counts_until_its_greeting_is_there(port):
    for number in range(4):
        port.come(number, "10.0.0.1")
    port.tasks[0].cancel()
    assert await port.names() == [1, 2, 3]
    assert port.come(4, "10.0.0.1")
    assert not port.come(5, "10.0.0.1")


async def test_addresses_of_one_network_count_together(port):
    assert [port.come(number, f"2001:db8::{number}") for number in range(5)] == [True] * 4 + [False]
    assert port.come("other", "2001:db8:0:1::1")
