"""The broker on macOS and Windows, as far as a Linux without their missing functions can show it.

lacking/sitecustomize.py takes the functions away, in all processes that these tests start.
"""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pika
import pytest

from tests import process
from tests.process import BrokerProcess

ROOT = Path(__file__).resolve().parents[2]
LACKING = Path(__file__).parent / "lacking"

TIMEOUT_S = 500

#: Suites that run whole on a system without the functions.
SUITES = {
    "testing": ["tests/testing"],
    "serve": ["tests/cli/test_serve.py", "tests/server/test_service.py", "tests/server/test_signals.py"],
    "store": [
        *("tests/server/test_data.py", "tests/store/test_files.py", "tests/store/test_syscalls.py"),
        *("tests/store/directory", "tests/store/journal", "tests/store/test_spill.py"),
        "tests/store/definitions/test_definitions.py",
    ],
}

MISSING = """
import os, sys
assert not hasattr(os, "fdatasync")
if sys.argv[1] == "windows":
    assert not hasattr(os, "pread")
    import asyncio, signal
    try:
        asyncio.SelectorEventLoop().add_signal_handler(signal.SIGTERM, print)
    except NotImplementedError:
        import fcntl
"""


def environment(system, **more):
    """Return the environment of processes on such a system, without variables of the pytest that runs this test."""
    kept = {name: value for name, value in process.ENVIRONMENT.items() if not name.startswith("PYTEST_")}
    path = os.pathsep.join([str(LACKING), str(ROOT)])
    # Hypothesis would load trio, which such a system cannot import here.
    without = {"HYPOTHESIS_NO_PLUGINS": "1"}
    return kept | without | {"AMQPBROKER_LACKING": system, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"} | more


def python(*arguments, system):
    """Run Python on such a system. Return its exit status and its output."""
    command = [sys.executable, *arguments]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment(system), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_simulated_macos_and_windows_lack_the_linux_functions():
    assert python("-c", MISSING, "macos", system="macos") == (0, "")
    status, output = python("-c", MISSING, "windows", system="windows")
    assert status == 1
    assert "import of fcntl halted" in output


@pytest.mark.parametrize("suite", SUITES)
def test_suite_passes_on_simulated_windows(suite):
    marked = ["-m", "not alone and not explore", "-p", "no:cacheprovider"]
    status, output = python("-m", "pytest", *marked, *SUITES[suite], system="windows")
    assert status == 0, output


# --- a data directory outlives a kill ---------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that starts a broker of a data directory, on a system and with its variables."""

    def start(system, **variables):
        notes = {"AMQPBROKER_FULLFSYNC_NOTES": str(tmp_path / "flushed")}
        monkeypatch.setattr(process, "ENVIRONMENT", environment(system, **notes, **variables))
        (tmp_path / "ready.json").unlink(missing_ok=True)  # of a broker that was killed
        return BrokerProcess(tmp_path, "--data-dir", str(tmp_path / "data"), in_order=False)

    return start


def publish(broker):
    """Publish a persistent message to a durable queue, and wait for its confirm."""
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        channel.basic_publish("", "kept", b"kept", pika.BasicProperties(delivery_mode=2))


def get(broker):
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        return connection.channel().basic_get("kept", auto_ack=True)[2]


@pytest.mark.parametrize(
    ("system", "variables"),
    [
        ("windows", {}),
        ("macos", {}),
        ("macos", {"AMQPBROKER_FULLFSYNC_ERROR": str(errno.ENOTSUP)}),
    ],
    ids=["windows", "macos", "macos, on a network file system"],
)
def test_a_confirmed_message_outlives_a_kill(start, tmp_path, system, variables):
    with start(system, **variables) as broker:
        publish(broker)
        broker.process.kill()
    with start(system, **variables) as broker:
        assert get(broker) == b"kept"
    assert (tmp_path / "flushed").exists() is (system == "macos")


def test_broker_does_not_start_if_macos_cannot_flush_to_disk(start):
    with (
        pytest.raises(AssertionError, match=r"the broker did not start: .*Input/output error"),
        start("macos", AMQPBROKER_FULLFSYNC_ERROR=str(errno.EIO)),
    ):
        pass
