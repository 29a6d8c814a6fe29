"""The broker that a run uses."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

from conformance.client import Connection, Timing
from conformance.errors import SetupError
from conformance.management import Management
from conformance.network import Network, Sockets
from conformance.transcript import OWN_PROPERTY

START_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """A running broker. `management_url` (http://user:password@host:port): None if it has no management API."""

    host: str
    port: int
    user: str = "guest"
    password: str = "guest"
    management_url: str | None = None

    #: True if the objects of one case may be visible to another.
    lasting: ClassVar[bool] = True

    @classmethod
    def parse(cls, url: str, management_url: str | None = None) -> Target:
        """Parse `amqp://user:password@host:port`, every part except the host optional. Raises SetupError."""
        parts = urlsplit(url if "://" in url else f"amqp://{url}")
        if parts.scheme != "amqp" or not parts.hostname:
            raise SetupError(f"a target is written amqp://[user:password@]host[:port], not {url!r}")
        user, password = unquote(parts.username or "guest"), unquote(parts.password or "guest")
        return cls(parts.hostname, parts.port or 5672, user, password, management_url)

    @property
    def network(self) -> Network:
        """Return the connection to the target."""
        return Sockets((self.host, self.port))

    def management(self) -> Management:
        """Return the HTTP API. Raises SetupError if there is none."""
        if self.management_url is None:
            raise SetupError("this case needs a management API")
        return Management(self.management_url)

    def identity(self) -> tuple[str, str]:
        """Return the product with its version, and the cluster name. Raises SetupError if no broker answers.

        amqpbroker announces RabbitMQ's names and is recognised by its own server property.
        """
        try:
            connection = Connection("version", self.network, Timing(reply_s=5), lambda _: None)
        except OSError as error:
            raise SetupError(f"no broker answers on {self.host}:{self.port}: {error}") from error
        connection.send(b"AMQP\x00\x00\x09\x01")
        properties = connection.wait(0, "connection.start").arguments.get("server_properties", {})
        connection.drop()
        own, product, version, cluster = (
            str(properties.get(key, "S:?")).removeprefix("S:")
            for key in (OWN_PROPERTY, "product", "version", "cluster_name")
        )
        name = f"{product} {version}"
        return name if own == "?" else f"amqpbroker {own} as {name}", cluster


@contextlib.contextmanager
def own_amqpbroker() -> Iterator[Target]:
    """Start this checkout's broker and its management API on free ports, in a process that ends with the block.

    It has no extensions, so that it refuses and ignores what RabbitMQ does.
    """
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        ready, log = Path(folder, "ready.json"), Path(folder, "log")
        command = [
            sys.executable,
            "-m",
            "amqpbroker",
            "serve",
            "--port",
            "0",
            "--management-port",
            "0",
            "--in-memory",
            "--set",
            "extensions=off",
            "--ready-file",
            str(ready),
        ]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            listening = _wait_ready(process, ready, log)
            host, port = listening["amqp"][0]
            _, management = listening["http"][0]
            yield Target(host, port, management_url=f"http://guest:guest@{host}:{management}")
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(process: subprocess.Popen[bytes], ready: Path, log: Path) -> dict[str, list[tuple[str, int]]]:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            found: dict[str, list[tuple[str, int]]] = json.loads(ready.read_text())
            return found
        time.sleep(0.02)
    raise SetupError(f"amqpbroker did not start:\n{log.read_text(errors='replace')[-2000:]}")
