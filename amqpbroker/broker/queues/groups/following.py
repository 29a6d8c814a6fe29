"""When messages of closed groups try to follow, and try again after no queue took one of them."""

from collections.abc import Callable
from typing import Final, final

from amqpbroker.clock import Clock, Timer

#: Time after which messages of closed groups try again to follow, after no queue took one of them. It doubles, up to
#: the maximum, each time that all groups were tried in vain; then an event in the queue may bring the try forward.
FOLLOW_AGAIN_MS: Final = 1000
FOLLOW_AGAIN_MAX_MS: Final = 60_000


@final
class Following:
    """Times the tries of one queue's closed groups."""

    def __init__(self, clock: Clock, follow: Callable[[], None]) -> None:
        """follow(): try to let messages follow."""
        self._clock: Clock = clock
        #: None when the queue is deleted.
        self._follow: Callable[[], None] | None = follow
        #: Set while messages wait for a later event loop iteration, or for another try.
        self._timer: Timer | None = None
        #: Time until that try, 0 if no message was refused; and the time from which on an event may bring it forward.
        self._pause_ms: int = 0
        self._from_ms: int = 0
        #: Number of groups that were tried in vain since a message was taken, or since the pause has grown.
        self._refused: int = 0

    @property
    def may_try(self) -> bool:
        """Return whether messages may try now, rather than when the next try is due."""
        return self._timer is None or (self._pause_ms > 0 and self._clock.now_ms() >= self._from_ms)

    def begin(self) -> None:
        """Begin a try. If it is not followed by another call, the next try waits for an event."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def succeeded(self) -> None:
        """End a try in which no message was refused."""
        # Meanwhile, a dead letter that was already leaving may have come back.
        if self._timer is None:
            self._reset()

    def go_on(self) -> None:
        """Try further messages in the next event loop iteration."""
        self._reset()
        self._wait(0)

    def try_again(self, refused: int, closed: int) -> None:
        """Try again after a pause. refused: number of groups that were tried in vain, 0 if a message was taken.

        closed: number of groups that have messages to follow.
        """
        self._refused = self._refused + refused if refused else 0
        pause_ms = self._pause_ms if refused else 0
        if pause_ms and self._refused >= closed:
            pause_ms *= 2
            self._refused = 0
        self._pause_ms = min(max(pause_ms, FOLLOW_AGAIN_MS), FOLLOW_AGAIN_MAX_MS)
        self._from_ms = self._clock.now_ms() + FOLLOW_AGAIN_MS
        self._wait(self._pause_ms)

    def stop(self) -> None:
        """Try no more, because the queue is deleted."""
        self.begin()
        self._follow = None

    def _reset(self) -> None:
        self._pause_ms = self._from_ms = self._refused = 0

    def _wait(self, delay_ms: int) -> None:
        self.begin()
        if self._follow is not None:
            self._timer = self._clock.after(delay_ms, self._try)

    def _try(self) -> None:
        self._timer = None
        if self._follow is not None:
            self._follow()
