"""A broker process of its own, started as users start it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

#: Time limit for operations that take a fraction of a second on an idle machine.
PATIENCE_S = 60

#: The signal that stops a broker in order. On Windows only Ctrl-Break reaches another process, if it leads a group.
STOP = getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM)
#: The signal upon which a broker writes the stacks of its threads, and ends.
HANG_REPORT = signal.SIGTERM if os.name == "nt" else signal.SIGABRT
_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)

#: The tests ignore the machine's settings. Bytecode is written, as for an installed broker.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("RABBITMQ_") and name != "PYTHONDONTWRITEBYTECODE"
} | {
    "RABBITMQ_CONFIG_FILE": os.devnull,
    "RABBITMQ_CONFIG_FILES": os.devnull,
    "RABBITMQ_ADVANCED_CONFIG_FILE": os.devnull,
    # A broker that hangs can be made to write where (`BrokerProcess.wait`).
    "PYTHONFAULTHANDLER": "1",
}


def cpu_s(pid: int) -> float:
    """Return the processor time of a process, NaN where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class BrokerProcess:
    """`amqpbroker serve` on a free port, with its log in `directory`. Its `with` block ends it and checks the exit
    status.

    It runs in memory unless the arguments name a data directory.
    """

    def __init__(self, directory: Path, *arguments: str, in_order: bool = True) -> None:
        self.arguments = arguments
        self.in_order = in_order
        self.ready_file = directory / "ready.json"
        self.log_file = directory / "broker.log"
        self.start_s = 0.0
        self.port = 0

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def __enter__(self) -> "BrokerProcess":
        command = [sys.executable, "-m", "amqpbroker", "serve", "--port", "0"]
        command += [] if "--data-dir" in self.arguments else ["--in-memory"]
        command += ["--ready-file", str(self.ready_file), *self.arguments]
        started = time.monotonic()
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT, creationflags=_GROUP
            )
        while not self.ready_file.exists():
            if self.process.poll() is not None or time.monotonic() > started + PATIENCE_S:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"the broker did not start: {self.log}")
            time.sleep(0.002)
        self.start_s = time.monotonic() - started
        self.port = self.port_of("amqp")
        return self

    def port_of(self, protocol: str) -> int:
        """Return the port of its first listener for the protocol, as in the ready file."""
        port: int = json.loads(self.ready_file.read_text())[protocol][0][1]
        return port

    def wait_for_log(self, text: str) -> None:
        """Wait for a text in the log, which is written independently of answers to clients and of the ready file."""
        until = time.monotonic() + PATIENCE_S
        while text not in self.log:
            assert time.monotonic() < until, f"{text!r} is not in the log: {self.log}"
            time.sleep(0.005)

    def signal(self, number: signal.Signals = STOP) -> None:
        self.process.send_signal(number)

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Wait for its end, and return the exit status. Raises AssertionError with the log of a broker that hangs."""
        try:
            return self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            pass
        before_s = cpu_s(self.process.pid)
        time.sleep(1)
        used_s = cpu_s(self.process.pid) - before_s
        # It writes the stacks of its threads.
        self.process.send_signal(HANG_REPORT)
        self.process.wait(PATIENCE_S)
        raise AssertionError(f"the broker did not end, and took {used_s:.2f} s of CPU in a second: {self.log}")

    def __exit__(self, *raised: object) -> None:
        try:
            if self.process.poll() is None:
                self.signal()
            status = self.wait()
        finally:
            self.process.kill()
            self.process.wait()
        if self.in_order and raised[0] is None:
            assert status == 0, self.log
            assert "Traceback" not in self.log, self.log
