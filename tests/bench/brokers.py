"""The brokers that are compared, each a process of its own on loopback with a data directory of its own."""

import contextlib
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.rabbitmq import install, own_rabbitmq
from tests.bench.processes import family, memory_bytes, settle, with_environment
from tests.load.client import LoadClient
from tests.process import ENVIRONMENT, BrokerProcess

OURS = "amqpbroker"
THEIRS = "RabbitMQ"


@dataclass(frozen=True)
class Running:
    """A running broker. `start_s`: seconds from its start until AMQP and management accepted connections.

    directory: its data directory, empty if unknown.
    """

    name: str
    version: str
    port: int
    pids: list[int]
    start_s: float
    rest_bytes: int
    directory: str = ""

    @classmethod
    def now(cls, name: str, port: int, pid: int, start_s: float, version: str = "") -> "Running":
        """Describe a running broker. version: replaces the version and platform that it reports to its clients."""
        if not version:
            with LoadClient(port) as client:
                told, runtime = (client.server_properties[key].value.decode() for key in ("version", "platform"))
                client.close()
            version = f"{told} on {runtime}"
        pids = family(pid)
        settle(pids)
        return cls(name, version, port, pids, start_s, memory_bytes(pids))


@contextlib.contextmanager
def amqpbroker() -> Iterator[Running]:
    """This checkout's, with fsync, on free ports."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        directory = Path(folder)
        with BrokerProcess(directory, "--data-dir", str(directory / "data")) as broker:
            running = Running.now(
                OURS,
                broker.port,
                broker.process.pid,
                broker.start_s,
                f"{own_version()} on Python {platform.python_version()}",
            )
            yield replace(running, directory=str(directory / "data"))


def own_version() -> str:
    """As `amqpbroker --version` says it: with whatever else there is to say of how it was built."""
    command = [sys.executable, "-m", "amqpbroker", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    return done.stdout.strip().removeprefix("amqpbroker ")


@contextlib.contextmanager
def rabbitmq() -> Iterator[Running]:
    """Debian's, installed if it is missing."""
    install()
    started = time.monotonic()
    with own_rabbitmq() as target:
        start_s = time.monotonic() - started
        pid = with_environment("beam.smp", f"RABBITMQ_NODE_PORT={target.port}")
        yield Running.now(THEIRS, target.port, pid, start_s)
