"""State of the compiled core, and the advice for an interpreted one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from amqpbroker import compiled
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.compiled import advice, advice_once, how_it_runs, is_compiled

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


def test_checkout_without_a_recorded_reason_runs_from_source(interpreted, monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "REASON", tmp_path / "none")
    assert how_it_runs() == "interpreted: run from its source code"


@pytest.fixture
def installed(interpreted, monkeypatch, tmp_path):
    """Return a function that sets why an installed package is interpreted."""
    path = tmp_path / "interpreted.txt"
    monkeypatch.setattr(compiled, "REASON", path)
    return path.write_text


def test_advice_to_compile_names_the_reason_the_cost_and_the_command(installed):
    installed("no C compiler when it was installed\n")
    assert advice().startswith(
        "amqpbroker runs interpreted (no C compiler when it was installed), so each message takes"
    )
    assert "apt-get install gcc python3-dev" in advice()
    assert advice().endswith("pip install --force-reinstall --no-deps --no-cache-dir --no-binary amqpbroker amqpbroker")


def test_advice_matches_the_reason_for_being_interpreted(installed):
    installed("AMQPBROKER_COMPILE=0")
    assert "unset AMQPBROKER_COMPILE and run: pip install" in advice()
    compiled.REASON.unlink()
    assert "`make run` compiles the core of a checkout for the next start" in advice()
    installed("pypy compiles by itself when it was installed")
    assert advice() == ""


def test_no_advice_to_compile_is_given_if_the_core_is_compiled(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "is_compiled", lambda: True)
    assert (advice(), advice_once(tmp_path / "cache")) == ("", "")
    assert not (tmp_path / "cache").exists()


def test_advice_to_compile_is_given_once_for_each_reason(installed, tmp_path):
    cache = tmp_path / "cache" / "amqpbroker"
    installed("no C compiler when it was installed")
    assert [advice_once(cache), advice_once(cache)] == [advice(), ""]
    installed("the C compiler failed when it was installed")
    assert [advice_once(cache), advice_once(cache)] == [advice(), ""]


def test_advice_to_compile_is_repeated_if_it_cannot_be_recorded(installed, tmp_path):
    installed("no C compiler when it was installed")
    (tmp_path / "file").touch()
    assert [advice_once(tmp_path / "file" / "cache") for _ in range(2)] == [advice(), advice()]


def test_advice_is_recorded_in_the_users_cache(installed, monkeypatch, tmp_path):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name, appauthor: tmp_path / name)
    installed("no C compiler when it was installed")
    assert [advice_once(), advice_once()] == [advice(), ""]
    assert (tmp_path / "amqpbroker" / "advice.txt").read_text() == advice()


def test_is_compiled_agrees_with_the_loaded_modules():
    """A compiled function is none of Python's."""
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
