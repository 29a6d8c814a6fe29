"""The control file: how tools on this machine reach the broker of a data directory, as its owner.

{"pid": PID, "url": "http://HOST:PORT/PREFIX", "token": "..."}, which only the directory's owner may read. Who can read
it may do everything, as with RabbitMQ's cookie.
"""

import contextlib
import json
import os
from pathlib import Path

NAME = "control.json"


def write(directory: Path, url: str, token: str) -> None:
    """Raises OSError."""
    path = directory / NAME
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"pid": os.getpid(), "url": url, "token": token}, file)


def remove(directory: Path) -> None:
    with contextlib.suppress(OSError):
        (directory / NAME).unlink()


def read(directory: Path) -> tuple[str, str] | None:
    """(url, token); None if no broker runs there that can be reached. Raises OSError if it may not be read."""
    try:
        found = json.loads((directory / NAME).read_text())
        return found["url"], found["token"]
    except (FileNotFoundError, ValueError, KeyError):
        return None
