"""Cases whose outcome time has a part in are tried again, others are not."""

import pytest

from conformance import runner, transcript
from conformance.registry import Case
from conformance.runner import Run, Runner

CASE = Case("area", "name", lambda lab: None, "what it is about", ())
RECORDED, OTHER = {"c1/1": ["as recorded"]}, {"c1/1": ["otherwise"]}


class Scripted(Runner):
    """A runner with runs that the test makes up."""

    def __init__(self, *runs):
        self.runs = list(runs)
        self.kind = ""
        self.is_meant = lambda _: False

    def meant(self):
        self.is_meant = lambda _: True
        return self

    def run(self, case):
        found, timed = self.runs.pop(0)
        return Run(found, [], "", timed)


@pytest.fixture(autouse=True)
def _recorded(monkeypatch):
    monkeypatch.setattr(transcript, "load", lambda _, folder: ("RabbitMQ", RECORDED))
    monkeypatch.setattr(transcript, "difference", lambda one, other: "" if one == other else "another frame")


@pytest.mark.parametrize(
    ("runs", "outcome", "left"),
    [
        ([(RECORDED, True), (OTHER, True)], "ok", 1),
        ([(OTHER, True), (OTHER, True), (RECORDED, True)], "ok", 0),
        ([(OTHER, True)] * runner.TIMED_TRIES + [(RECORDED, True)], "differs", 1),
        ([(OTHER, False), (RECORDED, False)], "differs", 1),
    ],
)
def test_replay_is_repeated_only_for_cases_that_depend_on_time(runs, outcome, left):
    scripted = Scripted(*runs)
    assert scripted.replay(CASE).outcome == outcome
    assert len(scripted.runs) == left


def test_case_without_its_intended_difference_is_reported():
    result = Scripted((RECORDED, False)).meant().replay(CASE)
    assert result.outcome == "differs"
    assert "docs/compatibility.md" in result.detail


def test_case_that_differs_in_an_unintended_way_is_reported(monkeypatch):
    of_folder = {transcript.GOLDEN: RECORDED, transcript.MEANT: {"c1/1": ["as meant"]}}
    monkeypatch.setattr(transcript, "load", lambda _, folder: ("", of_folder[folder]))
    assert Scripted((OTHER, False)).meant().replay(CASE).outcome == "differs"
    assert Scripted((of_folder[transcript.MEANT], False)).meant().replay(CASE).outcome == "on purpose"
