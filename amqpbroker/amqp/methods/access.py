"""access.request: gone from the specification, still sent by old clients."""

from typing import TYPE_CHECKING, Any

from amqpbroker.amqp.handler import Handler

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


def request(channel: "Channel", arguments: dict[str, Any]) -> None:
    channel.send("access.request-ok", ticket=1)


HANDLERS: dict[str, Handler] = {"access.request": request}
