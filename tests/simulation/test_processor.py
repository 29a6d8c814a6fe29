"""Slow times of a simulated processor: each ends by itself, and all end when the machine recovers."""

from random import Random

import pytest

from tests.simulation.processor import Processor
from tests.simulation.scheduler import MS, SECOND, Scheduler
from tests.simulation.threads import Threads


@pytest.fixture
def scheduler():
    return Scheduler()


@pytest.fixture
def processor(scheduler):
    return Processor(scheduler)


def test_the_end_of_a_slow_time_does_not_end_another_one(scheduler, processor):
    processor.slow_down(10, 1000 * MS)
    processor.slow_down(10, 20 * MS)
    scheduler.run(500 * MS)
    assert processor.slowness == 10
    scheduler.run(1001 * MS)
    assert processor.slowness == 1


def test_the_slowest_of_overlapping_slow_times_counts(scheduler, processor):
    processor.slow_down(100, 20 * MS)
    processor.slow_down(10, 1000 * MS)
    assert processor.slowness == 100
    scheduler.run(500 * MS)
    assert processor.slowness == 10


def test_a_step_that_begins_in_a_slow_time_is_trouble_until_its_end(scheduler, processor):
    threads = Threads(scheduler, processor, Random(1), lambda: None)
    ended = []
    processor.slow_down(1_000_000, 20 * MS)
    threads.start(lambda: ended.append(scheduler.now))
    scheduler.run(3600 * SECOND)
    assert processor.troubled_until == ended[0] > 20 * MS


def test_recovery_ends_all_slow_times_and_stops(scheduler, processor):
    processor.slow_down(100, 20 * MS)
    processor.slow_down(10, 1000 * MS)
    processor.stop(1000 * MS)
    processor.recover()
    assert (processor.slowness, processor.rest) == (1, 0)
    processor.slow_down(10, 5000 * MS)
    scheduler.run(2000 * MS)
    assert processor.slowness == 10
