"""The direct exchange type: a binding matches if its key equals the routing key."""

from typing import ClassVar

from amqpbroker.broker.exchanges.direct_index import DirectIndex
from amqpbroker.broker.exchanges.exchange import Binding, ExchangeType, Target
from amqpbroker.message.message import Message


class DirectType(ExchangeType):
    """AMQP 0-9-1 section 3.1.3.1; rabbit_exchange_type_direct."""

    name: ClassVar[str] = "direct"

    def __init__(self) -> None:
        self.index = self._bindings = DirectIndex()

    def bind(self, binding: Binding) -> None:
        self._bindings.add(binding.routing_key, binding.destination)

    def unbind(self, binding: Binding) -> None:
        self._bindings.remove(binding.routing_key, binding.destination)

    def close(self) -> None:
        self._bindings.clear()

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        return list(self._bindings.find(routing_key))
