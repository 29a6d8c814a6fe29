"""The methods off the hot path: method name -> what it does with the channel and its decoded arguments.

Also the two methods of classes that have no other here; opening and closing channels is the connection's.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqpbroker import errors
from amqpbroker.amqp.methods import basic, exchange, queue, tx

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel

#: Takes the channel and the method's decoded arguments, by their names in pamqp.
Handler = Callable[["Channel", dict[str, Any]], None]


def _request_access(channel: "Channel", arguments: dict[str, Any]) -> None:
    """access.request: gone from the specification, still sent by old clients."""
    channel.send("access.request-ok", ticket=1)


def _flow(channel: "Channel", arguments: dict[str, Any]) -> None:
    """RabbitMQ lets no client stop the flow: prefetch does that better."""
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
