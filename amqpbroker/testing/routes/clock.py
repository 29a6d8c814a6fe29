"""HTTP resources for the broker's clock."""

import datetime
from typing import Any

from amqpbroker.management import failure
from amqpbroker.management.call import Call
from amqpbroker.management.formats.tables import shown_name
from amqpbroker.testing.checks import UNITS
from amqpbroker.testing.hints import choices
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.routes.route import Route


def show(instance: Instance, call: Call) -> dict[str, Any]:
    """The broker's time: `{"now": "2026-01-31T12:00:00.000+00:00", "now_ms": 1769860800000, "frozen": false}`."""
    clock = instance.clock
    now_ms = clock.now_ms()
    now = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC)
    return {"now": now.isoformat(timespec="milliseconds"), "now_ms": now_ms, "frozen": clock.frozen}


async def advance(instance: Instance, call: Call) -> dict[str, Any]:
    """Moves the broker's time on: `{"hours": 2}`; also `days`, `minutes`, `seconds`, `milliseconds`. Answers as `clock`
    does, after everything that was due has happened in order and is written to the sockets."""
    try:
        await instance.time_travel.advance(round(span_s(call.body()) * 1000))
    except ValueError as error:
        raise failure.bad_request(str(error)) from None
    return show(instance, call)


def freeze(instance: Instance, call: Call) -> dict[str, Any]:
    """Stops the clock: only `advance` moves it from now on."""
    instance.time_travel.freeze()
    return show(instance, call)


def resume(instance: Instance, call: Call) -> dict[str, Any]:
    """Continues a frozen clock from the time that it shows."""
    instance.time_travel.resume()
    return show(instance, call)


def span_s(body: dict[str, Any]) -> float:
    """Return the seconds of a body such as {"hours": 2, "seconds": 1.5}. Raises ApiError 400."""
    if not body:
        raise failure.bad_request('give a span of time, such as {"seconds": 60}; accepted: ' + ", ".join(UNITS))
    for name, value in body.items():
        if name not in UNITS:
            raise failure.bad_request(f"there is no unit of time {shown_name(name)!r}{choices(name, UNITS)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise failure.bad_request(f"{name} = {failure.shown(value)}: this must be a number from 0 on")
    try:
        return datetime.timedelta(**body).total_seconds()
    except (OverflowError, ValueError):
        raise failure.bad_request(
            f"{failure.shown(body)} is more than time can be moved on, which ends with the year 9999"
        ) from None


ROUTES = (
    Route("/testing/clock", get=show),
    Route("/testing/clock/advance", post=advance),
    Route("/testing/clock/freeze", post=freeze),
    Route("/testing/clock/resume", post=resume),
)
