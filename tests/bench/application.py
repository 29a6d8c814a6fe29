"""Messages as applications send them: each with properties, headers and a body of its own, from a seed."""

import random
import uuid
from collections.abc import Iterator
from typing import Any

from amqpbroker.wire.values import Field, Table, longstr

#: Number of different messages, which are sent in rotation.
DIFFERENT = 4_000
SMALLEST_BYTES, LARGEST_BYTES = 20, 2_000

_TYPES = ("order.created", "order.paid", "parcel.sent", "invoice.written", "customer.changed")


def messages(count: int = DIFFERENT, seed: int = 1) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield each message's properties and body: content type, three headers, message id, timestamp and type."""
    chance = random.Random(seed)
    for i in range(count):
        headers: Table = {
            "attempt": Field("I", chance.randint(1, 5)),
            "tenant": longstr(f"tenant-{chance.randint(1, 500)}"),
            "trace-id": longstr(f"{chance.getrandbits(128):032x}"),
        }
        properties: dict[str, Any] = {
            "content_type": "application/json",
            "headers": headers,
            "message_id": str(uuid.UUID(int=chance.getrandbits(128))),
            "timestamp": 1_700_000_000 + i,
            "message_type": chance.choice(_TYPES),
        }
        yield properties, chance.randbytes(chance.randint(SMALLEST_BYTES, LARGEST_BYTES))
