"""What a broker has, as a document that RabbitMQ imports."""

from typing import Any

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.exchange import Binding, Exchange
from amqpbroker.broker.parameters import Parameter
from amqpbroker.broker.queue import Queue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.management.definitions.plan import IMPORTED_HASH
from amqpbroker.management.formats.permissions import shown_permission, shown_topic_permission
from amqpbroker.management.formats.policies import shown_policy
from amqpbroker.management.formats.tables import plain, shown_bytes
from amqpbroker.management.formats.users import shown_user
from amqpbroker.management.formats.vhosts import described_vhost
from amqpbroker.management.listing import rows

_Row = dict[str, Any]


async def exported(broker: Broker) -> _Row:
    """All of it, with password hashes: for administrators. Made in slices."""
    vhosts = list(broker.vhosts.values())
    return {
        **_head(broker, "cluster"),
        "original_cluster_name": broker.cluster_name,
        "explanation": f"Definitions of cluster '{broker.cluster_name}'",
        "users": [shown_user(user) for user in broker.users.list_users()],
        "vhosts": [described_vhost(vhost) for vhost in vhosts],
        "permissions": [shown_permission(listed) for listed in broker.users.list_permissions()],
        "topic_permissions": [shown_topic_permission(listed) for listed in broker.users.list_topic_permissions()],
        "parameters": [_parameter(parameter) for parameter in broker.parameters.list()],
        "global_parameters": [
            parameter._asdict() for parameter in broker.global_parameters.list() if parameter.name != IMPORTED_HASH
        ],
        "policies": [shown_policy(policy) for policy in broker.policies.list()],
        **await _contents(vhosts),
    }


async def exported_vhost(broker: Broker, vhost: Vhost) -> _Row:
    """What is in one vhost, not naming it, so that it can be imported into another."""
    described = described_vhost(vhost)
    unnamed: _Row = {
        "parameters": [_parameter(parameter) for parameter in broker.parameters.list(vhost=vhost.name)],
        "policies": [shown_policy(policy) for policy in broker.policies.list(vhost.name)],
        **await _contents([vhost]),
    }
    for section in unnamed.values():
        for row in section:
            del row["vhost"]
    return {
        **_head(broker, "single_virtual_host"),
        "original_vhost_name": vhost.name,
        "explanation": f"Definitions of virtual host '{vhost.name}'",
        "metadata": described["metadata"],
        "description": vhost.description,
        "default_queue_type": vhost.default_queue_type,
        "limits": broker.limits.vhost(vhost.name),
        **unnamed,
    }


def _head(broker: Broker, kind: str) -> _Row:
    config = broker.config
    return {
        "rabbit_version": config.compat.version,
        "rabbitmq_version": config.compat.version,
        "product_name": config.product_name,
        "product_version": config.product_version,
        "rabbitmq_definition_format": kind,
    }


async def _contents(vhosts: list[Vhost]) -> _Row:
    """Their queues, exchanges and bindings, but for what goes with its connection and what every vhost has."""
    queues = [(vhost, queue) for vhost in vhosts for queue in vhost.queues.values() if queue.owner is None]
    exchanges = [
        (vhost, exchange)
        for vhost in vhosts
        for exchange in vhost.exchanges.values()
        if exchange.name and not exchange.name.startswith("amq.")
    ]
    bindings = [
        (vhost, binding)
        for vhost in vhosts
        for exchange in vhost.exchanges.values()
        for binding in exchange.live_bindings()
        if not isinstance(binding.destination, Queue) or binding.destination.owner is None
    ]
    return {
        "queues": await rows(queues, _queue),
        "exchanges": await rows(exchanges, _exchange),
        "bindings": await rows(bindings, _binding),
    }


def _parameter(parameter: Parameter) -> _Row:
    value, vhost, component, name = parameter.value, parameter.vhost, parameter.component, parameter.name
    return {"value": value, "vhost": vhost, "component": component, "name": name}


def _queue(found: tuple[Vhost, Queue]) -> _Row:
    vhost, queue = found
    return {
        "name": queue.name,
        "vhost": vhost.name,
        "durable": queue.durable,
        "auto_delete": queue.auto_delete,
        "arguments": plain(queue.arguments),
    }


def _exchange(found: tuple[Vhost, Exchange]) -> _Row:
    vhost, exchange = found
    return {
        "name": exchange.name,
        "vhost": vhost.name,
        "type": exchange.type.name,
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": plain(exchange.arguments),
    }


def _binding(found: tuple[Vhost, Binding]) -> _Row:
    vhost, binding = found
    return {
        "source": binding.source.name,
        "vhost": vhost.name,
        "destination": binding.destination.name,
        "destination_type": "exchange" if isinstance(binding.destination, Exchange) else "queue",
        "routing_key": shown_bytes(binding.routing_key),
        "arguments": plain(binding.arguments),
    }
