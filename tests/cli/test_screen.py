"""The ready screen on a terminal, and the one line elsewhere."""

import contextlib
import os
import pty
import signal
import subprocess
import sys

import pytest

from amqpbroker import __version__, compiled
from amqpbroker.cli import screen
from amqpbroker.cli.screen import Screen
from amqpbroker.compiled import how_it_runs
from amqpbroker.config import load
from amqpbroker.server.app import Listening
from tests.process import ENVIRONMENT

LISTENING = [
    Listening("amqp", "127.0.0.1", 5672),
    Listening("http", "0.0.0.0", 15672),
    Listening("http/prometheus", "::1", 15692),
]


class Users:
    """Users of a broker, of whom guest has a password."""

    def __init__(self, password):
        self._password = password

    def authenticate(self, name, password):
        return name if name == "guest" and password == self._password else None


class Server:
    def __init__(self, password):
        self.broker = self
        self.users = Users(password)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep notes of advice in a directory of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def shown(capsys):
    """Return a function that returns the lines of the screen."""

    def shown(*settings, terminal=True, password=b"guest", in_memory=True, times=1):
        config = load(settings, {})
        object.__setattr__(config, "in_memory", in_memory)
        made = Screen(config, terminal)
        made.server = Server(password)
        for _ in range(times):
            made.ready(LISTENING)
        made.stopped()
        return capsys.readouterr().err.splitlines()

    return shown


def test_ready_screen_is_one_line_without_a_terminal(shown):
    assert shown(terminal=False) == [
        f"amqpbroker {__version__} ({how_it_runs()}) ready: "
        "amqp 127.0.0.1:5672, http 0.0.0.0:15672, http/prometheus [::1]:15692"
    ]


def test_ready_screen_on_a_terminal_has_urls_login_and_data(shown, monkeypatch):
    monkeypatch.setattr(screen, "is_compiled", lambda: True)
    monkeypatch.setattr(compiled, "is_compiled", lambda: True)
    assert shown() == [
        f"amqpbroker {__version__} (compiled) is ready. It is compatible with RabbitMQ 4.0.5.",
        "",
        "  AMQP        amqp://guest:guest@127.0.0.1:5672/",
        "  Management  http://127.0.0.1:15672/  (on all interfaces: 0.0.0.0:15672)",
        "  Metrics     http://[::1]:15692/metrics",
        "  Login       user guest, password guest (from this machine only)",
        "  Data        in memory, gone at the end",
        "",
        "Press Ctrl-C to stop.",
        "amqpbroker has stopped. It ran in memory, so nothing is stored.",
    ]


def test_ready_screen_does_not_show_a_changed_password(shown):
    lines = shown(password=b"other")
    assert "  AMQP        amqp://127.0.0.1:5672/" in lines
    assert not any("guest" in line for line in lines)


def test_ready_screen_names_the_data_directory(shown):
    lines = shown(in_memory=False)
    (directory,) = (line.removeprefix("  Data        ") for line in lines if line.startswith("  Data"))
    assert os.path.isabs(directory)
    assert lines[-1] == f"amqpbroker has stopped. Data is in {directory}."


def test_ready_screen_after_a_restart_is_one_line(shown):
    assert shown(times=2)[-2] == "Restarted. Press Ctrl-C to stop."


def test_ready_screen_of_an_interpreted_broker_has_advice_once(shown, monkeypatch):
    monkeypatch.setattr(compiled, "is_compiled", lambda: False)
    first = shown()
    text = " ".join(first)
    assert "runs interpreted" in text
    assert "This advice is shown once." in first
    assert max(len(line) for line in first if not line.startswith("  ")) <= 80
    assert "runs interpreted" not in " ".join(shown())


@pytest.mark.process
def test_broker_on_a_terminal_shows_the_ready_screen_and_coloured_logs(cache):
    mine, its = pty.openpty()
    command = [sys.executable, "-m", "amqpbroker", "--in-memory", "--port", "0", "--log-level", "info"]
    environment = ENVIRONMENT | {"TERM": "xterm", "XDG_CACHE_HOME": str(cache)}
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    text, signalled = b"", False
    with contextlib.suppress(OSError):  # the other end is closed
        while data := os.read(mine, 4096):
            text += data
            if b"Press Ctrl-C to stop." in text and not signalled:
                process.send_signal(signal.SIGINT)
                signalled = True
    os.close(mine)
    assert process.wait(60) == 0
    lines = text.decode().splitlines()
    assert any("amqp://guest:guest@127.0.0.1:" in line for line in lines)
    assert any("\x1b[0m[info]\x1b[0m" in line for line in lines)
    assert any("amqpbroker has stopped." in line for line in lines)
