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

#: Numbers among the settings that do not vary, with the reason.
NOT_VARIED: dict[str, str] = {
    "store_lease_ms": "there is no database",
    "ssl_handshake_timeout_ms": "there is no TLS",
    "ssl_cert_login_san_index": "there is no TLS",
    "collect_statistics_interval_ms": "the check of samples waits for some rounds, in each of its worlds",
    "initial_frame_max": "the workload of strangers sends frames of any size before its login",
    "frame_max": "clients tune it: see the workload of strangers",
    "channel_max": "clients tune it: see the workload of channels",
    "channel_max_per_node": "a client without a channel cannot test anything else",
    "vhost_max": "the workload of vhosts expects those that it creates",
    "cluster_queue_limit": "the workload of vhosts limits the queues of a vhost",
    "cluster_exchange_limit": "a workload whose declaration is refused cannot test anything else",
    "batch_max_ttl_ms": "a batch that is refused cannot test anything else",
    "job_max_ttl_ms": "the workload of jobs has one that the broker remembers to the end",
    "user_share": "all workloads have the same user, who has a share of the bounds in each world",
    "consumer_max_per_channel": "a workload whose consumer is refused cannot test anything else",
}

#: Fraction of worlds in which a setting varies, if it makes less of others happen.
RARER = {"consumer_timeout_ms": 0.2}


#: Settings whose lowered values make something happen every second, which would take a world of hours too long.
FREQUENT = ("channel_tick_interval_ms", "consumer_timeout_ms", "heartbeat_s")


def varied(chance: random.Random) -> dict[str, Any]:
    """Return settings, some of them different from the defaults."""
    return {name: chance.choice(values) for name, values in VARIED.items() if chance.random() < RARER.get(name, 0.35)}
