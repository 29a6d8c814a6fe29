"""Install the dependencies of the clients, on a Debian machine as root.

Only `python -m interop --install` calls this.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import conformance.rabbitmq
from conformance.errors import SetupError
from interop.clients import HERE, ROOT, WORK, Client


def install(clients: Iterable[Client], *, rabbitmq: bool = False) -> list[str]:
    """Install the packages of these clients, each kind in one command; return one line for each failure.

    A failure is not raised: the client that lacks the package then fails in the matrix, and the others still run.
    """
    clients = list(clients)
    failures = []
    packages = sorted({package for client in clients for package in client.apt if not _has_program(package)})
    files = [client.apt_file for client in clients if client.apt_file is not None]
    if packages or files:
        failures += _run("apt-get", "update", "-q")
    for package, file in files:
        failures += _take_out(package, file)
    if packages:
        failures += _run("apt-get", "install", "-qy", "--no-install-recommends", *packages)
    if rabbitmq:
        failures += _rabbitmq()
    for client in clients:
        if client.npm:
            failures += _run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--prefix", client.npm)
    if any("Python" in client.language for client in clients):
        failures += _run(sys.executable, "-m", "pip", "install", "-q", "-r", str(HERE / "requirements.txt"))
    return failures


def _rabbitmq() -> list[str]:
    try:
        conformance.rabbitmq.install()
    except SetupError as error:
        return [str(error)]
    return []


def _take_out(package: str, file: str) -> list[str]:
    """Extract one file of a Debian package to `WORK`, without installing the package (which may start a server)."""
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="interop-") as folder:
        failures = _run("apt-get", "download", "-q", package, cwd=folder)
        for archive in Path(folder).glob("*.deb"):
            failures += _run("dpkg-deb", "-x", str(archive), folder)
        if (Path(folder) / file).exists():
            shutil.copy(Path(folder) / file, WORK)
        elif not failures:
            failures.append(f"{package} has no {file}")
    return failures


def _has_program(package: str) -> bool:
    """Return True for a package that is only needed for its program, if that is installed otherwise (nodejs, npm)."""
    program = {"nodejs": "node", "npm": "npm"}.get(package)
    return program is not None and subprocess.run(["which", program], capture_output=True, check=False).returncode == 0


def _run(*command: str, cwd: str | Path = ROOT) -> list[str]:
    print("+", *command, flush=True)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        status = subprocess.run(command, cwd=cwd, env=environment, check=False).returncode
    except OSError as error:
        return [f"{' '.join(command)}: {error}"]
    return [f"{' '.join(command)}: exit status {status}"] if status else []
