"""Parts of routing tests: destinations, messages and bindings."""

from typing import Any

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.exchange import Binding, Exchange, ExchangeType, Target
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, Table


class Box(Destination):
    """A queue that stores its messages, and prints as its name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.messages: list[Message] = []

    def publish(self, message: Message) -> bool:
        self.messages.append(message)
        return True

    def __repr__(self) -> str:
        return self.name


def publishing(
    routing_key: bytes = b"",
    headers: Table | None = None,
    *,
    cc: tuple[bytes, ...] = (),
    bcc: tuple[bytes, ...] = (),
    exchange: str = "x",
    **properties: Any,
) -> Message:
    """Return a message as it is after the checks of basic.publish."""
    if headers is not None:
        properties["headers"] = headers
    message = Message(encode_address(exchange, routing_key), encode_properties(properties), b"body")
    message.headers = headers
    message.extra_keys = cc + bcc
    message.cc_keys = len(cc)
    message.persistent = properties.get("delivery_mode") == 2
    message.priority = properties.get("priority", 0)
    message.expiration_ms = int(properties.get("expiration", -1))
    return message


def binding_to(target: Target, routing_key: bytes = b"", arguments: Table | None = None) -> Binding:
    return Binding(Exchange("source", Nowhere()), target, routing_key, arguments or {})  # type: ignore[arg-type]


def bind(
    exchange_type: ExchangeType, target: Target, routing_key: bytes = b"", arguments: Table | None = None
) -> Binding:
    binding = binding_to(target, routing_key, arguments)
    exchange_type.validate_binding(routing_key, binding.arguments)
    exchange_type.bind(binding)
    return binding


def names(targets: list[Target]) -> list[str]:
    """Return the sorted names, because a type may find its targets in any order."""
    return sorted(target.name for target in targets)


def routed(exchange_type: ExchangeType, routing_key: bytes = b"", headers: Table | None = None) -> list[str]:
    return names(exchange_type.route(routing_key, publishing(routing_key, headers)))


def integer(value: int) -> Field:
    return Field("l", value)


class Nowhere(ExchangeType):
    """Routes to nothing."""

    name = "nowhere"

    def bind(self, binding: Binding) -> None: ...

    def unbind(self, binding: Binding) -> None: ...

    def close(self) -> None: ...

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        return []
