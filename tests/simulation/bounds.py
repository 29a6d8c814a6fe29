"""Random limits of the broker: effects of 70,000 objects occur with 70 here."""

import random

#: Bound -> the values that may replace its default.
LOWERED = {
    "unwritten_bytes": (2_000, 50_000),
    "room_bytes": (500, 20_000),
    "unread_bytes": (1_000, 50_000),
    "routes": (1, 4),
    "few_routes": (1, 2),
    "all_routes": (1, 8),
    "returns": (1, 5, 40),
    "releases": (1, 3),
    "expiries": (1, 3),
    "unswept_bytes": (100, 5_000),
    "segment_bytes": (500, 5_000, 100_000),
    "batch_bytes": (200, 3_000),
    "group_bytes": (200, 3_000),
    "entries": (1, 3),
    "positions": (1, 3, 20),
    "page_count": (1, 4, 30),
    "page_bytes": (1, 3_000),
    "least_page_count": (1, 5),
    "least_page_bytes": (1, 1_000),
    "read_count": (1, 3),
    "spill_bytes": (500, 5_000),
    "chunk_bytes": (50, 500, 5_000),
    "index_bytes": (50, 1_000),
    "stream_cache_bytes": (1, 5_000, 50_000),
    "stream_skips": (1, 3, 20),
    "stream_offsets": (1, 3),
    "disposal": (1, 7),
    "log_bytes": (5_000, 50_000),
    "full_log_bytes": (20_000, 100_000),
    "guesses": (1, 2),
    "http_connections": (2, 5, 20),
    "pages": (1, 2),
    "body_bytes": (1_000, 50_000),
    "bodies_bytes": (66_000, 100_000),
    "answers_bytes": (100, 1_000, 20_000),
    "got_bytes": (500, 5_000, 100_000),
    "histories": (1, 5),
    "sessions": (1, 3),
    "user_sessions": (1, 2),
    "batch_failures": (1, 3),
    "batch_events": (1, 3),
    "batch_removals": (1, 3),
}

#: Bounds that no simulated world lowers, and why.
NOT_LOWERED = {
    "handshakes": "no client uses TLS",
    "accepts": "no client uses TLS",
    "jobs": "no client starts jobs",
    "job_reply_bytes": "no client starts jobs",
    "job_replies_bytes": "no client starts jobs",
    "deduplication_ids": "a window that forgets an id early accepts a duplicate, which no client may see",
    "batches": "the events of a forgotten batch come again if a member is repeated",
    "batch_members": "the batch of a refused member is never complete",
}


def lowered(chance: random.Random) -> dict[str, int]:
    """Return bounds, some of them lowered."""
    return {name: chance.choice(values) for name, values in LOWERED.items() if chance.random() < 0.4}
