"""Installs Debian's rabbitmq-server and runs it, on loopback only and out of the way of any other."""

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
POLICY = Path("/usr/sbin/policy-rc.d")


def install() -> None:
    """`apt-get install rabbitmq-server` where it is missing, without the package starting a server. Needs root."""
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
    """A RabbitMQ with blank state, its management API, and the plugins that have exchanges; gone with the block.

    settings: further lines of its rabbitmq.conf.
    """
    install()
    with tempfile.TemporaryDirectory(prefix="rabbitmq-", ignore_cleanup_errors=True) as folder:
        base = Path(folder)
        base.chmod(0o777)
        amqp, management, distribution = free_port(), free_port(), free_port()
        node = f"conformance{amqp}@localhost"
        (base / "enabled_plugins").write_text(plugins + "\n")
        (base / "rabbitmq.conf").write_text(
            f"loopback_users.guest = true\nmanagement.tcp.port = {management}\nmanagement.tcp.ip = 127.0.0.1\n"
            + settings
        )
        environment = os.environ | {
            "HOME": folder,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(amqp),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(base / "mnesia"),
            "RABBITMQ_LOG_BASE": str(base / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(base / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(base / "pid"),
            "RABBITMQ_CONFIG_FILE": str(base / "rabbitmq"),
        }
        with (base / "output").open("wb") as output:
            process = subprocess.Popen(["rabbitmq-server"], env=environment, stdout=output, stderr=output)
        try:
            _wait_listening(process, (amqp, management), base / "output")
            yield Target("127.0.0.1", amqp, management_url=f"http://guest:guest@127.0.0.1:{management}")
        finally:
            _stop(process, base / "pid")


def _wait_listening(process: subprocess.Popen[bytes], ports: tuple[int, ...], output: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    for port in ports:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise SetupError(f"RabbitMQ did not start:\n{output.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)  # how long it takes is measured, too


def _stop(process: subprocess.Popen[bytes], pid_file: Path) -> None:
    """Tell the server to end, and wait for it.

    Run by root the start script changes user and session, so the server is known only by the pid it wrote down.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, ValueError):
            os.kill(int(pid_file.read_text()), number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
            return
    process.kill()
    process.wait()
