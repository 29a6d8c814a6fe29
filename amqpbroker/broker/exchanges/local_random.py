"""The x-local-random exchange type: like x-random, for queues of this node and without binding keys."""

from typing import ClassVar

from amqpbroker import errors
from amqpbroker.broker.exchanges.exchange import Binding, ExchangeType, Target
from amqpbroker.broker.exchanges.random import RandomType
from amqpbroker.compat import DEFAULT_COMPAT, Compat
from amqpbroker.message.message import Message
from amqpbroker.wire.values import Table, text


class LocalRandomType(ExchangeType):
    """rabbit_exchange_type_local_random of 4.0. All queues of a single node are local."""

    name: ClassVar[str] = "x-local-random"
    keyed = False
    per_key = False
    picks = True

    def __init__(self) -> None:
        self._random = RandomType()

    def validate_binding(self, routing_key: bytes, arguments: Table, compat: Compat = DEFAULT_COMPAT) -> None:
        if routing_key:
            raise errors.binding_key_not_permitted(text(routing_key))

    def bind(self, binding: Binding) -> None:
        self._random.bind(binding)

    def unbind(self, binding: Binding) -> None:
        self._random.unbind(binding)

    def unbind_all(self, bindings: list[Binding]) -> None:
        self._random.unbind_all(bindings)

    def close(self) -> None:
        self._random.close()

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        return self._random.route(routing_key, message)
