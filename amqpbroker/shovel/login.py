"""From the protocol header to connection.open-ok, and the first channel."""

import platform

import amqpbroker
from amqpbroker.broker.amqp_uri import AmqpUri
from amqpbroker.shovel.failure import LinkError
from amqpbroker.shovel.link import Link
from amqpbroker.wire.client import CAPABILITIES, FRAME_MAX, PROTOCOL_HEADER
from amqpbroker.wire.values import Field, Table, encode_table, longstr

_EXTERNAL = "EXTERNAL"


async def log_in(link: Link, uri: AmqpUri, name: str) -> None:
    """Open the connection and channel 1. name: of the connection, as the broker shows it. Raises LinkError."""
    client = link.client
    link.write(PROTOCOL_HEADER)
    start = await client.wait("connection.start", 0)
    offered = start["mechanisms"].decode("ascii", "replace").split()
    wanted = (_EXTERNAL,) if uri.host is None else uri.mechanisms
    mechanism = next((each for each in wanted if each in offered), None)
    if mechanism is None:
        raise LinkError(f"the broker offers none of {', '.join(wanted)} to log in by")
    client.send(
        "connection.start-ok",
        0,
        client_properties=_properties(name),
        mechanism=mechanism,
        response=_response(mechanism, uri),
        locale="en_US",
    )
    tune = await client.wait("connection.tune", 0)
    client.frame_max = min(limit for limit in (tune["frame_max"], uri.frame_max, FRAME_MAX) if limit)
    # The broker itself needs none: it is there as long as this is.
    heartbeat_s = 0 if uri.host is None else _agreed(tune["heartbeat"], uri.heartbeat_s)
    client.send(
        "connection.tune-ok",
        0,
        channel_max=tune["channel_max"],
        frame_max=client.frame_max,
        heartbeat=heartbeat_s,
    )
    link.start_heartbeats(heartbeat_s)
    client.send("connection.open", 0, virtual_host=uri.vhost)
    await client.wait("connection.open-ok", 0)
    await client.call("channel.open")


def _properties(name: str) -> Table:
    return {
        "product": longstr("amqpbroker shovel"),
        "version": longstr(amqpbroker.__version__),
        "platform": longstr(f"Python {platform.python_version()}"),
        "connection_name": longstr(name),
        "capabilities": Field("F", CAPABILITIES),
    }


def _response(mechanism: str, uri: AmqpUri) -> bytes:
    user, password = uri.user or "", uri.password or ""
    match mechanism:
        case "PLAIN":
            return f"\0{user}\0{password}".encode()
        case "AMQPLAIN":
            return encode_table({"LOGIN": longstr(user), "PASSWORD": longstr(password)})[4:]
        case _:
            return b""


def _agreed(theirs: int, ours: int) -> int:
    """The smaller, where 0 is no wish at all (amqp_main_reader: negotiate)."""
    return min(theirs, ours) if theirs and ours else max(theirs, ours)
