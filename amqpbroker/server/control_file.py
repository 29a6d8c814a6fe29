"""Writes the control file of a running broker, see `control`."""

import contextlib
import json
import logging
import os
from pathlib import Path

from amqpbroker.clock import Clock, Timer
from amqpbroker.server.control import NAME

log = logging.getLogger(__name__)

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
