"""Brokers that are killed, and restarted with their data: RabbitMQ and this one."""

import contextlib
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from conformance.rabbitmq import Node, free_port, own_node
from tests.bench.brokers import OURS, THEIRS, plugins
from tests.bench.processes import family, with_environment
from tests.process import BrokerProcess


class Restartable(Protocol):
    """A broker with a data directory and a fixed port. It does not run at first."""

    @property
    def port(self) -> int: ...
    @property
    def pids(self) -> list[int]:
        """Return its processes."""

    def start(self) -> None:
        """Start the broker, and wait until it accepts connections."""

    def kill(self) -> None:
        """Kill the broker, like a crash."""


class RestartableRabbitMq:
    def __init__(self, node: Node) -> None:
        self._node = node
        self.port = node.target.port

    @property
    def pids(self) -> list[int]:
        return family(with_environment("beam.smp", f"RABBITMQ_NODE_PORT={self.port}"))

    def start(self) -> None:
        self._node.start()

    def kill(self) -> None:
        self._node.kill()


class RestartableOwn:
    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._process = BrokerProcess(
            directory, f"--port={self.port}", "--data-dir", str(directory / "data"), in_order=False
        )

    @property
    def pids(self) -> list[int]:
        return family(self._process.process.pid)

    def start(self) -> None:
        self._process.ready_file.unlink(missing_ok=True)
        self._process.__enter__()

    def kill(self) -> None:
        self._process.signal(signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def own_rabbitmq() -> Iterator[Restartable]:
    with own_node(plugins()) as node:
        yield RestartableRabbitMq(node)


@contextlib.contextmanager
def own_broker() -> Iterator[Restartable]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        broker = RestartableOwn(Path(folder))
        try:
            yield broker
        finally:
            with contextlib.suppress(AttributeError):  # it was never started
                broker.kill()


RESTARTABLE: dict[str, Callable[[], AbstractContextManager[Restartable]]] = {THEIRS: own_rabbitmq, OURS: own_broker}
