"""queue.declare, bind, unbind, purge, delete."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqpbroker import errors
from amqpbroker.broker.actions import without_line_breaks
from amqpbroker.broker.queues.direct_reply import PSEUDO_QUEUE
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.wire.values import Table

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


def queue_name(channel: "Channel", name: str) -> str:
    """Return the queue name of a method; an empty name means the queue last declared on the channel.

    Raises AmqpError 404 if there is none.
    """
    if name:
        return name
    if not channel.last_queue:
        raise errors.no_previously_declared_queue()
    return channel.last_queue


def declare(channel: "Channel", arguments: dict[str, Any]) -> None:
    name = without_line_breaks(arguments["queue"])
    if name == PSEUDO_QUEUE or channel.broker.direct_replies.find(name) is not None:
        # The responder of a direct reply checks whether the requester is still connected.
        counts = 0, 1
    else:
        queue = _passive(channel, name) if arguments["passive"] else _declare(channel, name, arguments)
        name = queue.name
        counts = queue.ready_count, queue.reported_consumer_count
    channel.declared(name)
    if not arguments["nowait"]:
        channel.send_when_defined("queue.declare-ok", queue=name, message_count=counts[0], consumer_count=counts[1])


def _passive(channel: "Channel", name: str) -> Queue:
    channel.actions().check_passive("queue", name)
    queue = channel.vhost.queue(name, channel.connection)
    queue.touch()
    return queue


def _declare(channel: "Channel", name: str, arguments: dict[str, Any]) -> Queue:
    return channel.actions().declare_queue(
        name, arguments["durable"], arguments["exclusive"], arguments["auto_delete"], arguments["arguments"]
    )


def bind(channel: "Channel", arguments: dict[str, Any]) -> None:
    channel.actions().bind(*_binding(channel, arguments))
    if not arguments["nowait"]:
        channel.send_when_defined("queue.bind-ok")


def unbind(channel: "Channel", arguments: dict[str, Any]) -> None:
    channel.actions().unbind(*_binding(channel, arguments))
    channel.send_when_defined("queue.unbind-ok")


def _binding(channel: "Channel", arguments: dict[str, Any]) -> tuple[str, str, bool, str, Table]:
    """Return source, destination, True for a queue, routing key and arguments.

    An empty queue name means the channel's.
    """
    name = queue_name(channel, arguments["queue"])
    routing_key = arguments["routing_key"]
    if not arguments["queue"] and not routing_key:
        routing_key = name
    return arguments["exchange"], name, True, routing_key, arguments["arguments"]


def purge(channel: "Channel", arguments: dict[str, Any]) -> None:
    count = channel.actions().purge_queue(queue_name(channel, arguments["queue"]))
    if not arguments["nowait"]:
        channel.send_when_recorded("queue.purge-ok", message_count=count)


def delete(channel: "Channel", arguments: dict[str, Any]) -> None:
    def answer(count: int) -> None:
        """Send the answer before consumers on this channel are notified."""
        if not arguments["nowait"]:
            channel.send_when_defined("queue.delete-ok", message_count=count)

    name = queue_name(channel, without_line_breaks(arguments["queue"]))
    channel.actions().delete_queue(name, arguments["if_unused"], arguments["if_empty"], answer)


HANDLERS: dict[str, Callable[..., None]] = {
    "queue.declare": declare,
    "queue.bind": bind,
    "queue.unbind": unbind,
    "queue.purge": purge,
    "queue.delete": delete,
}
