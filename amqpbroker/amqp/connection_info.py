"""Connections as the management API shows them."""

from amqpbroker.amqp.client import Client
from amqpbroker.amqp.state import State
from amqpbroker.broker.infos import ConnectionInfo


def connection_info(
    state: State, client: Client, channels: int, heartbeat_s: int, counters: tuple[int, ...], send_pend: int
) -> ConnectionInfo:
    """Describe a connection that is or was open. counters: see `Connection.counters`."""
    peer, user = client.peer, client.user.name
    recv_oct, send_oct, recv_cnt, send_cnt = counters
    return ConnectionInfo(
        name=peer.name,
        user_provided_name=client.given_name,
        user=user,
        user_who_performed_action=user,
        vhost=client.vhost.name,
        host=peer.local_host,
        port=peer.local_port,
        peer_host=peer.host,
        peer_port=peer.port,
        state=state.shown,
        channels=channels,
        auth_mechanism=client.mechanism,
        client_properties=client.properties,
        connected_at=client.connected_at,
        channel_max=client.channel_max,
        frame_max=client.frame_max,
        timeout=heartbeat_s,
        recv_oct=recv_oct,
        recv_cnt=recv_cnt,
        send_oct=send_oct,
        send_cnt=send_cnt,
        send_pend=send_pend,
        ssl=peer.tls is not None,
        **({} if peer.tls is None else peer.tls.info()),
    )
