"""The methods off the hot path: method name -> what it does with the channel and its decoded arguments."""

from amqpbroker.amqp.handler import Handler
from amqpbroker.amqp.methods import access, basic, channel, confirm, exchange, queue, tx

HANDLERS: dict[str, Handler] = {
    **access.HANDLERS,
    **basic.HANDLERS,
    **channel.HANDLERS,
    **confirm.HANDLERS,
    **exchange.HANDLERS,
    **queue.HANDLERS,
    **tx.HANDLERS,
}
