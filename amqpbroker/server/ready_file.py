"""The ready file: JSON for whoever started the broker, there exactly while clients can connect.

{"pid": PID, "amqp": [["HOST", PORT], ...], "http": [["HOST", PORT], ...], ...}, by the listeners' protocols.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from amqpbroker.broker.node import Listening


def write(path: Path, listening: Iterable[Listening]) -> None:
    """Write it whole or not at all. Raises OSError."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    ports: dict[str, list[tuple[str, int]]] = {"amqp": []}
    for protocol, host, port in listening:
        ports.setdefault(protocol, []).append((host, port))
    try:
        part.write_text(json.dumps({"pid": os.getpid(), **ports}) + "\n")
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def remove(path: Path) -> None:
    """Remove this process's, and leave one that another process wrote since."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path.read_text())["pid"] == os.getpid():
            path.unlink()
