"""The methods off the hot path: method name -> what it does with the channel and its decoded arguments."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqpbroker.amqp.methods import access, basic, channel, confirm, exchange, queue, tx

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel

Handler = Callable[["Channel", dict[str, Any]], None]

HANDLERS: dict[str, Handler] = {
    **access.HANDLERS,
    **basic.HANDLERS,
    **channel.HANDLERS,
    **confirm.HANDLERS,
    **exchange.HANDLERS,
    **queue.HANDLERS,
    **tx.HANDLERS,
}
