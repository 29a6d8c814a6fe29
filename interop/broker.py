"""The broker process for a client: started, restarted on the same port, and stopped by its pid."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

MAX_MESSAGE_SIZE = 64 * 1024 * 1024
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


class BrokerError(Exception):
    """The broker did not start, run or end as it should; the text includes the end of its log."""


class Broker(ABC):
    """One broker process on a port of 127.0.0.1, in its own directory, which is removed with it.

    Subclasses define the command and the check for readiness.
    """

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="interop-broker-", ignore_cleanup_errors=True)
        self.directory = Path(self._directory.name)
        self.port = 0
        self.management_port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def version(self) -> str:
        """Return name and version for the table in the documentation."""

    @abstractmethod
    def _command(self) -> tuple[list[str], dict[str, str]]:
        """Return the command line, and additional environment variables."""

    @abstractmethod
    def _ready(self) -> bool:
        """Return True when clients can connect; sets the ports if the broker chose them."""

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.management_port}"

    @property
    def log(self) -> str:
        path = self.directory / "broker.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> None:
        """Start and wait until it is ready. Raises BrokerError."""
        command, environment = self._command()
        try:
            with open(self.directory / "broker.log", "ab") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=os.environ | environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise BrokerError(f"cannot start {command[0]}: {error}") from error
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._ready():
            if self._process.poll() is not None:
                raise BrokerError(f"exited with {self._process.returncode} at start: {self._log_end()}")
            if time.monotonic() > deadline:
                self.kill()
                raise BrokerError(f"not ready after {START_TIMEOUT_S:.0f} s: {self._log_end()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the broker with SIGTERM and wait.

        Raises BrokerError if it does not exit with 0 or logged a traceback.
        """
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BrokerError(f"still running {STOP_TIMEOUT_S:.0f} s after SIGTERM: {self._log_end()}") from None
        self._process = None
        if status != 0:
            raise BrokerError(f"exited with {status}: {self._log_end()}")
        if "Traceback (most recent call last)" in self.log:
            raise BrokerError(f"logged a traceback: {self._log_end()}")

    def restart(self) -> None:
        """Stop the broker and start it again on the same port."""
        self.stop()
        self.start()

    def kill(self) -> None:
        """Kill the broker and its children at once, in any state."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Remove its directory; a process that still runs is killed."""
        self.kill()
        self._directory.cleanup()

    def _log_end(self) -> str:
        return " | ".join(line.strip() for line in self.log.splitlines()[-6:] if line.strip()) or "(empty log)"


class AmqpBroker(Broker):
    """`amqpbroker serve` with its state in memory, so a restart loses declarations and messages."""

    def __init__(self, command: list[str] | None = None, options: Sequence[str] = ()) -> None:
        """command: the command before `serve`, by default `python -m amqpbroker` of this Python.

        options: further options.
        """
        super().__init__()
        self.options = options
        self.command = command or [sys.executable, "-m", "amqpbroker"]
        self._ready_file = self.directory / "ready.json"

    @property
    def version(self) -> str:
        try:
            shown = subprocess.run(
                [*self.command, "--version"], capture_output=True, text=True, timeout=START_TIMEOUT_S, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return "amqpbroker of unknown version"
        return shown.stdout.strip()

    def _command(self) -> tuple[list[str], dict[str, str]]:
        self._ready_file.unlink(missing_ok=True)
        options = ["--port", str(self.port), "--in-memory", "--ready-file", str(self._ready_file)]
        options += ["--management-port", str(self.management_port), "--set", "prometheus.tcp.port=none"]
        return [*self.command, "serve", *options, "--set", f"max_message_size={MAX_MESSAGE_SIZE}", *self.options], {}

    def _ready(self) -> bool:
        try:
            ready = json.loads(self._ready_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):  # missing, or being written
            return False
        self.port, self.management_port = ready["amqp"][0][1], ready["http"][0][1]
        return True
