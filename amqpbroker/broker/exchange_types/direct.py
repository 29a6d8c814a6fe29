"""direct: the binding key equals the routing key."""

from typing import ClassVar

from amqpbroker.broker.exchange import Binding, ExchangeType, Target
from amqpbroker.broker.exchange_types.targets import Targets, add, remove
from amqpbroker.broker.message import Message


class DirectType(ExchangeType):
    """AMQP 0-9-1 section 3.1.3.1; rabbit_exchange_type_direct."""

    name: ClassVar[str] = "direct"

    def __init__(self) -> None:
        self._targets: dict[bytes, Targets] = {}

    def bind(self, binding: Binding) -> None:
        add(self._targets.setdefault(binding.routing_key, {}), binding.destination)

    def unbind(self, binding: Binding) -> None:
        targets = self._targets[binding.routing_key]
        remove(targets, binding.destination)
        if not targets:
            del self._targets[binding.routing_key]

    def close(self) -> None:
        self._targets.clear()

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        return list(self._targets.get(routing_key, ()))
