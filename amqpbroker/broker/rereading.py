"""A queue whose stored messages cannot be read for now: nothing leaves it until that works, which is tried again."""

import logging
from typing import TYPE_CHECKING, Final

from amqpbroker.clock import Timer

if TYPE_CHECKING:
    from amqpbroker.broker.local_queue import LocalQueue

log = logging.getLogger(__name__)

#: How long until reading is tried again. Each time as much is taken as can be read.
RETRY_MS: Final = 100


class Rereading:
    """The attempts of one queue."""

    __slots__ = ("_failed", "_timer")

    def __init__(self) -> None:
        self._timer: Timer | None = None
        self._failed: bool = False

    def failed(self, queue: "LocalQueue", error: Exception) -> None:
        """Try again soon. The log is told once for all failures in a row."""
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
