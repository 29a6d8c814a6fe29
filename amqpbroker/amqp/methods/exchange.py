"""exchange.declare, delete, bind, unbind."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqpbroker import errors
from amqpbroker.broker.actions import without_line_breaks
from amqpbroker.wire.values import Table

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


def declare(channel: "Channel", arguments: dict[str, Any]) -> None:
    if arguments["passive"]:
        name = without_line_breaks(arguments["exchange"])
        if name == "":
            raise errors.default_exchange_refused()
        channel.actions().check_passive("exchange", name)
        channel.vhost.exchange(name)
    else:
        channel.actions().declare_exchange(
            arguments["exchange"],
            arguments["exchange_type"],
            arguments["durable"],
            arguments["auto_delete"],
            arguments["internal"],
            arguments["arguments"],
        )
    if not arguments["nowait"]:
        channel.send_when_defined("exchange.declare-ok")


def delete(channel: "Channel", arguments: dict[str, Any]) -> None:
    channel.actions().delete_exchange(arguments["exchange"], arguments["if_unused"])
    if not arguments["nowait"]:
        channel.send_when_defined("exchange.delete-ok")


def bind(channel: "Channel", arguments: dict[str, Any]) -> None:
    channel.actions().bind(*_binding(arguments))
    if not arguments["nowait"]:
        channel.send_when_defined("exchange.bind-ok")


def unbind(channel: "Channel", arguments: dict[str, Any]) -> None:
    channel.actions().unbind(*_binding(arguments))
    if not arguments["nowait"]:
        channel.send_when_defined("exchange.unbind-ok")


def _binding(arguments: dict[str, Any]) -> tuple[str, str, bool, str, Table]:
    return arguments["source"], arguments["destination"], False, arguments["routing_key"], arguments["arguments"]


HANDLERS: dict[str, Callable[..., None]] = {
    "exchange.declare": declare,
    "exchange.delete": delete,
    "exchange.bind": bind,
    "exchange.unbind": unbind,
}
