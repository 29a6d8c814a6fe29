"""The messages that a channel publishes."""

from dataclasses import dataclass
from typing import Any

from amqpbroker.cli.perf.variety import Variety


@dataclass(frozen=True)
class Kind:
    """What is published. max_priority: the messages have the priorities 0 to that in turn; None: none."""

    exchange: str
    routing_key: str
    size: int
    properties: dict[str, Any]
    mandatory: bool = False
    max_priority: int | None = None
    #: What marks the stamps of this run; empty: no stamps.
    mark: bytes = b""
    #: The body; empty: one is made up.
    body: bytes = b""
    #: How the messages differ; None: they are all alike.
    variety: Variety | None = None
