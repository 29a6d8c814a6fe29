"""The fanout exchange type: every binding matches."""

from typing import ClassVar

from amqpbroker.broker.exchanges.exchange import Binding, ExchangeType, Target
from amqpbroker.broker.exchanges.fanout_index import FanoutIndex
from amqpbroker.message.message import Message


class FanoutType(ExchangeType):
    """AMQP 0-9-1 section 3.1.3.2; rabbit_exchange_type_fanout."""

    name: ClassVar[str] = "fanout"
    per_key = False

    def __init__(self) -> None:
        self.index = self._bindings = FanoutIndex()

    def bind(self, binding: Binding) -> None:
        self._bindings.add(binding.destination)

    def unbind(self, binding: Binding) -> None:
        self._bindings.remove(binding.destination)

    def close(self) -> None:
        self._bindings.clear()

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        return list(self._bindings.find(routing_key))
