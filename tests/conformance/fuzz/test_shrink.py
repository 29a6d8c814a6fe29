"""Shrinking, with a difference that is known in advance."""

import itertools

import pytest

from conformance.fuzz.generator import generate
from conformance.fuzz.shrink import shrink
from conformance.fuzz.step import Step

LONG = tuple(Step("c1/1", "publish", {"exchange": "", "key": "k", "body": str(number)}) for number in range(40))


def bodies(script):
    return [step.arguments["body"] for step in script]


@pytest.mark.parametrize("needed", [("7",), ("0", "39"), ("3", "4", "30")])
def test_only_the_steps_that_matter_are_left(needed):
    def differs(script):
        return set(needed) <= set(bodies(script))

    assert tuple(bodies(shrink(LONG, differs))) == needed


def test_what_is_left_of_a_step_matters():
    step = Step(
        "c1/1",
        "queue",
        {"name": "q", "durable": True, "arguments": {"x-max-length": 1, "x-expires": 1000, "x-overflow": "drop-head"}},
    )

    def differs(script):
        return any((one.arguments.get("arguments") or {}).get("x-expires") for one in script)

    assert shrink((step,), differs) == (Step("c1/1", "queue", {"name": "q", "arguments": {"x-expires": 1000}}),)


def test_repetitions_go_and_pauses_stay():
    publish = {"exchange": "", "key": "k", "body": "b"}
    assert shrink((Step("c1/1", "publish", publish, times=9, pause_ms=150),), lambda one: one[0].times >= 3) == (
        Step("c1/1", "publish", publish, times=3, pause_ms=150),
    )


def test_the_result_still_differs():
    script = generate(5)

    def differs(one):
        return sum(step.verb == "publish" for step in one) >= 2

    shortest = shrink(script, differs)
    assert [step.verb for step in shortest] == ["publish", "publish"]


def test_time_that_is_over_ends_it():
    asked = itertools.count()
    assert shrink(LONG, lambda _: bool(next(asked)) or True, within_s=0) == LONG
    assert next(asked) == 0
