"""Compiling beside a broker."""

import os
import subprocess
import sys
import threading
import time

import pytest

from tools.compile_beside import compile_beside, is_running

pytestmark = pytest.mark.process


def test_success_is_reported(tmp_path):
    log = tmp_path / "build" / "log"
    text = compile_beside(os.getpid(), (sys.executable, "-c", "print('made')"), log, 0.01)
    assert text == "The core is compiled. The next start of the broker uses it."
    assert log.read_text() == "made\n"


def test_failure_is_reported_with_the_log(tmp_path):
    log = tmp_path / "log"
    text = compile_beside(os.getpid(), (sys.executable, "-c", "raise SystemExit('no compiler')"), log, 0.01)
    assert text == f"The core could not be compiled: see {log}. The broker goes on, interpreted."
    assert log.read_text() == "no compiler\n"


def test_end_of_the_broker_ends_the_compiler_and_what_it_started(tmp_path):
    """The command is a process with a child, which would go on if only the command were ended."""
    child = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    command = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], cwd={str(tmp_path)!r})"
    broker = "import os, time\nwhile not os.path.exists('pid'): time.sleep(0.01)"
    with subprocess.Popen([sys.executable, "-c", broker], cwd=tmp_path) as running:
        reaped = threading.Thread(target=running.wait)
        reaped.start()
        assert compile_beside(running.pid, (sys.executable, "-c", command), tmp_path / "log", 0.01) == ""
        reaped.join()
    until = time.monotonic() + 10
    while is_running(int((tmp_path / "pid").read_text())) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_running(int((tmp_path / "pid").read_text()))
