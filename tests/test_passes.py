"""The two passes of the tests."""

from itertools import combinations
from pathlib import Path

import pytest

from setup import HOT
from tests import passes
from tests.passes import (
    ALONE,
    AS_COMPILED,
    INTERPRETED,
    LONG,
    PARTS,
    QUICK,
    QUICK_COMPILED,
    ROOT,
    RUN_COMPILED,
    SHOW_SLOW,
    Outcome,
    collected,
    counted,
    is_within,
    parts,
    shares,
    within,
)

TEST_FILES = [path for path in (ROOT / "tests").rglob("test_*.py") if "__pycache__" not in path.parts]

MARKERS = ("explore", "process", "alone", "smoke")


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Return the runs of pytest, which is not started; `says` has pytest's last line, by kind of pass.

    Each quick run leaves out tests of all its paths.
    """
    made = []
    says = {"interpreted": (0, "9 passed, 1 skipped in 2.00s"), "compiled": (0, "5 passed in 1.00s")}

    def run(kind, arguments, outcome, what, live=True):
        made.append((kind.name, arguments))
        if QUICK in arguments:
            with passes.DESELECTED.open("a") as record:
                record.writelines(f"{path}\n" for path in paths_of(made[-1]))
        outcome.add(what, *says[kind.name])

    monkeypatch.setattr(passes, "pytest", run)
    monkeypatch.setattr(passes, "QUICK_PROCESSES", 1)
    monkeypatch.setattr(passes, "OUTCOME", tmp_path / "tests.json")
    monkeypatch.setattr(passes, "DESELECTED", tmp_path / "build" / "deselected.txt")
    monkeypatch.setattr(passes, "passes", lambda: [INTERPRETED, AS_COMPILED])
    made.append(says)
    return made


def test_paths_of_the_compiled_pass_exist():
    assert [path for path in RUN_COMPILED if not (ROOT / path).exists()] == []


def paths_of(run):
    return [argument for argument in run[1] if argument.startswith("tests/")]


def total(made):
    """Return the sum of what the fixture says of these runs."""
    ways = [kind for kind, _ in made]
    return f"{9 * ways.count('interpreted') + 5 * ways.count('compiled')} passed, {ways.count('interpreted')} skipped"


def test_all_tests_are_run_interpreted_without_a_compiled_pass(runs, monkeypatch):
    monkeypatch.setattr(passes, "passes", lambda: [INTERPRETED])
    passes.main(["--all"])
    made = runs[1:]
    assert {kind for kind, _ in made} == {"interpreted"}
    quick = [path for run in made[:-2] for path in paths_of(run)]
    assert sorted(quick) == sorted(paths_of(made[-2])) == sorted(collected())
    assert paths_of(made[-1]) == passes.files_of_alone()


def test_quick_tests_of_the_compiled_pass_are_in_it_and_have_every_compiled_module():
    assert set(QUICK_COMPILED) < set(RUN_COMPILED)
    hot = {name.partition("/")[0] for name in HOT}
    assert {Path(path).stem.removeprefix("test_") for path in QUICK_COMPILED} == hot | {"compiled", "replay"}


def test_every_test_file_belongs_to_exactly_one_part():
    both = [path for _, part in parts(collected()) for path in part]
    assert len(both) == len(set(both))
    covering = [[top for top in both if is_within(str(path.relative_to(ROOT)), top)] for path in TEST_FILES]
    assert {len(tops) for tops in covering} == {1}


def test_the_folders_of_a_part_exist():
    assert [path for part in PARTS for path in part if not (ROOT / path).is_dir()] == []


def test_paths_are_split_into_parts():
    assert parts(["tests/wire", "tests/broker", "tests/test_clock.py", "tests/store/test_log.py"]) == [
        ("all others", ["tests/test_clock.py"]),
        ("tests/broker", ["tests/broker"]),
        ("tests/store", ["tests/wire", "tests/store/test_log.py"]),
    ]


def test_only_quick_tests_are_run_by_default(runs, capsys):
    assert passes.main([]) == 0
    assert runs[1:] == [
        (kind, ["-m", QUICK, *SHOW_SLOW, *part])
        for kind, paths in (("interpreted", collected()), ("compiled", within(collected(), QUICK_COMPILED)))
        for _, part in parts(paths)
    ]
    assert [kind for kind, _ in runs[1:]] == ["interpreted"] * 8 + ["compiled"] * 5
    assert capsys.readouterr().out.startswith("97 passed, 8 skipped in ")


def test_each_test_is_run_once_and_quick_tests_of_the_compiled_modules_both_ways(runs, capsys):
    assert passes.main(["--all"]) == 0
    made = runs[1:]
    quick = [(kind, path) for kind, arguments in made if QUICK in arguments for path in paths_of((kind, arguments))]
    long = [(kind, path) for kind, arguments in made if LONG in arguments for path in paths_of((kind, arguments))]
    affected = within(collected(), RUN_COMPILED)
    others = [path for path in collected() if path not in affected]
    once = [("compiled", path) for path in affected] + [("interpreted", path) for path in others]
    both = [("interpreted", path) for path in within(affected, QUICK_COMPILED)]
    assert sorted(quick) == sorted(once + both)
    assert sorted(long) == sorted(once)
    alone = [path for run in made[-2:] for path in paths_of(run)]
    assert sorted(alone) == passes.files_of_alone()
    assert [run[1][: len(ALONE)] for run in made[-2:]] == [list(ALONE)] * 2
    assert capsys.readouterr().out.startswith(f"{total(made)} in ")


def test_stages_run_each_test_once_and_are_counted_together(runs, capsys):
    assert passes.main(["--all"]) == 0
    every = runs[1:]
    del runs[1:]
    for stage in passes.STAGES:
        assert passes.main([stage]) == 0
    core = len(parts(within(collected(), QUICK_COMPILED)))
    assert runs[1:] == every[core:]
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"{total(runs[1:])} in ")


def test_the_first_stage_does_not_need_the_compiled_core(runs, monkeypatch):
    assert passes.main(["--first"]) == 0
    made = runs[1:]
    del runs[1:]
    monkeypatch.setattr(passes, "passes", lambda: [INTERPRETED])
    assert passes.main(["--first"]) == 0
    assert runs[1:] == made


def test_passes_that_are_run_one_after_the_other_are_counted_together(runs, capsys):
    assert passes.main(["--interpreted"]) == 0
    assert passes.main(["--compiled"]) == 0
    apart = runs[1:]
    del runs[1:]
    assert passes.main([]) == 0
    assert runs[1:] == apart
    summaries = [line.partition(" in ")[0] for line in capsys.readouterr().out.splitlines()]
    assert summaries == ["72 passed, 8 skipped", "97 passed, 8 skipped", "97 passed, 8 skipped"]


@pytest.mark.parametrize("option", ["--compiled", "--rest", "--alone"])
def test_later_stages_need_the_results_of_the_earlier_ones(runs, option):
    with pytest.raises(SystemExit, match="run the stages in their order"):
        passes.main([option])


@pytest.mark.parametrize(("first", "second"), [("--interpreted", "--compiled"), ("--first", "--rest")])
def test_a_failure_of_one_stage_fails_the_next_one(runs, capsys, first, second):
    says = dict(runs[0])
    runs[0]["interpreted"] = (1, "1 failed, 3 passed in 1.00s")
    assert passes.main([first]) == 1
    runs[0].update(says)
    assert passes.main([second]) == 1
    assert "FAILED: interpreted, quick: tests/conformance\n" in capsys.readouterr().out


def test_folders_are_split_into_two_shares_of_their_files():
    first, second = shares(["tests/wire", "tests/message"])
    expected = {path for path in TEST_FILES if path.relative_to(ROOT).parts[1] in ("wire", "message")}
    assert {ROOT / name for name in first + second} == expected
    assert len(first) + len(second) == len(expected)
    sizes = [sum((ROOT / name).stat().st_size for name in share) for share in (first, second)]
    assert max(sizes) < 1.2 * min(sizes)


@pytest.mark.parametrize("markers", [each for n in range(5) for each in combinations(MARKERS, n)], ids=" ".join)
def test_each_test_is_run_by_one_part(markers):
    parts = [QUICK, LONG, ALONE[1]]
    selecting = [part for part in parts if eval(part, {name: name in markers for name in MARKERS})]
    assert len(selecting) == 1


def test_files_with_alone_tests_are_found():
    """Pytest finds such tests in the same files: they contain the mark as a word."""
    assert {"tests/page/test_page.py", "tests/load/test_listing.py"} <= set(passes.files_of_alone())


def test_arguments_that_are_folders_select_their_quick_tests(runs):
    assert passes.main(["--interpreted", "tests/wire/"]) == 0
    assert runs[1:] == [("interpreted", ["-m", QUICK, *SHOW_SLOW, *share]) for share in shares(["tests/wire"])]


@pytest.mark.parametrize("arguments", [["tests/wire", "-x"], ["tests/wire/test_reader.py"], ["tests/wire", "-m", ""]])
def test_other_arguments_are_passed_to_pytest(runs, arguments):
    assert passes.main(arguments) == 0
    assert runs[1:] == [("interpreted", arguments), ("compiled", arguments)]


def test_the_compiled_pass_can_be_left_out(runs):
    assert passes.main(["--interpreted", "tests/wire", "-x"]) == 0
    assert runs[1:] == [("interpreted", ["tests/wire", "-x"])]


def test_runs_with_arguments_do_not_change_the_saved_counts(runs):
    passes.main(["--first"])
    passes.main(["tests/wire"])
    assert passes.main(["--rest"]) == 0


def test_tests_given_by_arguments_can_be_run_compiled_only(runs):
    assert passes.main(["--compiled", "tests/wire", "-x"]) == 0
    assert runs[1:] == [("compiled", ["tests/wire", "-x"])]


@pytest.mark.parametrize("kind", ["interpreted", "compiled"])
def test_the_run_fails_if_either_pass_fails(runs, capsys, kind):
    runs[0][kind] = (1, "1 failed, 3 passed in 1.00s")
    assert passes.main([]) == 1
    assert f"FAILED: {kind}, quick: tests/conformance\n" in capsys.readouterr().out


def test_part_without_selected_tests_does_not_fail(runs):
    runs[0]["compiled"] = (5, "20 deselected in 0.10s")
    assert passes.main([]) == 0


def test_run_without_any_selected_tests_fails(runs, capsys):
    runs[0].update(dict.fromkeys(runs[0], (5, "20 deselected in 0.10s")))
    assert passes.main([]) == 1
    assert "no tests ran in " in capsys.readouterr().out


def test_killed_pytest_process_fails_the_run(runs):
    runs[0]["compiled"] = (-9, "....")
    assert passes.main([]) == 1


def test_counts_are_parsed_from_the_last_line_of_pytest():
    line = "1 failed, 20 passed, 3 skipped, 2 deselected, 1 error in 3.21s (0:01:03)"
    assert counted(f"....\n=== {line} ===\n") == {"failed": 1, "passed": 20, "skipped": 3, "deselected": 2, "error": 1}
    assert counted("no tests ran in 0.01s") == {}
    assert counted("") == {}


def test_the_summary_is_in_pytests_format():
    outcome = Outcome()
    outcome.add("a", 0, "20 passed, 2 deselected in 3.00s")
    outcome.add("b", 1, "1 failed, 2 passed, 4 skipped in 1.00s")
    assert outcome.summary(4.2) == "1 failed, 22 passed, 4 skipped in 4.20s"
    assert outcome.failed == ["b"]


class TestWithoutCompiler:
    @pytest.fixture(autouse=True)
    def built(self, monkeypatch, tmp_path):
        monkeypatch.setattr(passes, "COMPILED", tmp_path)
        monkeypatch.delenv("AMQPBROKER_COMPILE", raising=False)
        (tmp_path / "amqpbroker").mkdir()
        (tmp_path / "amqpbroker" / "interpreted.txt").write_text("no C compiler when it was installed\n")
        return tmp_path

    def test_a_skipped_compiled_pass_is_reported(self, capsys):
        assert passes.passes() == [INTERPRETED]
        said = capsys.readouterr().out
        assert said == "The compiled pass is left out: no C compiler when it was installed.\n"

    def test_a_required_compilation_that_fails_is_an_error(self, monkeypatch):
        monkeypatch.setenv("AMQPBROKER_COMPILE", "1")
        with pytest.raises(SystemExit, match="no C compiler when it was installed"):
            passes.passes()

    def test_interpreted_and_compiled_pass_are_run_with_a_compiler(self, built):
        (built / "amqpbroker" / "interpreted.txt").unlink()
        assert passes.passes() == [INTERPRETED, AS_COMPILED]
