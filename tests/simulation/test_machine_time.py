"""The clocks of a simulated machine."""

import pytest

from tests.simulation.machine_time import EPOCH_NS, UPTIME_NS, MachineTime
from tests.simulation.scheduler import Scheduler


@pytest.fixture
def scheduler():
    return Scheduler()


@pytest.fixture
def time(scheduler):
    return MachineTime(scheduler)


def test_clock_step_changes_only_the_wall_clock(scheduler, time):
    scheduler.run(1000)
    time.step(-300)
    assert time.wall_ns() == EPOCH_NS + 700
    assert time.monotonic_ns() == UPTIME_NS + 1000
    time.set_right()
    assert time.wall_ns() == EPOCH_NS + 1000


def test_simulated_sleep_stops_only_the_monotonic_clock(scheduler, time):
    time.sleep(400)
    scheduler.run(1000)
    assert time.monotonic_ns() == UPTIME_NS + 600
    assert time.wall_ns() == EPOCH_NS + 1000


def test_monotonic_clock_stands_still_during_a_simulated_sleep(scheduler, time):
    scheduler.run(100)
    time.sleep(400)
    scheduler.run(300)
    assert time.monotonic_ns() == UPTIME_NS + 100
    scheduler.run(600)
    assert time.monotonic_ns() == UPTIME_NS + 200


def test_monotonic_clock_does_not_go_back_after_a_simulated_sleep(scheduler, time):
    time.sleep(400)
    scheduler.run(100)
    time.wake()
    assert time.monotonic_ns() == UPTIME_NS
    scheduler.run(1100)
    assert time.monotonic_ns() == UPTIME_NS + 1000


def test_catching_up_after_clock_steps_never_sets_the_clock_back(scheduler, time):
    time.step(500)
    time.step(-2000)
    time.catch_up()
    assert time.wall_ns() == EPOCH_NS + 500
    time.step(100)
    time.catch_up()
    assert time.wall_ns() == EPOCH_NS + 600


def test_most_behind_is_the_largest_lag(scheduler, time):
    assert time.most_behind == 0
    time.step(500)
    assert time.most_behind == 0
    time.step(-2000)
    time.set_right()
    assert time.most_behind == 1500


def test_rise_includes_steps_forward_and_none_back(scheduler, time):
    scheduler.run(1000)
    assert time.rise(0) == 1000
    time.step(5000)
    assert time.rise(0) == 6000
    assert time.rise(1000) == 5000
    scheduler.run(1100)
    time.step(-9000)
    scheduler.run(1300)
    assert time.rise(0) == 6300
    assert time.rise(1100) == 200
    assert time.rise(1200) == 100
    time.step(9000)
    assert time.rise(1200) == 9100


def test_rise_is_not_less_than_the_time_since_then(scheduler, time):
    scheduler.run(1000)
    time.step(-9000)
    scheduler.run(1300)
    assert time.rise(800) == 500
