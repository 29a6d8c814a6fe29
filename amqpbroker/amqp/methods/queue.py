"""queue.declare, bind, unbind, purge, delete."""

from typing import TYPE_CHECKING, Any

from amqpbroker import errors
from amqpbroker.amqp.methods.exchange import change_binding, without_line_breaks
from amqpbroker.broker.broker import generated_name
from amqpbroker.broker.direct_reply import PSEUDO_QUEUE, is_direct_reply
from amqpbroker.broker.queue import Queue
from amqpbroker.wire.values import Table, text

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


def queue_name(channel: "Channel", name: str) -> str:
    """The queue a method names; an empty name is the one last declared on the channel. Raises AmqpError 404."""
    if name:
        return name
    if not channel.last_queue:
        raise errors.no_previously_declared_queue()
    return channel.last_queue


def declare(channel: "Channel", arguments: dict[str, Any]) -> None:
    name = without_line_breaks(arguments["queue"])
    if name == PSEUDO_QUEUE or channel.broker.direct_replies.find(name) is not None:
        # A responder asks whether the requester is still there.
        counts = 0, 1
    else:
        queue = _passive(channel, name) if arguments["passive"] else _declare(channel, name, arguments)
        channel.last_queue = name = queue.name
        counts = queue.ready_count, queue.consumer_count
    if not arguments["nowait"]:
        channel.send("queue.declare-ok", queue=name, message_count=counts[0], consumer_count=counts[1])


def _passive(channel: "Channel", name: str) -> Queue:
    queue = channel.vhost.queue(name, channel.connection)
    queue.touch()
    return queue


def _declare(channel: "Channel", name: str, arguments: dict[str, Any]) -> Queue:
    vhost = channel.vhost
    server_named = not name
    if server_named:
        name = generated_name("amq.gen-")
    elif is_direct_reply(name):
        raise errors.no_queue(name, vhost.name)
    elif name.startswith("amq."):
        raise errors.reserved_queue_name(name)
    channel.permissions.check("configure", "queue", name)
    declared: Table = arguments["arguments"]
    dead_letter_exchange = declared.get("x-dead-letter-exchange")
    if dead_letter_exchange is not None and dead_letter_exchange.kind == "S" and name not in vhost.queues:
        channel.permissions.check("read", "queue", name)
        channel.permissions.check("write", "exchange", text(dead_letter_exchange.value))
    return vhost.declare_queue(
        name,
        arguments["durable"],
        arguments["exclusive"],
        arguments["auto_delete"],
        declared,
        channel.connection,
        server_named,
    )


def bind(channel: "Channel", arguments: dict[str, Any]) -> None:
    _change(channel, arguments, "bind")


def unbind(channel: "Channel", arguments: dict[str, Any]) -> None:
    _change(channel, arguments, "unbind")


def _change(channel: "Channel", arguments: dict[str, Any], what: str) -> None:
    if not arguments["queue"] and not arguments["routing_key"]:
        arguments["routing_key"] = queue_name(channel, "")
    name = queue_name(channel, arguments["queue"])
    source: str = arguments["exchange"]
    if source == "":
        raise errors.default_exchange_refused()
    channel.permissions.check("write", "queue", name)
    channel.permissions.check("read", "exchange", source)
    change_binding(channel, source, name, True, arguments, what)
    if not arguments.get("nowait"):
        channel.send(f"queue.{what}-ok")


def purge(channel: "Channel", arguments: dict[str, Any]) -> None:
    name = queue_name(channel, arguments["queue"])
    channel.permissions.check("read", "queue", name)
    count = channel.vhost.queue(name, channel.connection).purge()
    if not arguments["nowait"]:
        channel.send("queue.purge-ok", message_count=count)


def delete(channel: "Channel", arguments: dict[str, Any]) -> None:
    name = queue_name(channel, without_line_breaks(arguments["queue"]))
    channel.permissions.check("configure", "queue", name)

    def answer(count: int) -> None:
        """Comes before the news to consumers on this channel."""
        if not arguments["nowait"]:
            channel.send("queue.delete-ok", message_count=count)

    if name not in channel.vhost.queues:
        answer(0)
        return
    queue = channel.vhost.queue(name, channel.connection)
    if queue.settings.queue_type == "quorum" and (arguments["if_unused"] or arguments["if_empty"]):
        raise errors.quorum_conditional_delete(name, channel.vhost.name, arguments["if_unused"])
    channel.vhost.delete_queue(queue, arguments["if_unused"], arguments["if_empty"], answer)


HANDLERS = {
    "queue.declare": declare,
    "queue.bind": bind,
    "queue.unbind": unbind,
    "queue.purge": purge,
    "queue.delete": delete,
}
