"""The topic exchange type: binding keys are patterns, where `*` matches one word and `#` any number of words."""

from typing import ClassVar

from amqpbroker import errors
from amqpbroker.broker.exchanges.exchange import Binding, ExchangeType, Target
from amqpbroker.broker.exchanges.topic_index import MANY, TopicIndex, words_of
from amqpbroker.compat import DEFAULT_COMPAT, Compat
from amqpbroker.message.message import Message
from amqpbroker.wire.values import Table


class TopicType(ExchangeType):
    """AMQP 0-9-1 section 3.1.3.3; rabbit_exchange_type_topic."""

    name: ClassVar[str] = "topic"

    def __init__(self) -> None:
        self.index = self._bindings = TopicIndex()

    def validate_binding(self, routing_key: bytes, arguments: Table, compat: Compat = DEFAULT_COMPAT) -> None:
        found, most = words_of(routing_key).count(MANY), compat.most_topic_hashes
        if 0 < most < found:
            raise errors.too_many_hashes(routing_key.decode("utf-8", "surrogateescape"), found, most)

    def bind(self, binding: Binding) -> None:
        self._bindings.add(binding.routing_key, binding.destination)

    def unbind(self, binding: Binding) -> None:
        self._bindings.remove(binding.routing_key, binding.destination)

    def close(self) -> None:
        self._bindings.clear()

    def route(self, routing_key: bytes, message: Message) -> list[Target]:
        return list(self._bindings.find(routing_key))
