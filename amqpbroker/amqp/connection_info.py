"""What a connection tells of itself."""

from typing import TYPE_CHECKING

from amqpbroker.broker.infos import ConnectionInfo
from amqpbroker.wire.values import text

if TYPE_CHECKING:
    from amqpbroker.amqp.connection import Connection


def connection_info(connection: "Connection") -> ConnectionInfo:
    """One that is open, or was, at present."""
    peer, user = connection.peer, connection.user.name
    name = connection.client_properties.get("connection_name")
    return ConnectionInfo(
        name=peer.name,
        user_provided_name=text(name.value) if name is not None and name.kind == "S" else None,
        user=user,
        user_who_performed_action=user,
        vhost=connection.vhost.name,
        host=peer.local_host,
        port=peer.local_port,
        peer_host=peer.host,
        peer_port=peer.port,
        state=_state(connection),
        channels=len(connection.channels),
        auth_mechanism=connection.mechanism,
        client_properties=connection.client_properties,
        connected_at=connection.connected_at,
        channel_max=connection.channel_max,
        frame_max=connection.frame_max,
        timeout=connection.heartbeat.interval_s,
        recv_oct=connection.recv_oct,
        recv_cnt=connection.recv_cnt,
        send_oct=connection.send_oct,
        send_cnt=connection.send_cnt,
        send_pend=len(connection.out),
        ssl=peer.tls is not None,
        **({} if peer.tls is None else peer.tls.info()),
    )


def _state(connection: "Connection") -> str:
    """In the words of RabbitMQ: see ConnectionInfo."""
    if not connection.running:
        return "closing"
    blocking = connection.blocking
    if blocking.blocked:
        return "blocked"
    if blocking.alarmed:
        return "blocking"
    return "flow" if blocking.outrunning else "running"
