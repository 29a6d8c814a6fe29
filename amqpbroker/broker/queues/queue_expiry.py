"""Expiry of unused queues: x-expires."""

from collections.abc import Callable

from amqpbroker.clock import Clock, Timer


class QueueExpiry:
    """A timer that deletes a queue which was unused for a time. A consumer, basic.get and a declaration use a queue.

    A publish does not use the queue. A use does not move the timer: when the timer fires, it is set again if there was
    a use.
    """

    __slots__ = ("_clock", "_timer", "_used_ms")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._used_ms: int = 0
        self._timer: Timer | None = None

    def used(self, expires_ms: int, expired: Callable[[], None]) -> None:
        """Note a use of the queue, just now. expired(): called if the queue is then unused for `expires_ms`."""
        self._used_ms = self._clock.now_ms()
        if self._timer is None:
            self._check_at(self._used_ms + expires_ms, expires_ms, expired)

    def stop(self) -> None:
        """Stop the timer until the queue is used again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_at(self, due_ms: int, expires_ms: int, expired: Callable[[], None]) -> None:
        self._timer = self._clock.at(due_ms, lambda: self._check(expires_ms, expired))

    def _check(self, expires_ms: int, expired: Callable[[], None]) -> None:
        self._timer = None
        due_ms = self._used_ms + expires_ms
        if due_ms > self._clock.now_ms():
            self._check_at(due_ms, expires_ms, expired)
        else:
            expired()
