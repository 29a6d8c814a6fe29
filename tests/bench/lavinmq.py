"""A LavinMQ from a binary of the user: on loopback, with its own data directory and ports."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import SetupError
from conformance.rabbitmq import free_port
from tests.certificates import Issued

LAVINMQ = "LavinMQ"
START_WITHIN_S = 30.0
END_WITHIN_S = 10.0


@dataclass(frozen=True)
class Started:
    """A running LavinMQ. `start_s`: seconds from its start until AMQP and its API accepted connections."""

    port: int
    tls_port: int
    pid: int
    start_s: float


def configuration(directory: Path, issued: Issued, port: int, tls_port: int, management_port: int) -> str:
    """Return its configuration file. MQTT and the metrics are off, because their ports may be in use."""
    return f"""\
[main]
data_dir = {directory / "data"}
control_unix_path = {directory / "control.sock"}
metrics_http_port = -1
tls_cert = {issued.certfile}
tls_key = {issued.keyfile}

[amqp]
bind = 127.0.0.1
port = {port}
tls_port = {tls_port}

[mgmt]
bind = 127.0.0.1
port = {management_port}
tls_port = -1

[mqtt]
port = -1
tls_port = -1
"""


@contextlib.contextmanager
def own_lavinmq(binary: str, issued: Issued) -> Iterator[Started]:
    """Start the binary, and end it with the block. Raises SetupError if it does not accept connections."""
    with tempfile.TemporaryDirectory(prefix="lavinmq-", ignore_cleanup_errors=True) as folder:
        directory = Path(folder)
        port, tls_port, management_port = free_port(), free_port(), free_port()
        file = directory / "lavinmq.ini"
        file.write_text(configuration(directory, issued, port, tls_port, management_port))
        output = directory / "output"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LAVINMQ")}
        began = time.monotonic()
        with output.open("wb") as log:
            try:
                command = [binary, f"--config={file}"]
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
            except OSError as error:
                raise SetupError(f"LAVINMQ={binary} cannot be run: {error.strerror}") from error
        try:
            for each in (port, management_port):
                _wait_listening(process, each, output)
            yield Started(port, tls_port, process.pid, time.monotonic() - began)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_WITHIN_S)
            process.kill()
            process.wait()


def _wait_listening(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise SetupError(f"LavinMQ did not start:\n{output.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)
