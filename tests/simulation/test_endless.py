"""A world with an endless loop fails."""

import signal

import pytest

from tests.simulation import scenario
from tests.simulation.endless import EndlessError, interrupted_after
from tests.simulation.world import BrokenError, World


def endless(*_):
    while True:
        pass


def test_endless_loop_is_interrupted():
    with pytest.raises(EndlessError), interrupted_after(0.05):
        endless()
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0, 0)


def test_interruption_of_an_endless_loop_is_repeated_if_caught(monkeypatch):
    monkeypatch.setattr("tests.simulation.endless.AGAIN_S", 0.05)
    caught = []

    def careless():
        try:
            endless()
        except BaseException as error:
            caught.append(error)
        endless()

    with pytest.raises(EndlessError), interrupted_after(0.05):
        careless()
    assert [type(error) for error in caught] == [EndlessError]


def test_simulation_with_an_endless_loop_fails_and_shows_its_time(monkeypatch):
    monkeypatch.setattr("tests.simulation.endless.MOST_CPU_S", 0.05)
    monkeypatch.setattr(World, "boot", endless)
    with pytest.raises(BrokenError, match=r"at 0\.000000 s: does not end"):
        scenario.run(scenario.scenario(1))
