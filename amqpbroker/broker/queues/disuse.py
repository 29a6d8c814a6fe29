"""x-expires: a queue that nobody uses goes."""

from functools import partial
from typing import TYPE_CHECKING

from amqpbroker.clock import Timer

if TYPE_CHECKING:
    from amqpbroker.broker.queues.local_queue import LocalQueue


class Disuse:
    """How long a queue has not been used: consumed from, got from, declared. Publishing is no use.

    It has one timer, which is not moved by each use but looks whether there was one.
    """

    __slots__ = ("_timer", "_used_ms")

    def __init__(self) -> None:
        self._used_ms: int = 0
        self._timer: Timer | None = None

    def used(self, queue: "LocalQueue") -> None:
        """It was, just now; its settings have an x-expires."""
        self._used_ms = queue.clock.now_ms()
        if self._timer is None:
            self._look_at(queue, self._used_ms + queue.settings.expires_ms)

    def stop(self) -> None:
        """It may stay, until it is used again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at(self, queue: "LocalQueue", due_ms: int) -> None:
        self._timer = queue.clock.at(due_ms, partial(self._look, queue))

    def _look(self, queue: "LocalQueue") -> None:
        self._timer = None
        if queue.closed or queue.settings.expires_ms < 0 or queue.consumers.all:
            return
        due_ms = self._used_ms + queue.settings.expires_ms
        if due_ms > queue.clock.now_ms():
            self._look_at(queue, due_ms)
        else:
            queue.vhost.drop_queue(queue, queue.kind.expired_by)
