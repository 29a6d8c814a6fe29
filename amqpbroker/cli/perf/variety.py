"""Variety of a run's messages: sizes and keys as in applications, the same in each run with the same seed."""

import uuid
from dataclasses import dataclass
from random import Random
from typing import Any

from amqpbroker.wire.values import Field, longstr

#: Values of one length, so that messages which differ in their properties only are equally long: such deliveries are
#: counted without looking at each.
_CONTENT_TYPES = (b"application/json", b"application/yaml", b"application/cbor", b"application/avro")
_TYPES = (b"order.created", b"order.changed", b"order.shipped", b"order.deleted")
_FIRST_TIMESTAMP = 1_700_000_000
_SECONDS_OF_A_YEAR = 31_536_000

DEFAULT_SEED = 1


@dataclass(frozen=True)
class Variety:
    """Differences between the messages of a run."""

    seed: int = DEFAULT_SEED
    #: Smallest and largest body in bytes; None: all bodies are those of the kind.
    sizes: tuple[int, int] | None = None
    properties: bool = False
    #: Each message has a unique routing key, which begins with that of the kind.
    keys: bool = False

    def chance(self, number: int) -> Random:
        """Return the random generator of a pool of messages."""
        return Random(f"{self.seed}/{number}")


def random_properties(chance: Random) -> dict[str, Any]:
    """Return generated properties: content type, message id, correlation id, timestamp, type and three headers."""
    return {
        "content_type": chance.choice(_CONTENT_TYPES),
        "headers": {
            "tenant": longstr(f"tenant-{chance.randrange(10_000):04}"),
            "attempt": Field("I", chance.randint(1, 5)),
            "trace-id": longstr(f"{chance.getrandbits(128):032x}"),
        },
        "correlation_id": _uuid(chance),
        "message_id": _uuid(chance),
        "timestamp": _FIRST_TIMESTAMP + chance.randrange(_SECONDS_OF_A_YEAR),
        "message_type": chance.choice(_TYPES),
    }


def _uuid(chance: Random) -> bytes:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4)).encode()
