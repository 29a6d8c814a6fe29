"""Values that rows of several kinds share: times, and figures of Erlang's virtual machine.

Clients read the figures, and some cannot do without them; they are constant here.
"""

from datetime import UTC, datetime

import orjson

#: Garbage collection of a process.
GARBAGE_COLLECTION = orjson.Fragment(
    orjson.dumps(
        {
            "fullsweep_after": 0,
            "max_heap_size": 0,
            "min_bin_vheap_size": 0,
            "min_heap_size": 0,
            "minor_gcs": 0,
        }
    )
)

#: Details of a rate that is 0, or not known.
NO_RATE = orjson.Fragment(b'{"rate":0.0}')


def iso(at_ms: int) -> str:
    """Such as 2026-11-25T00:43:29.298+00:00; given in milliseconds since the epoch."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
