"""Numbers of the dead letters of closed message groups, which no two queues of a vhost share."""

from typing import final

from amqpbroker.clock import Clock

#: Numbers in a millisecond. No queue sends letters that fast, so its numbers stay below those of later queues.
_PER_MS = 1000


@final
class LetterNumbers:
    """The numbers that the queues of one vhost have used or reserved.

    A dead letter has the name of the queue in which it died. A later queue of that name must not take it for its own,
    so its numbers begin above those of the earlier queue.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest = 0

    def before_first(self) -> int:
        """Return the number before the first one of a new queue.

        It depends on the wall clock, so that it also exceeds the numbers of queues that existed before a restart.
        """
        return max(self._newest, self._clock.wall_ms() * _PER_MS)

    def reserved(self, newest: int) -> None:
        """Record that a queue may use numbers up to `newest`."""
        self._newest = max(self._newest, newest)
