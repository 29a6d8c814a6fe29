"""tools/step: the progress of installing and compiling."""

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

STEP = str(Path(__file__).parent.parent / "tools" / "step")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "STEPS"}


def run(*command, **environment):
    return subprocess.run(
        [STEP, "1", "Installing", *command], env=ENVIRONMENT | environment, capture_output=True, text=True, check=False
    )


def test_step_in_a_log_prints_a_line_at_its_start_and_at_its_end():
    ran = run("echo", "not shown", STEPS="3")
    assert (ran.returncode, ran.stdout) == (0, "")
    assert re.fullmatch(r"\[1/3\] Installing \.\.\.\n\[1/3\] Installing: done in \d+ s\n", ran.stderr)


def test_failed_step_shows_the_output_and_keeps_the_exit_status():
    ran = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert ran.returncode == 3
    assert re.fullmatch(r"\[1\] Installing \.\.\.\n\[1\] Installing: failed after \d+ s\nout\nerr\n", ran.stderr)


def test_step_on_a_terminal_is_one_line_with_a_running_seconds_count():
    mine, its = pty.openpty()
    process = subprocess.Popen([STEP, "2", "Compiling", "sleep", "1.1"], stderr=its, env=ENVIRONMENT | {"STEPS": "3"})
    os.close(its)
    text = b""
    try:
        while data := os.read(mine, 4096):
            text += data
    except OSError:  # the other end is closed
        pass
    os.close(mine)
    assert process.wait(60) == 0
    first, *_, last = text.decode().replace("\r\n", "").split("\r")[1:]
    # A second of the clock may begin between the start and the first line.
    assert re.fullmatch(r"\[2/3\] Compiling \.\.\. [01] s", first)
    assert re.fullmatch(r"\[2/3\] Compiling: done in [12] s", last)
    assert "\n" not in text.decode().rstrip("\r\n")
