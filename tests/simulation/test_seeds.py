import os
import signal

from tests.simulation import seeds


def die(first, job, jobs, seconds, results, running):
    running[job] = first + job
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(seeds, "work", die)
    assert seeds.many(7, 60.0, 2) == 1
    out = capsys.readouterr().out
    assert [f"seed {seed} fails: its process died with status -9" in out for seed in (7, 8)] == [True, True]


def test_seeds_that_pass_are_no_failure(capsys):
    assert seeds.many(1, 0.5, 1) == 0
    assert "seeds from 1: " in capsys.readouterr().out
