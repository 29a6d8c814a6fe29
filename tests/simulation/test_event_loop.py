"""The simulated event loop knows since when the broker may have decided what it writes."""

import random

import pytest

from tests.simulation.event_loop import SimulatedLoop
from tests.simulation.processor import Processor
from tests.simulation.scheduler import MS, SECOND, Scheduler
from tests.simulation.threads import Threads, pause

#: Time of a slow read.
SLOW_READ_NS = 2 * SECOND


class Broker:
    """A thread that runs an event loop."""

    def __init__(self):
        self.scheduler = Scheduler()
        processor = Processor(self.scheduler)
        self.loop = SimulatedLoop(self.scheduler, processor, random.Random(1), lambda error: None)
        self._threads = Threads(self.scheduler, processor, random.Random(1), lambda: None)
        self._threads.start(self.loop.serve)
        self.scheduler.run(SECOND)

    def run(self, duration):
        self.scheduler.run(self.scheduler.now + duration)

    def kill(self):
        self.loop.kill()
        self._threads.kill()


@pytest.fixture
def broker():
    broker = Broker()
    yield broker
    broker.kill()


def test_output_of_an_idle_loop_was_decided_when_it_was_written(broker):
    now = broker.scheduler.now
    assert broker.loop.decided_since(now - 100 * MS) == now - 100 * MS


def test_output_of_an_iteration_that_read_slowly_was_decided_since_its_begin(broker):
    begins = []

    def read():
        begins.append(broker.scheduler.now)
        pause(SLOW_READ_NS)

    broker.loop.call_soon(read)
    broker.run(SECOND)
    assert broker.loop.decided_since(broker.scheduler.now - 100 * MS) == begins[0]
    broker.run(SLOW_READ_NS)
    end = begins[0] + SLOW_READ_NS
    assert broker.loop.decided_since(end - 1) == begins[0]
    broker.run(SECOND)
    now = broker.scheduler.now
    assert broker.loop.decided_since(now - 100 * MS) == now - 100 * MS


def test_output_that_the_next_iteration_writes_was_decided_in_the_slow_one_before(broker):
    begins = []

    def read():
        begins.append(broker.scheduler.now)
        broker.loop.call_soon(write)
        pause(SLOW_READ_NS)

    def write():
        begins.append(broker.scheduler.now)

    broker.loop.call_soon(read)
    broker.run(SLOW_READ_NS + SECOND // 2)
    assert begins[1] - begins[0] >= SLOW_READ_NS
    assert begins[1] - begins[0] < SLOW_READ_NS + SECOND // 2
    assert broker.loop.decided_since(begins[1]) == begins[0]
