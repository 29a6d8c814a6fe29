"""The broker responds while ten thousand queues are measured."""

import asyncio
import gc
import time

import pytest

from amqpbroker.metrics.exposition import TEXT
from amqpbroker.metrics.page import Page
from amqpbroker.server import collector
from tests.metrics.scrape import Scraper
from tests.slowness import slowness

pytestmark = pytest.mark.alone

QUEUES = 10_000

#: Maximum time for which the loop may be blocked, and for a page: several times the values of a slow machine.
HELD_MS = 20
TAKES_MS = {"metrics": 1_500, "per-object": 5_000}


@pytest.fixture
def calm_collector():
    """The garbage collector, configured as in a broker."""
    threshold = gc.get_threshold()
    yield collector.calm
    gc.set_threshold(*threshold)
    gc.unfreeze()


async def read(page, scraper, sizes):
    async for piece in page.text(scraper.broker, scraper.node, TEXT):
        sizes.append(len(piece))


@pytest.mark.parametrize("name", ["metrics", "per-object"])
async def test_metrics_are_generated_in_short_slices(name, calm_collector):
    scraper = Scraper()
    vhost = scraper.broker.vhosts["/"]
    for number in range(QUEUES):
        vhost.declare_queue(f"queue-{number}", False, False, False, {})
    calm_collector()
    sizes = []
    started_s = time.thread_time()
    task = asyncio.ensure_future(read(Page(name), scraper, sizes))
    held = []
    while not task.done():
        before_s = time.thread_time()
        await asyncio.sleep(0)
        held.append((time.thread_time() - before_s) * 1000)
    await task
    took_ms = (time.thread_time() - started_s) * 1000
    assert sum(sizes) > (20_000 if name == "metrics" else 10_000_000)
    slow = slowness()
    assert max(held) < HELD_MS * slow
    assert took_ms < TAKES_MS[name] * slow
