"""Reports of whether the hot path is compiled."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from amqpbroker import compiled
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.compiled import how_it_runs, is_compiled

ROOT = Path(__file__).parent.parent

#: Set by tests/passes.py to the kind of hot path that it runs the tests with.
EXPECTED = os.environ.get("AMQPBROKER_TESTED", "")


@pytest.fixture
def interpreted(monkeypatch):
    monkeypatch.setattr(compiled, "is_compiled", lambda: False)


def test_an_interpreted_package_reports_the_reason(interpreted, monkeypatch, tmp_path):
    reason = tmp_path / "interpreted.txt"
    reason.write_text("no C compiler when it was installed\n")
    monkeypatch.setattr(compiled, "REASON", reason)
    assert how_it_runs() == "interpreted: no C compiler when it was installed"


def test_a_checkout_has_no_reason(interpreted, monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "REASON", tmp_path / "none")
    assert how_it_runs() == "interpreted: run from its source code"


def test_the_report_matches_the_imported_modules():
    """A compiled function is not a Python function."""
    assert is_compiled() == (not hasattr(LocalQueue.publish, "__code__"))
    assert how_it_runs().partition(":")[0] == ("compiled" if is_compiled() else "interpreted")


@pytest.mark.skipif(not EXPECTED, reason="run as what there is")
def test_this_run_uses_the_expected_hot_path():
    assert how_it_runs().partition(":")[0] == EXPECTED


@pytest.mark.smoke
@pytest.mark.skipif(not EXPECTED, reason="run as what there is")
def test_a_started_broker_uses_the_expected_hot_path(broker):
    broker.wait_for_log(f" ({EXPECTED}")


@pytest.mark.smoke
@pytest.mark.skipif(not EXPECTED, reason="run as what there is")
@pytest.mark.parametrize("module", ["amqp.connection", "broker.queues.local_queue", "wire.frames", "store.record"])
def test_a_started_program_uses_the_expected_hot_path(module):
    code = f"import json, amqpbroker.{module} as module; print(json.dumps(module.__file__))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout).endswith(".py") == (EXPECTED == "interpreted")


def test_no_compiled_module_is_next_to_its_source():
    """A compiled module there would be imported in place of the edited source."""
    assert [str(path) for path in (ROOT / "amqpbroker").rglob("*") if path.suffix in (".so", ".pyd")] == []
