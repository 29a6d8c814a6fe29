import os
import signal

from tests.simulation import seeds


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_dies_is_a_failure(monkeypatch, capsys):
    monkeypatch.setattr(seeds, "work", die)
    assert seeds.many(1, 60.0, 2) == 1
    assert "2 of 2 processes died, with status [-9, -9]" in capsys.readouterr().out


def test_seeds_that_pass_are_no_failure(capsys):
    assert seeds.many(1, 0.5, 1) == 0
    assert "seeds from 1: " in capsys.readouterr().out
