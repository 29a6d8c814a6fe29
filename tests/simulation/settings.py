"""Random settings of the broker: timeouts that are short enough to pass, limits that are reached, other releases."""

import random
from typing import Any

#: Setting -> the values that may replace its default. Workloads read the values from `World.config`.
VARIED: dict[str, tuple[Any, ...]] = {
    "compat": ("4.1", "4.2", "4.3", "4.3"),
    "consumer_timeout_ms": (5_000, 30_000),
    "channel_tick_interval_ms": (50, 2_000),
    "handshake_timeout_ms": (500, 3_000),
    "heartbeat_s": (0, 1, 5),
    "max_message_size": (200_000,),
    "max_connections": (12, 25),
    "set_timestamp": (False, True),
    "set_routing_node": (False, True),
}

#: Fraction of worlds in which a setting varies, if it makes less of others happen.
RARER = {"consumer_timeout_ms": 0.2}


#: Settings whose lowered values make something happen every second, which would take a world of hours too long.
FREQUENT = ("channel_tick_interval_ms", "consumer_timeout_ms", "heartbeat_s")


def varied(chance: random.Random) -> dict[str, Any]:
    """Return settings, some of them different from the defaults."""
    return {name: chance.choice(values) for name, values in VARIED.items() if chance.random() < RARER.get(name, 0.35)}
