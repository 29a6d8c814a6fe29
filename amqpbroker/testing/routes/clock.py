"""The broker's time."""

import datetime
from typing import Any

from amqpbroker.management import failure
from amqpbroker.management.call import Call
from amqpbroker.testing.instance import Instance
from amqpbroker.testing.routes.route import Route

#: What a body may have of a span of time.
UNITS = ("days", "hours", "minutes", "seconds", "milliseconds")


def show(instance: Instance, call: Call) -> dict[str, Any]:
    """What time it is to the broker: `{"now": "2026-01-31T12:00:00.000+00:00", "now_ms": 1769860800000,
    "frozen": false}`."""
    clock = instance.clock
    now_ms = clock.now_ms()
    now = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC)
    return {"now": now.isoformat(timespec="milliseconds"), "now_ms": now_ms, "frozen": clock.frozen}


async def advance(instance: Instance, call: Call) -> dict[str, Any]:
    """Lets time pass: `{"hours": 2}`; also `days`, `minutes`, `seconds`, `milliseconds`. Answered, as `clock` is, when
    all that was due has happened in its order and is written to the sockets."""
    await instance.time_travel.advance(round(span_s(call.body()) * 1000))
    return show(instance, call)


def freeze(instance: Instance, call: Call) -> dict[str, Any]:
    """Has time stand still, but for `advance`."""
    instance.time_travel.freeze()
    return show(instance, call)


def resume(instance: Instance, call: Call) -> dict[str, Any]:
    """Has it run again, from where it stands."""
    instance.time_travel.resume()
    return show(instance, call)


def span_s(body: dict[str, Any]) -> float:
    """The seconds that a body such as {"hours": 2, "seconds": 1.5} says. Raises ApiError 400."""
    unknown = sorted(set(body) - set(UNITS))
    if unknown or not body:
        raise failure.bad_request(f"a span of time has some of {', '.join(UNITS)}; got {', '.join(unknown) or 'none'}")
    for name, value in body.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise failure.bad_request(f"{name} is to be a number, and not negative")
    try:
        return datetime.timedelta(**body).total_seconds()
    except OverflowError:
        raise failure.bad_request("that is too long") from None


ROUTES = (
    Route("/testing/clock", get=show),
    Route("/testing/clock/advance", post=advance),
    Route("/testing/clock/freeze", post=freeze),
    Route("/testing/clock/resume", post=resume),
)
