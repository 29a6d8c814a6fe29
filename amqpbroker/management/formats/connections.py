"""Connections and channels."""

from typing import Any

from amqpbroker.broker.infos import ChannelInfo, ConnectionInfo
from amqpbroker.broker.session import Session
from amqpbroker.management.formats.rates import Details, with_details
from amqpbroker.management.formats.shared import GARBAGE_COLLECTION, NO_RATE, iso
from amqpbroker.management.formats.tables import plain

#: Fields of TLS, which without TLS are null in a list, and empty for a single connection.
_TLS = (
    "peer_cert_issuer",
    "peer_cert_subject",
    "peer_cert_validity",
    "ssl_cipher",
    "ssl_hash",
    "ssl_key_exchange",
    "ssl_protocol",
)


def connection_row(info: ConnectionInfo, node: str, details: Details) -> dict[str, Any]:
    row = {
        "auth_mechanism": info.auth_mechanism,
        "channel_max": info.channel_max,
        "channels": info.channels,
        "client_properties": plain(info.client_properties),
        "connected_at": info.connected_at,
        "frame_max": info.frame_max,
        "garbage_collection": GARBAGE_COLLECTION,
        "host": info.host,
        "name": info.name,
        "node": node,
        "peer_cert_issuer": info.peer_cert_issuer,
        "peer_cert_subject": info.peer_cert_subject,
        "peer_cert_validity": info.peer_cert_validity,
        "peer_host": info.peer_host,
        "peer_port": info.peer_port,
        "port": info.port,
        "protocol": info.protocol,
        "recv_cnt": info.recv_cnt,
        "recv_oct": info.recv_oct,
        "recv_oct_details": details("recv_oct"),
        "reductions": 0,
        "reductions_details": NO_RATE,
        "send_cnt": info.send_cnt,
        "send_oct": info.send_oct,
        "send_oct_details": details("send_oct"),
        "send_pend": info.send_pend,
        "ssl": info.ssl,
        "ssl_cipher": info.ssl_cipher,
        "ssl_hash": info.ssl_hash,
        "ssl_key_exchange": info.ssl_key_exchange,
        "ssl_protocol": info.ssl_protocol,
        "state": info.state,
        "timeout": info.timeout,
        "type": info.type,
        "user": info.user,
        "user_who_performed_action": info.user_who_performed_action,
        "vhost": info.vhost,
    }
    if info.user_provided_name is not None:
        row["user_provided_name"] = info.user_provided_name
    return row


def connection(info: ConnectionInfo, node: str, details: Details) -> dict[str, Any]:
    """One that is shown alone."""
    row = connection_row(info, node, details)
    for key in _TLS:
        if row[key] is None:
            row[key] = ""
    return row


def basic_connection_row(session: Session, node: str) -> dict[str, Any]:
    """Return the row of a connection without statistics."""
    return {"name": session.name, "vhost": session.vhost.name, "user": session.user.name, "node": node}


def channel_row(info: ChannelInfo, node: str, details: Details) -> dict[str, Any]:
    row: dict[str, Any] = {
        "acks_uncommitted": info.acks_uncommitted,
        "confirm": info.confirm,
        "connection_details": {
            "name": info.connection,
            "peer_host": info.peer_host,
            "peer_port": info.peer_port,
        },
        "consumer_count": info.consumer_count,
        "garbage_collection": GARBAGE_COLLECTION,
        "messages_unacknowledged": info.messages_unacknowledged,
        "messages_uncommitted": info.messages_uncommitted,
        "messages_unconfirmed": info.messages_unconfirmed,
        "name": info.name,
        "node": node,
        "number": info.number,
        "pending_raft_commands": 0,
        "prefetch_count": info.prefetch_count,
        "reductions": 0,
        "reductions_details": NO_RATE,
        "state": info.state,
        "transactional": info.transactional,
        "user": info.user,
        "user_who_performed_action": info.user_who_performed_action,
        "vhost": info.vhost,
    }
    if info.user_provided_name is not None:
        row["connection_details"]["user_provided_name"] = info.user_provided_name
    if info.global_prefetch_count:
        row["global_prefetch_count"] = info.global_prefetch_count
    if info.idle_since is not None:
        row["idle_since"] = iso(info.idle_since)
    if info.message_stats:
        row["message_stats"] = with_details(info.message_stats, details)
    return row
