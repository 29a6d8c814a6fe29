"""Install what the clients need, on a Debian machine as root. Only `python -m interop --install` calls this."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable

from interop.clients import HERE, ROOT, Client


def install(clients: Iterable[Client], *, rabbitmq: bool = False) -> list[str]:
    """Install the packages of these clients, each kind in one go; what failed, as one line each.

    A failure is not raised: the client that lacks the package then fails in the matrix, and the others still run.
    """
    clients = list(clients)
    failures = []
    packages = sorted({package for client in clients for package in client.apt if not _has_program(package)})
    if rabbitmq:
        packages.append("rabbitmq-server")
    if packages:
        failures += _run("apt-get", "update", "-q")
        failures += _run("apt-get", "install", "-qy", "--no-install-recommends", *packages)
    for client in clients:
        if client.npm:
            failures += _run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", client.npm)
    if any(client.language == "Python" for client in clients):
        failures += _run(sys.executable, "-m", "pip", "install", "-q", "-r", str(HERE / "requirements.txt"))
    return failures


def _has_program(package: str) -> bool:
    """True for a package that is only wanted for its program, when that is there from elsewhere (nodejs, npm)."""
    program = {"nodejs": "node", "npm": "npm"}.get(package)
    return program is not None and subprocess.run(["which", program], capture_output=True, check=False).returncode == 0


def _run(*command: str) -> list[str]:
    print("+", *command, flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    except OSError as error:
        return [f"{' '.join(command)}: {error}"]
    return [f"{' '.join(command)}: exit status {status}"] if status else []
