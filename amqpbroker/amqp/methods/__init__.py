"""The methods off the hot path: method name -> function that handles it, called with the channel and the arguments.

It also has the methods of access and channel; the connection handles channel.open and channel.close.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqpbroker import errors
from amqpbroker.amqp.methods import basic, exchange, queue, tx

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel

#: A function of the channel and the method's decoded arguments, by their names in pamqp.
Handler = Callable[["Channel", dict[str, Any]], None]


def _request_access(channel: "Channel", arguments: dict[str, Any]) -> None:
    """Handle access.request, which is no longer in the specification, but still sent by old clients."""
    channel.send("access.request-ok", ticket=1)


def _flow(channel: "Channel", arguments: dict[str, Any]) -> None:
    """Refuse to stop the flow, as RabbitMQ does: prefetch replaces channel.flow."""
    if not arguments["active"]:
        raise errors.not_implemented("active=false")
    channel.send("channel.flow-ok", active=True)


HANDLERS: dict[str, Handler] = {
    "access.request": _request_access,
    "channel.flow": _flow,
    **basic.HANDLERS,
    **exchange.HANDLERS,
    **queue.HANDLERS,
    **tx.HANDLERS,
}
