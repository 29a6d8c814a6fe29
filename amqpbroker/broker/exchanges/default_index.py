"""Queues by their names, for the default exchange."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.key_index import KeyIndex

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Target


class DefaultIndex(KeyIndex):
    """queue_named: returns the queue, or whatever else messages can be sent to by name."""

    def __init__(self, queue_named: Callable[[str], Destination | None]) -> None:
        super().__init__()
        self._queue_named = queue_named

    def find(self, key: bytes) -> "tuple[Target, ...]":
        queue = self._queue_named(key.decode("utf-8", "surrogateescape"))
        return () if queue is None else (queue,)
