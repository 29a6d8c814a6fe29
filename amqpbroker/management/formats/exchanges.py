"""Exchanges and their types."""

from typing import Any

from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.management.formats.rates import Details, with_details
from amqpbroker.management.formats.tables import plain

#: RabbitMQ's name for an unknown user. This broker does not record the users that declare exchanges.
UNKNOWN_USER = "unknown"

_DESCRIPTIONS = {
    "direct": "AMQP direct exchange, as per the AMQP specification",
    "fanout": "AMQP fanout exchange, as per the AMQP specification",
    "headers": "AMQP headers exchange, as per the AMQP specification",
    "topic": "AMQP topic exchange, as per the AMQP specification",
    "x-consistent-hash": "Consistent Hashing Exchange",
    "x-delayed-message": "Delayed Message Exchange.",
    "x-local-random": "Picks one random local binding (queue) to route via (to).",
    "x-message-deduplication": "Message Deduplication Exchange.",
    "x-modulus-hash": "Modulus Hashing Exchange",
    "x-random": "Picks one random binding (queue) to route via (to).",
}


def exchange_types(names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"name": name, "description": _DESCRIPTIONS.get(name, name), "enabled": True} for name in names]


def exchange_row(vhost: str, exchange: Exchange, details: Details | None) -> dict[str, Any]:
    """details: of its message_stats; None leaves these out."""
    row: dict[str, Any] = {
        "arguments": plain(exchange.arguments) if exchange.arguments else {},
        "auto_delete": exchange.auto_delete,
        "durable": exchange.durable,
        "internal": exchange.internal,
        "name": exchange.name,
        "type": exchange.type.name,
        "user_who_performed_action": UNKNOWN_USER,
        "vhost": vhost,
    }
    if exchange.duplicate_filter is not None and details is not None:
        row["messages_deduplicated"] = exchange.duplicate_filter.dropped
    if details is not None:
        stats = exchange.message_stats()
        if stats:
            row["message_stats"] = with_details(stats, details)
    if exchange.effective.policy is not None:
        row["policy"] = exchange.effective.policy.name
    return row
