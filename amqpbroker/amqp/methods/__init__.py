"""The methods off the hot path: method name -> what it does with the channel and its decoded arguments."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqpbroker.amqp.methods import basic, channel, exchange, queue, tx

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel

#: Takes the channel and the method's decoded arguments, by their names in pamqp.
Handler = Callable[["Channel", dict[str, Any]], None]


def _request_access(channel: "Channel", arguments: dict[str, Any]) -> None:
    """access.request: gone from the specification, still sent by old clients."""
    channel.send("access.request-ok", ticket=1)


HANDLERS: dict[str, Handler] = {
    "access.request": _request_access,
    **basic.HANDLERS,
    **channel.HANDLERS,
    **exchange.HANDLERS,
    **queue.HANDLERS,
    **tx.HANDLERS,
}
