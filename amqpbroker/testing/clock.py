"""A broker's time, as a test moves it."""

import datetime
import math
from typing import TYPE_CHECKING, Any

from amqpbroker.testing.checks import UNITS
from amqpbroker.testing.hints import Hinted, checked_arguments

if TYPE_CHECKING:
    from amqpbroker.testing.host import Host

#: Time limit of `advance` in seconds: a span of years may have many events.
PATIENCE_S = 600.0


class BrokerClock(Hinted):
    """The clock of a broker. It runs as real time does until a test moves it on or freezes it.

    TTLs, delays, `x-expires`, consumer timeouts and heartbeats follow this clock. The clocks of your program and of
    client libraries are not changed.
    """

    def __init__(self, host: "Host") -> None:
        self._host = host

    @checked_arguments
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
        """Move the broker's time on by the sum of all arguments.

        Timers that are due within this span fire in order, each at its own time. When the call returns, all
        consequences have been written to the clients' sockets.

        - `delta`: a `datetime.timedelta`.
        - `days`, `hours`, `minutes`, `seconds`, `milliseconds`: numbers, whole or not.

        Raises `TypeError` for a number without a unit, and `ValueError` for a negative or infinite span, or for one
        that ends after the year 9999.
        """
        spans = {"days": days, "hours": hours, "minutes": minutes, "seconds": seconds, "milliseconds": milliseconds}
        advancing = self._host.instance.time_travel.advance(span_ms(delta, spans))
        self._host.run(advancing, PATIENCE_S, "clock.advance()")

    def freeze(self) -> None:
        """Stop the clock: only `advance` moves it from now on."""
        self._host.run(self._host.call(lambda instance: instance.time_travel.freeze()), PATIENCE_S, "clock.freeze()")

    def resume(self) -> None:
        """Continue a frozen clock from the time that it shows."""
        self._host.run(self._host.call(lambda instance: instance.time_travel.resume()), PATIENCE_S, "clock.resume()")

    @property
    def frozen(self) -> bool:
        """True from `freeze()` to `resume()`."""
        return self._host.instance.time_travel.clock.frozen

    def now(self) -> datetime.datetime:
        """Return the broker's time, with the time zone UTC."""
        now_ms = self._host.run(
            self._host.call(lambda instance: instance.time_travel.clock.now_ms()), PATIENCE_S, "clock.now()"
        )
        return datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC)


def span_ms(delta: Any, spans: dict[str, Any]) -> int:
    """Return a span of time in milliseconds: `delta` and numbers by unit. Raises TypeError, ValueError."""
    if isinstance(delta, int | float):
        raise TypeError(f"advance({delta!r}) has no unit: advance(seconds={delta!r}), or one of {', '.join(UNITS)}")
    if delta is not None and not isinstance(delta, datetime.timedelta):
        raise TypeError(f"advance({delta!r}): this must be a timedelta, or a number by its unit, such as seconds=60")
    for name, span in spans.items():
        if isinstance(span, bool) or not isinstance(span, int | float):
            raise TypeError(f"advance({name}={span!r}): this must be a number, such as {name}=1")
        if not math.isfinite(span):
            raise ValueError(f"advance({name}={span}): this must be a finite number, such as {name}=1")
    given = ", ".join(f"{name}={span}" for name, span in spans.items() if span)
    try:
        total = datetime.timedelta(**spans) + (delta or datetime.timedelta())
    except OverflowError as error:
        raise ValueError(
            f"advance({given}) is more than time can be moved on, which ends with the year 9999: {error}"
        ) from None
    return round(total.total_seconds() * 1000)
