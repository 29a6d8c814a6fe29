"""Comparison of two checkouts: distinction from noise, and removal of checkouts."""

import subprocess

import pytest

from tests.bench import compare, core
from tests.bench.compare import Shape, confident_range, verdict


@pytest.mark.parametrize(
    ("pairs", "cut"), [(1, None), (5, None), (6, 0), (8, 0), (9, 1), (11, 1), (12, 2), (15, 3), (20, 5)]
)
def test_confidence_range_is_that_of_the_sign_test(pairs, cut):
    ordered = [float(n) for n in range(pairs)]
    assert confident_range(ordered) == (None if cut is None else (float(cut), float(pairs - 1 - cut)))


def test_difference_in_every_pair_is_reported():
    assert verdict([0.8, 0.82, 0.85, 0.9, 0.91, 0.93]).endswith("faster")
    assert verdict([1.01, 1.02, 1.03, 1.1, 1.2, 1.3]).endswith("SLOWER")


def test_difference_in_both_directions_is_noise():
    assert verdict([0.9, 0.95, 0.99, 1.0, 1.01, 1.1]).endswith("within the noise")
    assert verdict([0.5, 0.6, 0.7]) == "too few pairs for a result"


def test_one_outlier_of_nine_does_not_hide_a_difference():
    assert verdict([0.5, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.9, 1.4]).endswith("faster")


def test_comparison_line_shows_both_medians_and_the_ratio_of_pairs():
    shape = Shape(first=[2.0, 4.0, 2.0, 2.0, 2.0, 2.0], second=[1.0, 2.0, 1.0, 1.0, 1.0, 1.0])
    assert compare.line("transient", shape).split() == (
        ["transient", "2.000", "us", "1.000", "us", "x0.500", "0.500", "to", "0.500", "faster"]
    )


THREE = compare.options(["HEAD", "--pairs", "3"])


def test_order_alternates_with_every_pair(monkeypatch):
    order = []
    monkeypatch.setattr(compare, "run", lambda path, *_: order.append(path) or len(order))
    shape = compare.measured("a", "b", "transient", THREE)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert (shape.first, shape.second) == ([1, 4, 5], [2, 3, 6])


def test_shape_that_one_checkout_lacks_is_not_compared(monkeypatch):
    monkeypatch.setattr(compare, "run", lambda path, *_: None if path == "b" else 1.0)
    assert compare.measured("a", "b", "transient", THREE) is None


def test_output_of_the_core_bench_is_parsed():
    assert compare.parsed("transient       1.27 us/message\n", "transient") == 1.27


@pytest.mark.parametrize(("compiled", "where"), [(False, ["/x"]), (True, ["/x/build/compiled", "/x"])])
def test_the_compiled_package_comes_before_the_source(monkeypatch, compiled, where):
    seen = []

    def ran(command, env, **_):
        seen.append(env["PYTHONPATH"].split(":"))
        return subprocess.CompletedProcess(command, 0, "transient 1.0 us/message\n", "")

    monkeypatch.setattr(compare.subprocess, "run", ran)
    assert compare.run(compare.Path("/x"), "transient", 1, compiled) == 1.0
    assert seen == [where]


def test_checkout_that_cannot_be_compiled_is_an_error(tmp_path):
    with pytest.raises(SystemExit, match=r"has no setup\.py"):
        compare.build(tmp_path)


def worktrees():
    listed = ["git", "-C", str(compare.ROOT), "worktree", "list"]
    return subprocess.run(listed, check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(not (compare.ROOT / ".git").exists(), reason="not a git checkout")
def test_checkout_is_always_removed():
    paths = []

    def interrupted():
        with compare.checkout("HEAD", compiled=False) as path:
            paths.append(path)
            assert (path / "tests" / "bench" / "core.py").exists()
            assert str(path) in worktrees()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    (path,) = paths
    assert not path.exists()
    assert str(path) not in worktrees()


def test_current_checkout_is_used_without_a_copy():
    with compare.checkout(None, compiled=False) as path:
        assert path == compare.ROOT


def test_unknown_shapes_are_refused(capsys):
    with pytest.raises(SystemExit):
        compare.options(["HEAD", "--shapes", "transient,x"])
    assert "no such shape: x" in capsys.readouterr().err
    assert compare.options(["HEAD", "--shapes", "transient,confirm"]).shapes == ["transient", "confirm"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["HEAD", "--help-me"], "unrecognized arguments"),
        (["HEAD", "--pairs", "0"], "'0' is not a whole number from 1 to 1,000"),
        (["HEAD", "-n", "1e3"], "'1e3' is not a whole number from 1 to"),
    ],
)
def test_invalid_arguments_are_refused(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        compare.options(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_unknown_commit_is_refused():
    compare.check(None)
    with pytest.raises(SystemExit, match=r"^git knows no commit no-such-ref$"):
        compare.check(None, "no-such-ref")


def test_error_of_git_is_shown():
    with pytest.raises(SystemExit, match="git worktree: fatal: "):
        compare.git("worktree", "remove", "/nowhere")


def test_shapes_of_the_core_bench_are_known():
    assert compare.SHAPES == core.SHAPES
