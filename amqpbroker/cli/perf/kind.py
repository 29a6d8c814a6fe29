"""The messages that a channel publishes."""

from dataclasses import dataclass
from typing import Any

from amqpbroker.cli.perf.variety import Variety


@dataclass(frozen=True)
class Kind:
    """Kind of published messages. max_priority: highest of the priorities, which are used in rotation; None: none."""

    exchange: str
    routing_key: str
    size: int
    properties: dict[str, Any]
    mandatory: bool = False
    max_priority: int | None = None
    #: Mark of the stamps of this run; empty: no stamps.
    mark: bytes = b""
    #: The body; empty: one is made up.
    body: bytes = b""
    #: Differences between the messages; None: they are all alike.
    variety: Variety | None = None
