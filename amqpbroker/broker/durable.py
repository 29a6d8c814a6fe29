"""Definitions of durable objects, as the store holds them."""

from amqpbroker.broker.exchanges.exchange import Binding, Exchange
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.store.definitions.definitions import BindingDefinition, ExchangeDefinition, QueueDefinition
from amqpbroker.wire.values import Table, decode_table, encode_table


def exchange_definition(vhost: str, exchange: Exchange) -> ExchangeDefinition:
    held, duplicate_filter = exchange.type.held, exchange.duplicate_filter
    return ExchangeDefinition(
        vhost,
        exchange.name,
        held.id if held is not None else duplicate_filter.id if duplicate_filter is not None else 0,
        exchange.type.name,
        exchange.auto_delete,
        exchange.internal,
        encode_table(exchange.arguments),
    )


def queue_definition(
    vhost: str, queue: Queue, arguments: Table | None = None, settings: QueueSettings | None = None
) -> QueueDefinition:
    """Return the definition of a queue. arguments, settings: in place of those of its last declaration."""
    encoded = encode_table(queue.arguments if arguments is None else arguments)
    segment_bytes = queue.segment_bytes if settings is None else settings.segment_bytes
    return QueueDefinition(vhost, queue.name, queue.id, queue.auto_delete, encoded, segment_bytes)


def is_durable(binding: Binding) -> bool:
    """Return whether the binding survives a restart, which it does if its source and its destination do."""
    return binding.source.durable and binding.destination.durable


def binding_definition(vhost: str, binding: Binding) -> BindingDefinition:
    return BindingDefinition(
        vhost,
        binding.source.name,
        isinstance(binding.destination, Exchange),
        binding.destination.name,
        binding.routing_key,
        encode_table(binding.arguments),
    )


def stored_arguments(encoded: bytes) -> Table:
    """Decode a stored table. Raises MalformedError."""
    return decode_table(encoded, 4, len(encoded))
