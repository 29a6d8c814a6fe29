"""The tests of docs/examples/sample_app pass, and take no longer than somebody waits who has just saved a file."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_S = 2.0


@pytest.mark.alone
def test_its_tests_pass_in_under_two_seconds(tmp_path):
    # As for anybody who runs them a second time: what they import is there as bytecode.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHONDONT"))}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path)
    # pytest-asyncio, which a reader need not have, warns of that in any session.
    environment["PYTEST_ADDOPTS"] = "-o asyncio_default_fixture_loop_scope=function"
    command = [sys.executable, "-m", "pytest", "docs/examples/sample_app", "-p", "no:cacheprovider", "-W", "error"]
    took_s = []
    for _ in range(4):
        started = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        took_s.append(time.monotonic() - started)
        assert done.returncode == 0, done.stdout + done.stderr
        assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 15
    assert min(took_s[1:]) < LIMIT_S, took_s


def test_it_is_found_together_with_other_tests():
    command = [sys.executable, "-m", "pytest", "--collect-only", "docs/examples/sample_app", "tests/test_layers.py"]
    done = subprocess.run([*command, "-p", "no:cacheprovider"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sample_app/tests/test_shop.py" in done.stdout
