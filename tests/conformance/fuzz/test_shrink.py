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
def test_shrinking_keeps_only_the_steps_that_matter(needed):
    def differs(script):
        return set(needed) <= set(bodies(script))

    assert tuple(bodies(shrink(LONG, differs))) == needed


def test_shrinking_removes_arguments_that_do_not_matter():
    step = Step(
        "c1/1",
        "queue",
        {"name": "q", "durable": True, "arguments": {"x-max-length": 1, "x-expires": 1000, "x-overflow": "drop-head"}},
    )

    def differs(script):
        return any((one.arguments.get("arguments") or {}).get("x-expires") for one in script)

    assert shrink((step,), differs) == (Step("c1/1", "queue", {"name": "q", "arguments": {"x-expires": 1000}}),)


def test_shrinking_reduces_repetitions_and_keeps_pauses():
    publish = {"exchange": "", "key": "k", "body": "b"}
    assert shrink((Step("c1/1", "publish", publish, times=9, pause_ms=150),), lambda one: one[0].times >= 3) == (
        Step("c1/1", "publish", publish, times=3, pause_ms=150),
    )


def test_shrunk_script_still_shows_the_difference():
    script = generate(5)

    def differs(one):
        return sum(step.verb == "publish" for step in one) >= 2

    shortest = shrink(script, differs)
    assert [step.verb for step in shortest] == ["publish", "publish"]


def test_shrinking_ends_at_its_time_limit():
    asked = itertools.count()
    assert shrink(LONG, lambda _: bool(next(asked)) or True, within_s=0) == LONG
    assert next(asked) == 0
