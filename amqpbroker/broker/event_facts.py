"""What events tell of what they are about, under RabbitMQ's names.

RabbitMQ calls connections and channels by the identifiers of Erlang's processes. Here these are their names, which
serve as well to see what belongs together.
"""

from typing import TYPE_CHECKING, Any

from amqpbroker.wire.erlang import erlang_binary, erlang_term
from amqpbroker.wire.values import TYPE_NAMES, Table

if TYPE_CHECKING:
    from amqpbroker.broker.exchange import Binding, Exchange
    from amqpbroker.broker.policies import Policy
    from amqpbroker.broker.queue import Queue
    from amqpbroker.broker.session import ChannelInfo, ConnectionInfo, ConsumerInfo
    from amqpbroker.broker.vhost import Vhost

Facts = dict[str, Any]

_PROTOCOL = "{0,9,1}"


def _arguments(table: Table) -> list[str]:
    """As the plugin writes them: Erlang's terms."""
    return [
        f"{{{erlang_binary(name.encode('utf-8', 'surrogateescape'))},{TYPE_NAMES[field.kind]},{erlang_term(field)}}}"
        for name, field in table.items()
    ]


def _address(host: str) -> str:
    """{127,0,0,1} for what has four numbers."""
    return f"{{{host.replace('.', ',')}}}" if host.count(".") == 3 else host


def queue_facts(vhost: str, queue: "Queue") -> Facts:
    return {"name": queue.name, "vhost": vhost, "type": f"rabbit_{queue.settings.queue_type}_queue"}


def queue_created(vhost: str, queue: "Queue", node: str, owner: str) -> Facts:
    """owner: the connection that it is exclusive to, or nothing."""
    facts = {
        **queue_facts(vhost, queue),
        "arguments": _arguments(queue.arguments),
        "auto_delete": queue.auto_delete,
        "durable": queue.durable,
        "exclusive": queue.owner is not None,
    }
    if queue.settings.queue_type == "classic":
        facts |= {"leader": node, "members": [node], "owner_pid": owner}
    return facts


def exchange_created(vhost: str, exchange: "Exchange") -> Facts:
    return {
        "name": exchange.name,
        "vhost": vhost,
        "type": exchange.type.name,
        "arguments": _arguments(exchange.arguments),
        "auto_delete": exchange.auto_delete,
        "durable": exchange.durable,
        "internal": exchange.internal,
        "policy": exchange.policy and exchange.policy.name,
    }


def binding_facts(vhost: str, binding: "Binding", to_exchange: bool) -> Facts:
    return {
        "vhost": vhost,
        "source_kind": "exchange",
        "source_name": binding.source.name,
        "destination_kind": "exchange" if to_exchange else "queue",
        "destination_name": binding.destination.name,
        "routing_key": binding.routing_key,
        "arguments": _arguments(binding.arguments),
    }


def consumer_deleted(info: "ConsumerInfo") -> Facts:
    return {
        "channel": info.channel_name,
        "consumer_tag": info.consumer_tag,
        "queue": info.queue,
        "vhost": info.vhost,
    }


def consumer_created(info: "ConsumerInfo") -> Facts:
    return {
        **consumer_deleted(info),
        "ack_required": info.ack_required,
        "arguments": _arguments(info.arguments),
        "exclusive": info.exclusive,
        "prefetch_count": info.prefetch_count,
    }


def channel_created(info: "ChannelInfo") -> Facts:
    return {
        "connection": info.connection,
        "name": info.name,
        "number": info.number,
        "pid": info.name,
        "user": info.user,
        "vhost": info.vhost,
    }


def connection_closed(info: "ConnectionInfo", node: str) -> Facts:
    return {
        "client_properties": _arguments(info.client_properties),
        "name": info.name,
        "node": node,
        "pid": info.name,
    }


def connection_created(info: "ConnectionInfo", node: str) -> Facts:
    return {
        **connection_closed(info, node),
        "auth_mechanism": info.auth_mechanism,
        "channel_max": info.channel_max,
        "connected_at": info.connected_at,
        "frame_max": info.frame_max,
        "host": _address(info.host),
        "peer_cert_issuer": info.peer_cert_issuer,
        "peer_cert_subject": info.peer_cert_subject,
        "peer_cert_validity": info.peer_cert_validity,
        "peer_host": _address(info.peer_host),
        "peer_port": info.peer_port,
        "port": info.port,
        "protocol": _PROTOCOL,
        "ssl": info.ssl,
        "ssl_cipher": info.ssl_cipher,
        "ssl_hash": info.ssl_hash,
        "ssl_key_exchange": info.ssl_key_exchange,
        "ssl_protocol": info.ssl_protocol,
        "timeout": info.timeout,
        "type": info.type,
        "user": info.user,
        "vhost": info.vhost,
    }


def login(name: str, mechanism: str, connection: str, host: str, peer_host: str, peer_port: int, ssl: bool) -> Facts:
    """Somebody has logged in, or failed to."""
    return {
        "name": name,
        "auth_mechanism": mechanism,
        "connection_name": connection,
        "connection_type": "network",
        "host": _address(host),
        "peer_host": _address(peer_host),
        "peer_port": peer_port,
        "protocol": _PROTOCOL,
        "ssl": ssl,
    }


def vhost_facts(vhost: "Vhost", node: str, tracing: bool) -> Facts:
    tags = list(vhost.tags)
    metadata = f"#{{description => {erlang_binary(vhost.description.encode())},tags => [{','.join(tags)}]"
    return {
        "name": vhost.name,
        "description": vhost.description,
        "tags": tags,
        "default_queue_type": vhost.default_queue_type,
        "metadata": f"{metadata},default_queue_type => {erlang_binary(vhost.default_queue_type.encode())}}}",
        "cluster_state": {node: "running"},
        "tracing": tracing,
    }


def policy_set(policy: "Policy") -> Facts:
    return {"name": policy.name, "vhost": policy.vhost, **policy.value}


def parameter_facts(component: str, name: str, vhost: str | None = None, value: object = None) -> Facts:
    """vhost: None for a global one. value: None where it is gone."""
    facts: Facts = {"component": component, "name": name}
    if vhost is not None:
        facts["vhost"] = vhost
    if value is not None:
        facts["value"] = value
    return facts
