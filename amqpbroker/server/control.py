"""The control file: how tools on this machine reach the broker of a data directory, as its owner.

{"pid": PID, "url": "http://HOST:PORT/PREFIX", "token": "..."}, which only the directory's owner may read. A
user who can read it may do everything, as with RabbitMQ's cookie. `control_file` writes it.
"""

import json
from pathlib import Path

NAME = "control.json"


def read(directory: Path) -> tuple[str, str] | None:
    """(url, token); None if no broker runs there that can be reached. Raises OSError if it may not be read."""
    try:
        found = json.loads((directory / NAME).read_text())
        return found["url"], found["token"]
    except (FileNotFoundError, ValueError, KeyError):
        return None
