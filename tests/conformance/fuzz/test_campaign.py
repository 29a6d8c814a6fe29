"""Two brokers side by side, here ones that are no brokers at all."""

import pytest

from conformance.fuzz import campaign as campaigns
from conformance.fuzz.campaign import Found, SideBySide, campaign
from conformance.fuzz.generator import generate


class Judge:
    """A target whose player says what every step is."""

    management_url = "http://nowhere"

    def identity(self):
        return "judge", "judge@here"


class Faulty(Judge):
    """One that is wrong about every purge."""


class Dice(Judge):
    """One that never says the same of a purge."""

    throws = 0


class FakePlayer:
    frames = 3

    def __init__(self, target, pace, cluster_name):
        self.target = target

    def play(self, script, expected=None):
        outcomes = [{"step": step.verb} for step in script]
        for step, outcome in zip(script, outcomes, strict=True):
            if step.verb == "purge" and isinstance(self.target, Faulty):
                outcome["wrong"] = True
            if step.verb == "purge" and isinstance(self.target, Dice):
                self.target.throws += 1
                outcome["wrong"] = self.target.throws
        return [*outcomes, {"left": len(script)}]


WITH_PURGE = next(seed for seed in range(1000) if any(step.verb == "purge" for step in generate(seed)))


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setattr(campaigns, "Player", FakePlayer)


def test_campaign_finds_no_difference_between_equal_brokers():
    found = SideBySide(Judge(), Judge()).explore(WITH_PURGE)
    assert found == Found(WITH_PURGE, len(generate(WITH_PURGE)), 3)


def test_a_difference_is_shrunk_to_the_step_that_shows_it():
    found = SideBySide(Judge(), Faulty()).explore(WITH_PURGE)
    assert [step.verb for step in found.script] == ["purge"]
    assert found.difference.got == {"step": "purge", "wrong": True}
    assert ".purge(" in found.shown()
    assert "+wrong: true" in found.shown()


def test_nondeterministic_reference_broker_is_not_reported_as_a_difference():
    found = SideBySide(Dice(), Judge()).explore(WITH_PURGE)
    assert found.difference is None
    assert found.unsteady


def test_nondeterministic_tested_broker_is_reported_as_a_difference():
    found = SideBySide(Judge(), Dice()).explore(WITH_PURGE)
    assert found.difference.expected == {"step": "purge"}
    assert found.fickle
    assert not found.unsteady
    assert "this broker does not" in found.shown()


def test_campaign_runs_consecutive_seeds_until_its_time_limit(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(campaigns.time, "monotonic", lambda: next(clock))
    seeds = [found.seed for found in campaign(lambda seed: Found(seed, 1, 1), 10, 5, 1)]
    assert seeds == list(range(10, 10 + len(seeds)))
    assert len(seeds) > 1
