"""The control file of a broker that waits: tools on its machine reach the leader through it."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from amqpbroker.clock import SystemClock
from amqpbroker.server.control import ControlFile, token_of
from amqpbroker.store.database.leadership import Leader, Target
from amqpbroker.store.directory.ownership import Ownership
from amqpbroker.store.files import Files
from amqpbroker.store.log import StoreError

log = logging.getLogger(__name__)

#: Interval between two checks for another leader.
CHECK_S: Final = 0.5


class WaitingControl:
    """The control file in a data directory, until `close`. There is none if another broker has the directory."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, directory: Path, url: str, leader: Callable[[], Leader | None]
    ) -> None:
        """url: of this broker's management API. leader: returns the present one."""
        self._loop = loop
        self._url = url
        self._leader = leader
        self._written: Target | None = None
        self._checking: asyncio.TimerHandle | None = None
        self._owned: Ownership | None = None
        try:
            self._owned = Ownership(directory, Files())
        except StoreError as error:
            log.warning("amqpbroker ctl does not find this broker while it waits: %s", error)
        self._file = ControlFile(directory, SystemClock())

    def start(self) -> None:
        if self._owned is not None:
            self._check()

    def _check(self) -> None:
        leader = self._leader()
        if leader is not None and leader.target != self._written:
            self._file.write(self._url, token_of(leader.target.secret))
            self._written = leader.target
        self._checking = self._loop.call_later(CHECK_S, self._check)

    def close(self) -> None:
        """Remove the file, and release the directory for the broker that leads next."""
        if self._checking is not None:
            self._checking.cancel()
        if self._owned is not None:
            self._file.remove()
            self._owned.close()
