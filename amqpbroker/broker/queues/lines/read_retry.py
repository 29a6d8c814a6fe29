"""Retries of a queue whose stored messages temporarily cannot be read: no message leaves the queue until then."""

import logging
from collections.abc import Callable
from typing import Final

from amqpbroker.clock import Clock, Timer

log = logging.getLogger(__name__)

#: Delay before reading is tried again. Each attempt loads as many messages as can be read.
RETRY_MS: Final = 100


class ReadRetry:
    """Read attempts of one queue."""

    __slots__ = ("_clock", "_failed", "_timer", "_where")

    def __init__(self, clock: Clock, queue: str, vhost: str) -> None:
        self._clock = clock
        self._where = f"queue '{queue}' in vhost '{vhost}'"
        self._timer: Timer | None = None
        self._failed: bool = False

    def failed(self, error: Exception, read_again: Callable[[], bool]) -> None:
        """Schedule another attempt by `read_again()`. Consecutive failures are logged once.

        read_again(): calls this again if reading fails again; otherwise returns whether the messages can be read now.
        There are no more attempts if they cannot: nobody waits for them any more.
        """
        self._failed = True
        if self._timer is None:
            log.error("%s: messages cannot be read and wait until they can be: %s", self._where, error)
            self._arm(read_again)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, read_again: Callable[[], bool]) -> None:
        self._timer = self._clock.after(RETRY_MS, lambda: self._try(read_again))

    def _try(self, read_again: Callable[[], bool]) -> None:
        self._failed = False
        is_readable = read_again()
        if self._failed:
            self._arm(read_again)
            return
        self._timer = None
        if is_readable:
            log.warning("%s: messages can be read again", self._where)
