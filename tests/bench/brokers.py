"""The compared brokers, each in its own process on loopback with its own data directory."""

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from conformance.rabbitmq import PLUGINS, free_port, install, own_rabbitmq
from tests.bench.lavinmq import LAVINMQ, own_lavinmq
from tests.bench.processes import family, memory_bytes, wait_until_idle, with_environment
from tests.certificates import Authority, Issued
from tests.load.client import LoadClient
from tests.process import ENVIRONMENT, BrokerProcess

OURS = "amqpbroker"
THEIRS = "RabbitMQ"

#: RabbitMQ's plugin for delayed messages, which Debian does not include, and its usual directory.
DELAYING = "rabbitmq_delayed_message_exchange"
LIBRARY = Path("/usr/lib/rabbitmq")
PLUGIN_FOLDERS = ("plugins", "lib/*/plugins")


@dataclass(frozen=True)
class Running:
    """A running broker. `start_s`: seconds from its start until AMQP and management accepted connections.

    directory: its data directory, empty if unknown. tls_port: its port for AMQP over TLS, 0 if it has none.
    management_port: the port of its management API, 0 if unused.
    """

    name: str
    version: str
    port: int
    pids: list[int]
    start_s: float
    rest_bytes: int
    directory: str = ""
    tls_port: int = 0
    management_port: int = 0

    @classmethod
    def now(cls, name: str, port: int, pid: int, start_s: float, version: str = "", tls_port: int = 0) -> "Running":
        """Describe a running broker. version: replaces the version and platform that it reports to its clients."""
        if not version:
            with LoadClient(port) as client:
                told, runtime = (client.server_properties[key].value.decode() for key in ("version", "platform"))
                client.close()
            version = f"{told} on {runtime}"
        pids = family(pid)
        wait_until_idle(pids)
        return cls(name, version, port, pids, start_s, memory_bytes(pids), tls_port=tls_port)


@contextlib.contextmanager
def certificate() -> Iterator[Issued]:
    """Yield a server certificate and its key, which processes of other users can read."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        directory = Path(folder)
        directory.chmod(0o755)
        yield Authority(directory).issue("server")


def tls_settings(port: int, issued: Issued) -> dict[str, str]:
    """Return the settings of rabbitmq.conf for a listener over TLS."""
    return {
        "listeners.ssl.default": f"127.0.0.1:{port}",
        "ssl_options.certfile": issued.certfile,
        "ssl_options.keyfile": issued.keyfile,
    }


@contextlib.contextmanager
def amqpbroker() -> Iterator[Running]:
    """Start the broker of this checkout, with fsync, on free ports."""
    tls_port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, certificate() as issued:
        directory = Path(folder)
        settings = [f"--set={key}={value}" for key, value in tls_settings(tls_port, issued).items()]
        with BrokerProcess(directory, "--data-dir", str(directory / "data"), *settings) as broker:
            running = Running.now(
                OURS,
                broker.port,
                broker.process.pid,
                broker.start_s,
                f"{own_version()} on Python {platform.python_version()}",
                tls_port,
            )
            yield replace(running, directory=str(directory / "data"), management_port=broker.port_of("http"))


def own_version() -> str:
    """Return the text of `amqpbroker --version`, which includes the kind of build."""
    command = [sys.executable, "-m", "amqpbroker", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=ENVIRONMENT)
    return done.stdout.strip().removeprefix("amqpbroker ")


def plugins(library: Path = LIBRARY) -> str:
    """Return the plugins to enable: those of the conformance suite, and `DELAYING` if it is installed."""
    installed = any(next(library.glob(f"{folder}/{DELAYING}*"), None) for folder in PLUGIN_FOLDERS)
    return PLUGINS.replace("]", f",{DELAYING}]") if installed else PLUGINS


@contextlib.contextmanager
def rabbitmq() -> Iterator[Running]:
    """Start Debian's RabbitMQ, and install it if it is missing."""
    install()
    tls_port = free_port()
    with certificate() as issued:
        settings = "".join(f"{key} = {value}\n" for key, value in tls_settings(tls_port, issued).items())
        started = time.monotonic()
        with own_rabbitmq(plugins(), settings) as target:
            start_s = time.monotonic() - started
            pid = with_environment("beam.smp", f"RABBITMQ_NODE_PORT={target.port}")
            running = Running.now(THEIRS, target.port, pid, start_s, tls_port=tls_port)
            yield replace(running, management_port=urlsplit(target.management_url or "").port or 0)


@contextlib.contextmanager
def lavinmq(binary: str) -> Iterator[Running]:
    """Start the LavinMQ of this binary, with its own defaults."""
    with certificate() as issued, own_lavinmq(binary, issued) as started:
        yield Running.now(LAVINMQ, started.port, started.pid, started.start_s, tls_port=started.tls_port)


Start = Callable[[], AbstractContextManager[Running]]


def compared() -> dict[str, Start]:
    """Return the start functions: RabbitMQ, this broker, and LavinMQ if the variable LAVINMQ names its binary."""
    brokers: dict[str, Start] = {THEIRS: rabbitmq, OURS: amqpbroker}
    if binary := os.environ.get("LAVINMQ"):
        brokers[LAVINMQ] = lambda: lavinmq(binary)
    return brokers
