"""Planted faults apply to the source, and the simulator finds them."""

import pytest

from tests.seeds import sampled
from tests.simulation.planted import PLANTED
from tests.simulation.planted.fault import ROOT, Planted, changed, copy_with
from tests.simulation.planted.finding import Finding

#: Faults in the store, in a queue and in a connection, each with a seed that finds it, or near to one that does.
THREE = {"a settling not stored": 1, "a TTL too short": 113, "output left when the socket was full": 130}


def test_names_of_faults_are_unique():
    assert len({fault.name for fault in PLANTED}) == len(PLANTED) >= 56


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: fault.name)
def test_planted_fault_applies_to_the_source(fault):
    path, source = changed(fault)
    assert path.name == fault.file
    assert source != path.read_text()


def test_source_copy_differs_only_by_the_planted_fault(tmp_path):
    copy_with(PLANTED[0], tmp_path)
    package = ROOT / "amqpbroker"
    differing = [
        path for path in package.rglob("*.py") if path.read_text() != (tmp_path / path.relative_to(ROOT)).read_text()
    ]
    assert [path.name for path in differing] == [PLANTED[0].file]


@pytest.mark.parametrize(("old", "times"), [("nowhere at all", 0), ("return", "several")])
def test_fault_must_apply_exactly_once(old, times):
    with pytest.raises(ValueError, match="instead of once; change the fault's `old`") as refused:
        changed(Planted("a fault", "tick.py", old, "pass"))
    assert (" 0 times" in str(refused.value)) is (times == 0)


def test_fault_must_be_valid_python():
    with pytest.raises(SyntaxError):
        changed(Planted("a fault", "expiry.py", "<= now_ms:", "<= now + 500_ms:"))


def result_of(monkeypatch, *outputs, seconds=60.0, jobs=1):
    """Return the result of a search in which the simulator prints these outputs in turn, and its arguments."""
    given = []
    outputs = list(outputs)

    def simulate(before, arguments):
        given.append((bool(before), *arguments))
        return outputs.pop(0)

    finding = Finding(seconds, jobs, first=7)
    monkeypatch.setattr(finding, "_simulate", simulate)
    return finding.find(PLANTED[0]), given


FAILS_AT_9 = ("seeds from 7: 2 seeds\nseed 9 fails: BrokenError: at 1.0 s: q: m-1 is lost\n", 1)
PASSES = ("seed 9 passes", 0)


def test_fault_is_found_by_a_seed_that_passes_without_it(monkeypatch):
    found, given = result_of(monkeypatch, FAILS_AT_9, PASSES)
    assert (found.seed, found.failure) == (9, "BrokenError: at 1.0 s: q: m-1 is lost")
    assert given[1] == (False, "--seed", "9", "--as-found")
    assert "seed 9" in str(found)


def test_seed_that_fails_without_the_fault_is_skipped(monkeypatch):
    found, given = result_of(monkeypatch, FAILS_AT_9, ("seed 9 fails: ...", 1), ("seeds from 10: ...", 0))
    assert (found.seed, found.failure) == (None, "")
    assert given[2][given[2].index("--first") + 1] == "10"
    assert "NOT FOUND" in str(found)


def test_simulator_that_ends_without_a_failing_seed_is_an_error(monkeypatch):
    """Test a fault that breaks the simulator's own start, or a broken simulator."""
    with pytest.raises(RuntimeError, match="ImportError"):
        result_of(monkeypatch, ("ImportError: no module", 1))


def test_several_faults_are_searched_for_at_once_and_reported_in_their_order(monkeypatch):
    finding = Finding(most_s=60, jobs=1, first=7)
    monkeypatch.setattr(finding, "_simulate", lambda before, arguments: FAILS_AT_9 if before else PASSES)
    reported = []
    results = finding.find_all(PLANTED[:3], at_once=2, report=reported.append)
    assert [(result.fault, result.seed) for result in results] == [(fault, 9) for fault in PLANTED[:3]]
    assert sorted(reported) == sorted(results)


@pytest.mark.explore
@pytest.mark.process
@pytest.mark.parametrize(("name", "first"), sampled([*THREE.items()], 1))
def test_planted_fault_is_found(name, first):
    [fault] = [fault for fault in PLANTED if fault.name == name]
    result = Finding(most_s=300, jobs=1, first=first).find(fault)
    assert result.seed is not None
    assert "Error: " in result.failure
