"""RabbitMQ's properties of events, made from the objects that the events are about.

RabbitMQ identifies connections and channels by Erlang processes. Here their names are the identifiers, which match in
the same way.
"""

from collections.abc import Mapping
from typing import Any

from amqpbroker.broker.events.protocols import (
    BindingLike,
    ChannelLike,
    ConnectionLike,
    ConsumerLike,
    ExchangeLike,
    PeerLike,
    PolicyLike,
    QueueLike,
    UserLike,
    VhostLike,
)
from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.infos import ConnectionInfo, ConsumerInfo
from amqpbroker.broker.policies.limits import LIMITS
from amqpbroker.broker.queues.groups.key import key_type, shown_key
from amqpbroker.wire.erlang import erlang_binary, erlang_term
from amqpbroker.wire.values import TYPE_NAMES, Table

Facts = dict[str, Any]

_PROTOCOL = "{0,9,1}"


def plain(**facts: object) -> Facts:
    """Return properties that the event reports as they are."""
    return facts


def _arguments(table: Table) -> list[str]:
    """Return arguments as the plugin writes them: Erlang terms."""
    return [
        f"{{{erlang_binary(name.encode('utf-8', 'surrogateescape'))},{TYPE_NAMES[field.kind]},{erlang_term(field)}}}"
        for name, field in table.items()
    ]


def _address(host: str) -> str:
    """Return an IPv4 address as {127,0,0,1}."""
    return f"{{{host.replace('.', ',')}}}" if host.count(".") == 3 else host


# --- clients ----------------------------------------------------------------------------------------------------------


def authentication_succeeded(user: str, mechanism: str, peer: PeerLike) -> Facts:
    return {
        "name": user,
        "auth_mechanism": mechanism,
        "connection_name": peer.name,
        "connection_type": "network",
        "host": _address(peer.local_host),
        "peer_host": _address(peer.host),
        "peer_port": peer.port,
        "protocol": _PROTOCOL,
        "ssl": peer.tls is not None,
    }


def authentication_failed(user: str, mechanism: str, peer: PeerLike) -> Facts:
    return {
        **authentication_succeeded(user, mechanism, peer),
        "error": f"user '{user}' - invalid credentials",
    }


def connection_closed(connection: ConnectionLike, node: str) -> Facts:
    return _connection(connection.info(), node)


def _connection(info: ConnectionInfo, node: str) -> Facts:
    return {
        "client_properties": _arguments(info.client_properties),
        "name": info.name,
        "node": node,
        "pid": info.name,
    }


def connection_created(connection: ConnectionLike, node: str) -> Facts:
    info = connection.info()
    return {
        **_connection(info, node),
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


def channel_created(channel: ChannelLike) -> Facts:
    info = channel.info()
    return {
        "connection": info.connection,
        "name": info.name,
        "number": info.number,
        "pid": info.name,
        "user": info.user,
        "vhost": info.vhost,
    }


def channel_closed(channel: ChannelLike, consumer_count: int) -> Facts:
    return {"pid": channel.name, "consumer_count": consumer_count}


def _info(consumer: ConsumerLike) -> ConsumerInfo:
    # The activity, which only the queue knows, is not reported.
    return consumer.info(True, "up")


def _consumer(info: ConsumerInfo) -> Facts:
    return {
        "channel": info.channel_name,
        "consumer_tag": info.consumer_tag,
        "queue": info.queue,
        "vhost": info.vhost,
    }


def consumer_created(consumer: ConsumerLike) -> Facts:
    info = _info(consumer)
    return {
        **_consumer(info),
        "ack_required": info.ack_required,
        "arguments": _arguments(info.arguments),
        "exclusive": info.exclusive,
        "prefetch_count": info.prefetch_count,
    }


def consumer_deleted(consumer: ConsumerLike) -> Facts:
    return _consumer(_info(consumer))


# --- topology ---------------------------------------------------------------------------------------------------------


def vhost_facts(vhost: VhostLike, traced: bool, node: str) -> Facts:
    tags = list(vhost.tags)
    metadata = f"#{{description => {erlang_binary(vhost.description.encode())},tags => [{','.join(tags)}]"
    return {
        "name": vhost.name,
        "description": vhost.description,
        "tags": tags,
        "default_queue_type": vhost.default_queue_type,
        "metadata": f"{metadata},default_queue_type => {erlang_binary(vhost.default_queue_type.encode())}}}",
        "cluster_state": {node: "running"},
        "tracing": traced,
    }


def exchange_created(vhost: str, exchange: ExchangeLike) -> Facts:
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


def exchange_deleted(vhost: str, exchange: ExchangeLike) -> Facts:
    return {"name": exchange.name, "vhost": vhost}


def queue_deleted(vhost: str, queue: QueueLike) -> Facts:
    return {"name": queue.name, "vhost": vhost, "type": queue.kind.module}


def group_stopped(vhost: str, queue: QueueLike, key: bytes) -> Facts:
    return {**queue_deleted(vhost, queue), "group": shown_key(key), "group_key_type": key_type(key)}


def queue_created(vhost: str, queue: QueueLike, node: str) -> Facts:
    facts = {
        **queue_deleted(vhost, queue),
        "arguments": _arguments(queue.arguments),
        "auto_delete": queue.auto_delete,
        "durable": queue.durable,
    }
    if queue.kind.exclusive_in_events:
        facts["exclusive"] = queue.owner is not None
    if queue.kind.owner_in_events:
        owner = str(getattr(queue.owner, "name", ""))
        facts |= {"leader": node, "members": [node], "owner_pid": owner}
    return facts


def binding_facts(vhost: str, binding: BindingLike) -> Facts:
    return {
        "vhost": vhost,
        "source_kind": "exchange",
        "source_name": binding.source.name,
        "destination_kind": "exchange" if isinstance(binding.destination, Exchange) else "queue",
        "destination_name": binding.destination.name,
        "routing_key": binding.routing_key,
        "arguments": _arguments(binding.arguments),
    }


# --- administration ---------------------------------------------------------------------------------------------------


def user_limits(user: UserLike, limits: Mapping[str, int]) -> Facts:
    return {"name": LIMITS, "username": user.name, **limits}


def policy_set(policy: PolicyLike) -> Facts:
    return {"name": policy.name, "vhost": policy.vhost, **policy.value}


def vhost_limits(vhost: str, limits: Mapping[str, int]) -> Facts:
    return {"name": LIMITS, "vhost": vhost, **limits}


def parameter_facts(component: str, name: str, vhost: str | None = None, value: object = None) -> Facts:
    """Return the properties of a parameter. vhost: None if it is global. value: None if deleted or not reported."""
    facts: Facts = {"component": component, "name": name}
    if vhost is not None:
        facts["vhost"] = vhost
    if value is not None:
        facts["value"] = value
    return facts
