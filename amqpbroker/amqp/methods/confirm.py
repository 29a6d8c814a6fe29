"""confirm.select."""

from typing import TYPE_CHECKING, Any

from amqpbroker import errors
from amqpbroker.amqp.confirms import Confirms
from amqpbroker.amqp.handler import Handler

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


def select(channel: "Channel", arguments: dict[str, Any]) -> None:
    if channel.transaction is not None:
        raise errors.precondition_failed("cannot switch from tx to confirm mode")
    if channel.confirms is None:
        channel.confirms = Confirms(channel.number, channel.broker.store)
    if not arguments["nowait"]:
        channel.send("confirm.select-ok")


HANDLERS: dict[str, Handler] = {"confirm.select": select}
