"""The brokers that are compared, each a process of its own on loopback with a data directory of its own."""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from amqpbroker import __version__
from conformance.rabbitmq import install, own_rabbitmq
from tests.bench.processes import family, memory_bytes, settle, with_environment
from tests.load.client import LoadClient
from tests.process import BrokerProcess

OURS = "amqpbroker"
THEIRS = "RabbitMQ"


@dataclass(frozen=True)
class Running:
    """A broker that runs. `start_s`: from its start until AMQP and management could be connected to."""

    name: str
    version: str
    port: int
    pids: list[int]
    start_s: float
    rest_bytes: int

    @classmethod
    def now(cls, name: str, port: int, pid: int, start_s: float) -> "Running":
        with LoadClient(port) as client:
            version, platform = (client.server_properties[key].value.decode() for key in ("version", "platform"))
            client.close()
        pids = family(pid)
        settle(pids)
        version = __version__ if name == OURS else version
        return cls(name, f"{version} ({platform})", port, pids, start_s, memory_bytes(pids))


@contextlib.contextmanager
def amqpbroker() -> Iterator[Running]:
    """This checkout's, with fsync, on free ports."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        directory = Path(folder)
        with BrokerProcess(directory, "--data-dir", str(directory / "data")) as broker:
            yield Running.now(OURS, broker.port, broker.process.pid, broker.start_s)


@contextlib.contextmanager
def rabbitmq() -> Iterator[Running]:
    """Debian's, installed if it is missing."""
    install()
    started = time.monotonic()
    with own_rabbitmq() as target:
        start_s = time.monotonic() - started
        pid = with_environment("beam.smp", f"RABBITMQ_NODE_PORT={target.port}")
        yield Running.now(THEIRS, target.port, pid, start_s)
