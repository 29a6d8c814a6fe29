"""The ready file: JSON for whoever started the broker, there exactly while clients can connect.

{"pid": PID, "amqp": [["HOST", PORT], ...]}
"""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path


def write(path: Path, addresses: Sequence[tuple[str, int]]) -> None:
    """Write it whole or not at all. Raises OSError."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps({"pid": os.getpid(), "amqp": addresses}) + "\n")
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
