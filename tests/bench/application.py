"""Messages as applications send them, each with its own properties, headers and body, from a seed."""

import random
import uuid
from collections.abc import Iterator
from typing import Any

from amqpbroker.wire.values import Field, Table, longstr

#: Number of different messages, which are sent in rotation.
DIFFERENT = 4_000
SMALLEST_BYTES, LARGEST_BYTES = 20, 2_000
#: Values of two of the headers. tests/bench/routing.py has a binding for each pair.
TENANTS = tuple(f"tenant-{number}" for number in range(1, 201))
ATTEMPTS = range(1, 6)

_TYPES = ("order.created", "order.paid", "parcel.sent", "invoice.written", "customer.changed")
_WITH_CORRELATION = 0.3


def messages(
    count: int = DIFFERENT, seed: int = 1, smallest: int = SMALLEST_BYTES, largest: int = LARGEST_BYTES
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield the properties and the body of each message.

    Each has a content type, three headers, a message id, a timestamp and a type; three of ten have a correlation id.
    The headers are not in alphabetical order, as applications do not sort them.
    """
    chance = random.Random(seed)
    for i in range(count):
        headers: Table = {
            "tenant": longstr(chance.choice(TENANTS)),
            "attempt": Field("I", chance.choice(ATTEMPTS)),
            "trace-id": longstr(f"{chance.getrandbits(128):032x}"),
        }
        properties: dict[str, Any] = {
            "content_type": "application/json",
            "headers": headers,
            "message_id": unique_id(chance),
            "timestamp": 1_700_000_000 + i,
            "message_type": chance.choice(_TYPES),
        }
        if chance.random() < _WITH_CORRELATION:
            properties["correlation_id"] = unique_id(chance)
        yield properties, chance.randbytes(chance.randint(smallest, largest))


def unique_id(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128)))
