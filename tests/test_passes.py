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
    ONCE,
    PARTS,
    QUICK,
    QUICK_COMPILED,
    ROOT,
    RUN_COMPILED,
    SHOW_SLOW,
    Outcome,
    counted,
    parts,
)

TEST_FILES = [path for path in (ROOT / "tests").rglob("test_*.py") if "__pycache__" not in path.parts]

MARKERS = ("explore", "process", "alone", "smoke")


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Return the runs of pytest, which is not started; `says` has pytest's last line, by kind of pass."""
    made = []
    says = {"interpreted": (0, "9 passed, 1 skipped in 2.00s"), "compiled": (0, "5 passed in 1.00s")}

    def run(kind, arguments, outcome, what, live=True):
        made.append((kind.name, arguments))
        outcome.add(what, *says[kind.name])

    monkeypatch.setattr(passes, "pytest", run)
    monkeypatch.setattr(passes, "QUICK_PROCESSES", 1)
    monkeypatch.setattr(passes, "QUICK_OUTCOME", tmp_path / "quick.json")
    monkeypatch.setattr(passes, "passes", lambda: [INTERPRETED, AS_COMPILED])
    made.append(says)
    return made


def test_paths_of_the_compiled_pass_exist():
    assert [path for path in RUN_COMPILED if not (ROOT / path).exists()] == []


def test_tests_that_are_run_once_are_in_the_compiled_pass():
    assert set(ONCE) <= set(RUN_COMPILED)


def test_long_tests_are_all_run_interpreted_without_a_compiled_pass(runs, monkeypatch):
    monkeypatch.setattr(passes, "passes", lambda: [INTERPRETED])
    passes.main(["--all"])
    assert not [argument for _, arguments in runs[1:] for argument in arguments if argument.startswith("--ignore")]


def test_quick_tests_of_the_compiled_pass_are_in_it_and_have_every_compiled_module():
    assert set(QUICK_COMPILED) < set(RUN_COMPILED)
    hot = {name.partition("/")[0] for name in HOT}
    assert {Path(path).stem.removeprefix("test_") for path in QUICK_COMPILED} == hot | {"compiled", "replay"}


def test_every_test_folder_and_file_belongs_to_exactly_one_part():
    both = [path for _, part in parts(()) for path in part]
    assert len(both) == len(set(both))
    covering = [[top for top in both if f"{path.relative_to(ROOT)}/".startswith(f"{top}/")] for path in TEST_FILES]
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
        for kind, paths in (("interpreted", ()), ("compiled", QUICK_COMPILED))
        for _, part in parts(paths)
    ]
    assert [kind for kind, _ in runs[1:]] == ["interpreted"] * 6 + ["compiled"] * 5
    assert capsys.readouterr().out.startswith("79 passed, 6 skipped in ")


def test_option_all_runs_the_quick_tests_and_then_the_rest(runs, capsys):
    assert passes.main(["--all"]) == 0
    made = runs[1:]
    quick, others, long, alone = made[:11], made[11:13], made[13:15], made[15:]
    assert ["-n" in arguments for _, arguments in made] == [False] * 13 + [True, True, False, False]
    assert [name for name, _ in quick + others] == ["interpreted"] * 6 + ["compiled"] * 7
    assert [name for name, _ in long + alone] == ["interpreted", "compiled"] * 2
    found = {argument for _, arguments in others for argument in arguments if argument.startswith("tests/")}
    assert found == set(RUN_COMPILED) - set(QUICK_COMPILED)
    assert set(RUN_COMPILED) <= set(long[1][1])
    assert [[f"--ignore={path}" in arguments for path in ONCE] for _, arguments in long] == [
        [True] * len(ONCE),
        [False] * len(ONCE),
    ]
    assert set(alone[0][1]) & set(alone[1][1]) == set(ALONE)
    assert capsys.readouterr().out.startswith("117 passed, 8 skipped in ")


def test_option_rest_adds_the_results_of_earlier_quick_tests(runs, capsys):
    assert passes.main(["--all"]) == 0
    every = runs[1:]
    del runs[1:]
    passes.main([])
    capsys.readouterr()
    assert passes.main(["--rest"]) == 0
    assert runs[1:] == every
    assert capsys.readouterr().out.startswith("117 passed, 8 skipped in ")


def test_passes_that_are_run_one_after_the_other_are_counted_together(runs, capsys):
    assert passes.main(["--interpreted"]) == 0
    assert passes.main(["--compiled"]) == 0
    apart = runs[1:]
    del runs[1:]
    assert passes.main([]) == 0
    assert runs[1:] == apart
    summaries = [line.partition(" in ")[0] for line in capsys.readouterr().out.splitlines()]
    assert summaries == ["54 passed, 6 skipped", "79 passed, 6 skipped", "79 passed, 6 skipped"]
    assert passes.main(["--rest"]) == 0
    assert capsys.readouterr().out.startswith("117 passed, 8 skipped in ")


def test_compiled_pass_alone_needs_the_results_of_the_interpreted_one(runs):
    with pytest.raises(SystemExit, match="run `make test` before it"):
        passes.main(["--compiled"])


def test_a_failure_of_the_interpreted_pass_fails_the_compiled_one_that_follows(runs):
    says = dict(runs[0])
    runs[0]["interpreted"] = (1, "1 failed, 3 passed in 1.00s")
    assert passes.main(["--interpreted"]) == 1
    runs[0].update(says)
    assert passes.main(["--compiled"]) == 1


def test_quick_tests_are_counted_once(runs):
    passes.main([])
    passes.main(["--rest"])
    with pytest.raises(SystemExit, match="run `make test` before it"):
        passes.main(["--rest"])


def test_option_rest_fails_if_the_quick_tests_failed(runs, capsys):
    says = dict(runs[0])
    runs[0]["interpreted"] = (1, "1 failed, 3 passed in 1.00s")
    passes.main([])
    runs[0].update(says)
    assert passes.main(["--rest"]) == 1
    assert "FAILED: interpreted, quick: tests/broker\n" in capsys.readouterr().out


@pytest.mark.parametrize("markers", [each for n in range(5) for each in combinations(MARKERS, n)], ids=" ".join)
def test_each_test_is_run_by_one_part(markers):
    parts = [QUICK, LONG, ALONE[1]]
    selecting = [part for part in parts if eval(part, {name: name in markers for name in MARKERS})]
    assert len(selecting) == 1


def test_files_with_alone_tests_are_found():
    """Pytest finds such tests in the same files: they contain the mark as a word."""
    both = [files for _, files in passes.files_of_alone([INTERPRETED, AS_COMPILED])]
    assert [("tests/page/test_page.py" in files, "tests/load/test_listing.py" in files) for files in both] == (
        [(True, False), (False, True)]
    )
    assert [kind.name for kind, files in passes.files_of_alone([INTERPRETED]) if "tests/load/test_listing.py" in files]


def test_arguments_are_passed_to_both_passes(runs):
    assert passes.main(["tests/wire", "-x"]) == 0
    assert runs[1:] == [("interpreted", ["tests/wire", "-x"]), ("compiled", ["tests/wire", "-x"])]


def test_the_compiled_pass_can_be_left_out(runs):
    assert passes.main(["--interpreted", "tests/wire"]) == 0
    assert runs[1:] == [("interpreted", ["tests/wire"])]


def test_runs_with_arguments_do_not_change_the_saved_counts(runs):
    passes.main([])
    passes.main(["tests/wire"])
    assert passes.QUICK_OUTCOME.exists()
    assert passes.main(["--rest"]) == 0


def test_tests_given_by_arguments_can_be_run_compiled_only(runs):
    assert passes.main(["--compiled", "tests/wire"]) == 0
    assert runs[1:] == [("compiled", ["tests/wire"])]


@pytest.mark.parametrize("kind", ["interpreted", "compiled"])
def test_the_run_fails_if_either_pass_fails(runs, capsys, kind):
    runs[0][kind] = (1, "1 failed, 3 passed in 1.00s")
    assert passes.main([]) == 1
    assert f"FAILED: {kind}, quick: tests/broker\n" in capsys.readouterr().out


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
