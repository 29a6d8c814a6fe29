"""Exceptions that a broker only logs make a world fail."""

import logging

import pytest

from tests.simulation.logged import LoggedErrors
from tests.simulation.scenario import Scenario, run
from tests.simulation.world import BrokenError, World

LOGGER = logging.getLogger("amqpbroker.server.timers")


@pytest.fixture
def found():
    errors = []
    logged = LoggedErrors()
    logged.on_error = errors.append
    logged.start()
    yield errors
    logged.stop()


def logs(error, level=logging.ERROR):
    try:
        raise error
    except type(error):
        LOGGER.log(level, "a timer failed", exc_info=True)


def test_logged_exception_is_found(found):
    error = RuntimeError("a fault")
    logs(error)
    assert found == [error]


def test_disk_errors_and_errors_without_exception_are_ignored(found):
    logs(OSError("the disk"))
    logs(RuntimeError("shown to those who debug"), logging.INFO)
    LOGGER.error("a client's mistake")
    assert found == []


def test_error_logging_is_restored_after_a_simulation(caplog):
    logged = LoggedErrors()
    logged.start()
    logged.stop()
    LOGGER.error("again")
    assert [record.getMessage() for record in caplog.records] == ["again"]


def test_exception_in_a_timer_fails_the_simulation(monkeypatch):
    started = World.started

    def fails(world, process):
        started(world, process)
        process.clock.after(10, lambda: 1 / 0)

    monkeypatch.setattr(World, "started", fails)
    with pytest.raises(BrokenError, match="ZeroDivisionError"):
        run(Scenario(1, 100, {}, {}, {}))
