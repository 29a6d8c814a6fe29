"""The default exchange, where the routing key is the name of a queue."""

from collections.abc import Callable
from typing import ClassVar

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.exchange import Binding, ExchangeType, Target
from amqpbroker.broker.exchanges.key_index import DefaultIndex
from amqpbroker.message.message import Message


class DefaultType(ExchangeType):
    """The type of the exchange with the empty name, which clients see as direct (AMQP 0-9-1 section 3.1.3.1).

    Its bindings are implicit, so none can be added or removed. Its routes change when queues are created or deleted.
    """

    name: ClassVar[str] = "direct"

    def __init__(self, queue_named: Callable[[str], Destination | None]) -> None:
        self.index = self._queues = DefaultIndex(queue_named)

    def bind(self, binding: Binding) -> None:
        raise NotImplementedError("the default exchange has no bindings of its own")

    def unbind(self, binding: Binding) -> None:
        raise NotImplementedError("the default exchange has no bindings of its own")

    def close(self) -> None:
        """Do nothing: the default exchange stores no bindings."""

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        return list(self._queues.find(routing_key))
