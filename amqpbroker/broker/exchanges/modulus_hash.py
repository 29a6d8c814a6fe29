"""The x-modulus-hash exchange type: equal routing keys go to one queue, and different keys spread over all queues."""

from typing import ClassVar

from amqpbroker.broker.exchanges.exchange import Binding, Exchange, ExchangeType, Target
from amqpbroker.message.message import Message
from amqpbroker.wire.erlang_hash import phash2_of_binaries


class ModulusHashType(ExchangeType):
    """Routing by hash of the routing keys, modulo the number of bindings (rabbit_exchange_type_modulus_hash of 4.3).

    Destinations are sorted by kind and name, so that the same destination is chosen as in RabbitMQ. The binding key is
    ignored, but a queue with two bindings gets twice as many messages.
    """

    name: ClassVar[str] = "x-modulus-hash"
    per_key = False

    def __init__(self) -> None:
        self._bindings: dict[Binding, None] = {}
        self._targets: list[Target] | None = []

    def bind(self, binding: Binding) -> None:
        self._bindings[binding] = None
        self._targets = None

    def unbind(self, binding: Binding) -> None:
        del self._bindings[binding]
        self._targets = None

    def close(self) -> None:
        self._bindings.clear()
        self._targets = []

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        targets = self._targets
        if targets is None:
            targets = self._targets = sorted([binding.destination for binding in self._bindings], key=_place)
        if not targets:
            return []
        return [targets[phash2_of_binaries((routing_key, *message.extra_keys)) % len(targets)]]


def _place(target: Target) -> tuple[bool, bytes]:
    """Return the sort key of a destination in the order of Erlang: exchanges before queues."""
    return not isinstance(target, Exchange), target.name.encode("utf-8", "surrogateescape")
