"""A broker's time with awaitable methods."""

import datetime
from collections.abc import Callable, Coroutine
from typing import Any

from amqpbroker.testing.clock import PATIENCE_S, span_ms
from amqpbroker.testing.hints import Hinted, checked_arguments
from amqpbroker.testing.host import Host

#: Runs a coroutine on the broker's loop: (coroutine, time limit in seconds, name of the call).
Run = Callable[[Coroutine[Any, Any, Any], float, str], Coroutine[Any, Any, Any]]


class AsyncBrokerClock(Hinted):
    """A `BrokerClock` whose methods are awaited."""

    def __init__(self, host: Host, run: Run) -> None:
        self._host = host
        self._run = run

    @checked_arguments
    async def advance(
        self,
        delta: datetime.timedelta | None = None,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
    ) -> None:
        """Move the broker's time on by the sum of all arguments. See `BrokerClock.advance`."""
        spans = {"days": days, "hours": hours, "minutes": minutes, "seconds": seconds, "milliseconds": milliseconds}
        advancing = self._host.instance.time_travel.advance(span_ms(delta, spans))
        await self._run(advancing, PATIENCE_S, "clock.advance()")

    async def freeze(self) -> None:
        """Stop the clock: only `advance` moves it from now on."""
        call = self._host.call(lambda instance: instance.time_travel.freeze())
        await self._run(call, PATIENCE_S, "clock.freeze()")

    async def resume(self) -> None:
        """Continue a frozen clock from the time that it shows."""
        call = self._host.call(lambda instance: instance.time_travel.resume())
        await self._run(call, PATIENCE_S, "clock.resume()")

    @property
    def frozen(self) -> bool:
        """True from `freeze()` to `resume()`. Not awaited."""
        return self._host.instance.time_travel.clock.frozen

    async def now(self) -> datetime.datetime:
        """Return the broker's time, with the time zone UTC."""
        call = self._host.call(lambda instance: instance.time_travel.clock.now_ms())
        now_ms = await self._run(call, PATIENCE_S, "clock.now()")
        return datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC)
