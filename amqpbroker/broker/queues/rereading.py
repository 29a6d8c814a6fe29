"""Retries for a queue whose stored messages temporarily cannot be read: no message leaves the queue until then."""

import logging
from typing import TYPE_CHECKING, Final

from amqpbroker.clock import Timer

if TYPE_CHECKING:
    from amqpbroker.broker.queues.local_queue import LocalQueue

log = logging.getLogger(__name__)

#: Delay before reading is tried again. Each attempt loads as many messages as can be read.
RETRY_MS: Final = 100


class Rereading:
    """Read attempts of one queue."""

    __slots__ = ("_failed", "_timer")

    def __init__(self) -> None:
        self._timer: Timer | None = None
        self._failed: bool = False

    def failed(self, queue: "LocalQueue", error: Exception) -> None:
        """Schedule another attempt. Consecutive failures are logged once."""
        self._failed = True
        if self._timer is None:
            log.error(
                "queue '%s' in vhost '%s': messages cannot be read: %s; they wait until that works",
                queue.name,
                queue.vhost.name,
                error,
            )
            self._arm(queue)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, queue: "LocalQueue") -> None:
        self._timer = queue.clock.after(RETRY_MS, lambda: self._try(queue))

    def _try(self, queue: "LocalQueue") -> None:
        self._failed = False
        queue.read_again()
        if self._failed:
            self._arm(queue)
        else:
            self._timer = None
            log.warning("queue '%s' in vhost '%s': messages can be read again", queue.name, queue.vhost.name)
