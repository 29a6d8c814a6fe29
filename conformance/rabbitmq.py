"""Installs Debian's rabbitmq-server and runs it, on loopback only and separate from any other."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from conformance.errors import SetupError
from conformance.target import Target

PLUGINS = "[rabbitmq_management,rabbitmq_consistent_hash_exchange,rabbitmq_random_exchange,rabbitmq_event_exchange]."
START_WITHIN_S = 120.0
#: Number of open files that the package's service allows, if this machine does. The start script changes the user, and
#: with it the limit, to 1,024 by default. With thousands of durable queues, parts of RabbitMQ then crash over and over.
OPEN_FILES = 65_536
_RAISE_LIMIT = f"""most=$(ulimit -H -n)
if [ "$most" = unlimited ] || [ "$most" -gt {OPEN_FILES} ]; then most={OPEN_FILES}; fi
ulimit -S -n "$most"
"""
POLICY = Path("/usr/sbin/policy-rc.d")


def install() -> None:
    """Run `apt-get install rabbitmq-server` if it is missing, without starting a server. Requires root."""
    if shutil.which("rabbitmq-server"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SetupError("rabbitmq-server is not installed; installing it takes root and apt-get")
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        subprocess.run(["apt-get", "update", "-q"], check=True)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-qy", "--no-install-recommends", "rabbitmq-server"]
        subprocess.run(install, check=True, env=environment)
    except subprocess.CalledProcessError as error:
        raise SetupError(f"installing rabbitmq-server: {error}") from error
    finally:
        if ours:
            POLICY.unlink()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def own_rabbitmq(plugins: str = PLUGINS, settings: str = "") -> Iterator[Target]:
    """Run a blank RabbitMQ with its management API and plugins for exchanges, and stop it at the end of the block.

    settings: further lines of its rabbitmq.conf.
    """
    with own_node(plugins, settings) as node:
        node.start()
        yield node.target


@contextlib.contextmanager
def own_node(plugins: str = PLUGINS, settings: str = "") -> Iterator[Node]:
    """Create a blank RabbitMQ like `own_rabbitmq`, but without starting it. It is stopped at the end of the block."""
    install()
    with tempfile.TemporaryDirectory(prefix="rabbitmq-", ignore_cleanup_errors=True) as folder:
        node = Node(Path(folder), plugins, settings)
        try:
            yield node
        finally:
            node.stop()


class Node:
    """One RabbitMQ node, whose data stay in `base` between starts."""

    def __init__(self, base: Path, plugins: str, settings: str) -> None:
        self._base = base
        self._process: subprocess.Popen[bytes] | None = None
        amqp, management, distribution = free_port(), free_port(), free_port()
        self._ports = (amqp, management)
        self.target = Target("127.0.0.1", amqp, management_url=f"http://guest:guest@127.0.0.1:{management}")
        base.chmod(0o777)
        (base / "enabled_plugins").write_text(plugins + "\n")
        (base / "rabbitmq.conf").write_text(
            f"loopback_users.guest = true\nmanagement.tcp.port = {management}\nmanagement.tcp.ip = 127.0.0.1\n"
            + settings
        )
        (base / "rabbitmq-env.conf").write_text(_RAISE_LIMIT)
        self._environment = os.environ | {
            "HOME": str(base),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"conformance{amqp}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(amqp),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(base / "mnesia"),
            "RABBITMQ_LOG_BASE": str(base / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(base / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(base / "pid"),
            "RABBITMQ_CONFIG_FILE": str(base / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": str(base / "rabbitmq-env.conf"),
        }

    def start(self) -> None:
        """Start the server, and wait until AMQP and management accept connections. Raises SetupError."""
        with (self._base / "output").open("wb") as output:
            self._process = subprocess.Popen(["rabbitmq-server"], env=self._environment, stdout=output, stderr=output)
        _wait_listening(self._process, self._ports, self._base / "output")

    def stop(self) -> None:
        """End the server in order, if it runs."""
        self._end(signal.SIGTERM, signal.SIGKILL)

    def kill(self) -> None:
        """End the server like a crash, if it runs."""
        self._end(signal.SIGKILL)

    def _end(self, *numbers: signal.Signals) -> None:
        """Send one signal after the other until the server has ended.

        If root runs it, the start script changes user and session, so the server is known only by its pid file.
        """
        process, self._process = self._process, None
        if process is None:
            return
        for number in numbers:
            with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):
                os.kill(int((self._base / "pid").read_text()), number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
                return
        process.kill()
        process.wait()


def _wait_listening(process: subprocess.Popen[bytes], ports: tuple[int, ...], output: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    for port in ports:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SetupError(f"RabbitMQ did not start:\n{output.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)  # the duration of the start is measured, too
