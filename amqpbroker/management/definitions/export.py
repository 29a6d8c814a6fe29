"""Export of a broker's definitions as a document that RabbitMQ imports."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, final

import orjson

from amqpbroker.broker.broker import Broker
from amqpbroker.broker.exchanges.exchange import Binding, Exchange
from amqpbroker.broker.policies.parameters import Parameter
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.management.definitions.plan import IMPORTED_HASH
from amqpbroker.management.formats.tables import plain, shown_bytes
from amqpbroker.management.formats.users import shown_permission, shown_topic_permission, shown_user
from amqpbroker.management.formats.vhosts import described_vhost, shown_policy
from amqpbroker.management.streamed import Parts, encoded_rows
from amqpbroker.row_slices import RowSlices

_Row = dict[str, Any]


#: Sections of a document with what is in vhosts.


class _Made(NamedTuple):
    """A row that another broker has made."""

    row: _Row


@final
class Rows:
    """A section of a document. It keeps the objects; each row is made when it is written.

    unnamed: the rows do not name their vhost.
    """

    def __init__(self, objects: Iterable[Any], show: Callable[[Any], _Row], unnamed: bool = False) -> None:
        self.objects = list(objects)
        self._show = show
        self._unnamed = unnamed

    def with_rows(self, rows: Iterable[_Row]) -> "Rows":
        """Return the section with further rows, which are made already."""
        there = [_Made(row) for row in rows]
        return Rows([*self.objects, *there], lambda each: each.row if isinstance(each, _Made) else self.row(each))

    def row(self, each: Any) -> _Row:
        row = self._show(each)
        if self._unnamed:
            del row["vhost"]
        return row


class Exported(NamedTuple):
    """A document as it is now, and headers of its answer."""

    document: Mapping[str, Any]
    headers: Mapping[str, str]


async def written(document: Mapping[str, Any], rows: int) -> Parts:
    """Yield the JSON of a document in parts. rows: maximum number of rows made in one event loop iteration."""
    slices = RowSlices(rows)
    separator = b"{"
    for key, value in document.items():
        yield separator + orjson.dumps(key) + b":"
        separator = b","
        if isinstance(value, Rows):
            yield b"["
            async for part in encoded_rows(value.objects, value.row, slices):
                yield part
            yield b"]"
        else:
            yield orjson.dumps(value)
    yield b"}"


def exported(broker: Broker) -> _Row:
    """Return all definitions as they are now, with password hashes: for administrators."""
    vhosts = list(broker.vhosts.values())
    return {
        **_head(broker, "cluster"),
        "original_cluster_name": broker.cluster_name,
        "explanation": f"Definitions of cluster '{broker.cluster_name}'",
        "users": Rows(broker.users.list_users(), shown_user),
        "vhosts": Rows(broker.defined_vhosts.values(), lambda vhost: described_vhost(vhost, broker.config)),
        "permissions": Rows(broker.users.list_permissions(), shown_permission),
        "topic_permissions": Rows(broker.users.list_topic_permissions(), shown_topic_permission),
        "parameters": Rows(broker.parameters.list(), _parameter),
        "global_parameters": [
            parameter._asdict() for parameter in broker.global_parameters.list() if parameter.name != IMPORTED_HASH
        ],
        "policies": Rows(broker.policies.list(), shown_policy),
        **_contents(vhosts, unnamed=False),
    }


def exported_vhost(broker: Broker, vhost: Vhost) -> _Row:
    """Return the definitions of one vhost, without its name, so that they can be imported into another."""
    described = described_vhost(vhost.definition, broker.config)
    return {
        **_head(broker, "single_virtual_host"),
        "original_vhost_name": vhost.name,
        "explanation": f"Definitions of virtual host '{vhost.name}'",
        "metadata": described["metadata"],
        "description": vhost.description,
        "default_queue_type": vhost.default_queue_type,
        "limits": broker.limits.vhost(vhost.name),
        "parameters": Rows(broker.parameters.list(vhost=vhost.name), _parameter, unnamed=True),
        "policies": Rows(broker.policies.list(vhost.name), shown_policy, unnamed=True),
        **_contents([vhost], unnamed=True),
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


def _contents(vhosts: list[Vhost], unnamed: bool) -> _Row:
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
        "queues": Rows(queues, _queue, unnamed),
        "exchanges": Rows(exchanges, _exchange, unnamed),
        "bindings": Rows(bindings, _binding, unnamed),
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
