"""The interface of indexes that find targets by the routing key alone, and the indexes that need no table."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.message.message import Message, encode_address

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import ExchangeType, Target


class KeyIndex(metaclass=ABCMeta):
    """The targets of an exchange by routing key. It is used for every message whose route is not cached by a channel.

    exchanges: number of bindings to exchanges, not to queues.
    """

    def __init__(self) -> None:
        self.exchanges: int = 0

    def count(self, target: "Target", bindings: int) -> None:
        """Count bindings to a target that were added (positive) or removed (negative)."""
        if not isinstance(target, Destination):
            self.exchanges += bindings

    @abstractmethod
    def find(self, key: bytes) -> "tuple[Target, ...]":
        """Return the targets, each once, in the order in which they were reached."""


class TypeIndex(KeyIndex):
    """Index for an exchange type that depends only on the routing key, and has no index of its own."""

    def __init__(self, exchange_type: "ExchangeType") -> None:
        super().__init__()
        self._type = exchange_type

    def find(self, key: bytes) -> "tuple[Target, ...]":
        """Return the targets; a target may occur more than once."""
        return tuple(self._type.route(key, Message(encode_address("", key), b"\0\0", b"")))


class DefaultIndex(KeyIndex):
    """Queues by their names, for the default exchange.

    queue_named: returns the queue, or another destination that has a name.
    """

    def __init__(self, queue_named: Callable[[str], Destination | None]) -> None:
        super().__init__()
        self._queue_named = queue_named

    def find(self, key: bytes) -> "tuple[Target, ...]":
        queue = self._queue_named(key.decode("utf-8", "surrogateescape"))
        return () if queue is None else (queue,)
