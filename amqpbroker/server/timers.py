"""Drives the broker's clock from the event loop: one loop timer, set to the earliest of the clock's."""

import asyncio
import logging

from amqpbroker.clock import Clock

log = logging.getLogger(__name__)


class Timers:
    """Fires what is due on `clock` in time, for as long as the loop runs."""

    __slots__ = ("_clock", "_due_ms", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._loop = loop
        self._clock = clock
        self._handle: asyncio.TimerHandle | None = None
        self._due_ms = 0
        clock.on_earlier = self._wake_at
        due_ms = clock.next_due_ms()
        if due_ms is not None:
            self._wake_at(due_ms)

    def close(self) -> None:
        """Fire nothing any more."""
        self._clock.on_earlier = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def rearm(self) -> None:
        """The clock was moved: what is due comes at another time now."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        due_ms = self._clock.next_due_ms()
        if due_ms is not None and self._clock.on_earlier is not None:
            self._wake_at(due_ms)

    def _wake_at(self, due_ms: int) -> None:
        if self._handle is not None:
            if self._due_ms <= due_ms:
                return
            self._handle.cancel()
        self._due_ms = due_ms
        # At least 1 ms, the clock's grain: a loop that wakes a little early must not spin until the time has come.
        delay_ms = max(due_ms - self._clock.now_ms(), 1)
        self._handle = self._loop.call_later(delay_ms / 1000, self._fire)

    def _fire(self) -> None:
        # The handle stays in place while timers fire, so that those they set do not each set the loop's.
        self._due_ms = 0
        try:
            self._clock.fire_due()
        except Exception:
            log.exception("a timer failed")
        self._handle = None
        due_ms = self._clock.next_due_ms()
        if due_ms is not None and self._clock.on_earlier is not None:
            self._wake_at(due_ms)
