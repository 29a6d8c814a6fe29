"""The x-random exchange type: one random binding for each message."""

import random
from typing import ClassVar

from amqpbroker.broker.exchanges.exchange import Binding, ExchangeType, Target
from amqpbroker.message.message import Message


class RandomType(ExchangeType):
    """rabbit_exchange_type_random: chooses among bindings, so a queue with two bindings gets twice as many messages."""

    name: ClassVar[str] = "x-random"
    keyed = False
    per_key = False
    picks = True

    def __init__(self) -> None:
        self._bindings: list[Binding] = []

    def bind(self, binding: Binding) -> None:
        self._bindings.append(binding)

    def unbind(self, binding: Binding) -> None:
        self._bindings.remove(binding)

    def unbind_all(self, bindings: list[Binding]) -> None:
        gone = set(bindings)
        self._bindings = [binding for binding in self._bindings if binding not in gone]

    def close(self) -> None:
        self._bindings.clear()

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        return [random.choice(self._bindings).destination] if self._bindings else []
