"""A printed scenario evaluates to the scenario."""

import pytest

from tests.simulation.printed import literal, script
from tests.simulation.scenario import Scenario, scenario
from tests.simulation.steps import Step

NAMES = {"Scenario": Scenario, "Step": Step}


@pytest.mark.parametrize("seed", range(100))
def test_printed_literal_evaluates_to_the_scenario(seed):
    given = scenario(seed)
    assert eval(literal(given, "    "), NAMES) == given


def test_quotes_within_names_are_preserved():
    given = Scenario(1, 2, {}, {"a": "it's", "b": 'say "no"', "c": "\\ \n"}, {}, [Step(0, "a'b", "c", ((1,), None))])
    assert eval(literal(given), NAMES) == given


def test_printed_script_runs_the_scenario(monkeypatch):
    ran = []
    monkeypatch.setattr("tests.simulation.scenario.run", ran.append)
    exec(script(scenario(7)), {})
    assert ran == [scenario(7)]


def test_the_literal_is_formatted_as_the_project_is():
    text = literal(Scenario(1, 20, {"routes": 1}, {}, {}, [Step(3, "machine", "kill"), Step(4, "m", "fill", (5,))]))
    assert text.splitlines() == [
        "Scenario(",
        "    seed=1,",
        "    duration_ms=20,",
        '    bounds={"routes": 1},',
        "    settings={},",
        "    workloads={},",
        "    steps=[",
        '        Step(3, "machine", "kill"),',
        '        Step(4, "m", "fill", (5,)),',
        "    ],",
        ")",
    ]
