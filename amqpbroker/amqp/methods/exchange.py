"""exchange.declare, delete, bind, unbind."""

from typing import TYPE_CHECKING, Any

from amqpbroker import errors
from amqpbroker.broker.settings import alternate_exchange

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


def declare(channel: "Channel", arguments: dict[str, Any]) -> None:
    name = without_line_breaks(arguments["exchange"])
    vhost = channel.vhost
    if name == "":
        raise errors.default_exchange_refused()
    if arguments["passive"]:
        vhost.exchange(name)
    else:
        channel.permissions.check("configure", "exchange", name)
        new = name not in vhost.exchanges
        alternate = alternate_exchange(name, vhost.name, arguments["arguments"]) if new else None
        if alternate is not None:
            channel.permissions.check("read", "exchange", name)
            channel.permissions.check("write", "exchange", alternate)
        vhost.declare_exchange(
            name,
            arguments["exchange_type"],
            arguments["durable"],
            arguments["auto_delete"],
            arguments["internal"],
            arguments["arguments"],
        )
    if not arguments["nowait"]:
        channel.send("exchange.declare-ok")


def delete(channel: "Channel", arguments: dict[str, Any]) -> None:
    name = without_line_breaks(arguments["exchange"])
    if name == "":
        raise errors.default_exchange_refused()
    channel.permissions.check("configure", "exchange", name)
    channel.vhost.delete_exchange(name, arguments["if_unused"])
    if not arguments["nowait"]:
        channel.send("exchange.delete-ok")


def bind(channel: "Channel", arguments: dict[str, Any]) -> None:
    _change(channel, arguments, "bind")


def unbind(channel: "Channel", arguments: dict[str, Any]) -> None:
    _change(channel, arguments, "unbind")


def _change(channel: "Channel", arguments: dict[str, Any], what: str) -> None:
    destination: str = arguments["destination"]
    source: str = arguments["source"]
    if "" in (destination, source):
        raise errors.default_exchange_refused()
    channel.permissions.check("write", "exchange", destination)
    channel.permissions.check("read", "exchange", source)
    change_binding(channel, source, destination, False, arguments, what)
    if not arguments["nowait"]:
        channel.send(f"exchange.{what}-ok")


def change_binding(
    channel: "Channel", source: str, destination: str, to_queue: bool, arguments: dict[str, Any], what: str
) -> None:
    """Bind or unbind a queue or exchange. What is missing is an error for bind, and nothing to do for unbind."""
    vhost = channel.vhost
    routing_key = arguments["routing_key"].encode("utf-8", "surrogateescape")
    if what == "unbind":
        exchange = vhost.exchanges.get(source)
        target = vhost.queues.get(destination) if to_queue else vhost.exchanges.get(destination)
        if (
            exchange is None
            or target is None
            or not vhost.is_bound(exchange, target, routing_key, arguments["arguments"])
        ):
            return
    exchange = vhost.exchange(source)
    if exchange.type.name == "topic":
        channel.permissions.check_topic("read", source, arguments["routing_key"])
    target = vhost.queue(destination, channel.connection) if to_queue else vhost.exchange(destination)
    change = vhost.bind if what == "bind" else vhost.unbind
    change(exchange, target, routing_key, arguments["arguments"])


def without_line_breaks(name: str) -> str:
    """Names of queues and exchanges are taken without CR and LF (rabbit_channel:strip_cr_lf)."""
    return name.replace("\n", "").replace("\r", "")


HANDLERS = {
    "exchange.declare": declare,
    "exchange.delete": delete,
    "exchange.bind": bind,
    "exchange.unbind": unbind,
}
