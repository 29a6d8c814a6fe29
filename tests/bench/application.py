"""Messages as applications send them: each with properties, headers and a body of its own, from a seed."""

import random
import uuid
from collections.abc import Iterator
from typing import Any

from amqpbroker.wire.values import Field, Table, longstr

#: Number of different messages, which are sent in rotation.
DIFFERENT = 4_000
SMALLEST_BYTES, LARGEST_BYTES = 20, 2_000

#: Numbers of tenants and of attempts that occur in messages.
TENANTS, ATTEMPTS = 500, 5

_TYPES = ("order.created", "order.paid", "parcel.sent", "invoice.written", "customer.changed")


def messages(
    count: int = DIFFERENT, seed: int = 1, delays_ms: tuple[int, int] | None = None, **more: Any
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield each message's properties and body: content type, three headers, message id, timestamp and type.

    delays_ms: shortest and longest delay; each message then has an x-delay header. more: further properties.
    """
    chance = random.Random(seed)
    for i in range(count):
        headers: Table = {
            "attempt": Field("I", chance.randint(1, ATTEMPTS)),
            "tenant": longstr(f"tenant-{chance.randint(1, TENANTS)}"),
            "trace-id": longstr(f"{chance.getrandbits(128):032x}"),
        }
        if delays_ms is not None:
            headers["x-delay"] = Field("I", chance.randint(*delays_ms))
        properties: dict[str, Any] = {
            "content_type": "application/json",
            "headers": headers,
            "message_id": str(uuid.UUID(int=chance.getrandbits(128))),
            "timestamp": 1_700_000_000 + i,
            "message_type": chance.choice(_TYPES),
            **more,
        }
        yield properties, chance.randbytes(chance.randint(SMALLEST_BYTES, LARGEST_BYTES))


def header_bindings(queues: int = 10) -> Iterator[tuple[int, Table]]:
    """Yield 1,000 bindings of a headers exchange: the number of the queue, and the arguments.

    Each tenant has a queue, and another one for the last attempts.
    """
    for i in range(TENANTS):
        tenant: Table = {"x-match": longstr("all"), "tenant": longstr(f"tenant-{i + 1}")}
        yield i % queues, tenant
        yield (i + 1) % queues, {**tenant, "attempt": Field("I", ATTEMPTS)}
