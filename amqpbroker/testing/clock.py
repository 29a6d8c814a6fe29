"""A broker's time, as a test moves it."""

import datetime
from collections.abc import Callable, Coroutine
from typing import Any

from amqpbroker.testing.time_travel import TimeTravel

#: How long moving on may take: years have many seconds in which something may be due.
PATIENCE_S = 600

#: Runs a coroutine on the loop's thread and returns its result: (coroutine, timeout in seconds, name of the call).
Run = Callable[[Coroutine[Any, Any, Any], float, str], Any]


class BrokerClock:
    """Runs with the machine's, until it is moved on or frozen."""

    def __init__(self, run: Run, travel: Callable[[], TimeTravel]) -> None:
        self._run = run
        self._travel = travel

    def advance(
        self,
        delta: datetime.timedelta | None = None,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
    ) -> None:
        """Let so much time pass: TTLs, delays, x-expires, timeouts, heartbeats and what follows from them happen in
        their order, and have been written to the sockets when this returns. Raises ValueError for time that is past.
        """
        spans = {"days": days, "hours": hours, "minutes": minutes, "seconds": seconds, "milliseconds": milliseconds}
        try:
            total = datetime.timedelta(**spans) + (delta or datetime.timedelta())
        except (OverflowError, ValueError) as error:
            asked = ", ".join(f"{name}={span}" for name, span in spans.items() if span)
            raise ValueError(f"advance by {asked}: this is no span of time: {error}") from None
        self._run(self._travel().advance(round(total.total_seconds() * 1000)), PATIENCE_S, "clock.advance()")

    def freeze(self) -> None:
        """Have time stand still: from now on only `advance` moves it."""
        self._do(self._travel().freeze)

    def resume(self) -> None:
        """Have it run again, from where it stands."""
        self._do(self._travel().resume)

    @property
    def frozen(self) -> bool:
        return self._travel().clock.frozen

    def now(self) -> datetime.datetime:
        """What time it is to the broker."""
        now_ms: int = self._do(self._travel().clock.now_ms)
        return datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC)

    def _do(self, call: Callable[[], Any]) -> Any:
        async def done() -> Any:
            return call()

        return self._run(done(), PATIENCE_S, "the clock")
