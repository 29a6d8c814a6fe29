"""The control file: how tools on this machine reach the broker of a data directory, as its owner.

{"pid": PID, "url": "http://HOST:PORT/PREFIX", "token": "..."}, which only the directory's owner may read. A
user who can read it may do everything, as with RabbitMQ's cookie.
"""

import contextlib
import json
import logging
import os
from pathlib import Path

from amqpbroker.clock import Clock, Timer

log = logging.getLogger(__name__)

NAME = "control.json"

#: Interval between attempts to write the control file.
RETRY_MS = 10_000


class ControlFile:
    """The control file of a running broker in `directory`."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._retry: Timer | None = None

    def write(self, url: str, token: str) -> None:
        """Write the file now, or retry until it succeeds, since a broker also starts on a full disk."""
        try:
            _write(self._directory / NAME, {"pid": os.getpid(), "url": url, "token": token})
        except OSError as error:
            if self._retry is None:
                log.warning(
                    "%s cannot be written, so that amqpbroker ctl does not find this broker until it can be: %s",
                    self._directory / NAME,
                    error.strerror,
                )
            self._retry = self._clock.after(RETRY_MS, lambda: self.write(url, token))

    def remove(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        with contextlib.suppress(OSError):
            (self._directory / NAME).unlink()


def _write(path: Path, content: dict[str, object]) -> None:
    """Write the file atomically. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def read(directory: Path) -> tuple[str, str] | None:
    """(url, token); None if no broker runs there that can be reached. Raises OSError if it may not be read."""
    try:
        found = json.loads((directory / NAME).read_text())
        return found["url"], found["token"]
    except (FileNotFoundError, ValueError, KeyError):
        return None
