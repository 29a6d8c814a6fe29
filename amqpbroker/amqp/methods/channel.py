"""channel.flow. Opening and closing channels is the connection's."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqpbroker import errors

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


def flow(channel: "Channel", arguments: dict[str, Any]) -> None:
    """RabbitMQ lets no client stop the flow: prefetch does that better."""
    if not arguments["active"]:
        raise errors.not_implemented("active=false")
    channel.send("channel.flow-ok", active=True)


HANDLERS: dict[str, Callable[..., None]] = {"channel.flow": flow}
