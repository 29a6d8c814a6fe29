"""tx.select, tx.commit, tx.rollback, and confirm.select, which is incompatible with them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqpbroker import errors
from amqpbroker.amqp.transaction import Transaction

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


def select(channel: "Channel", arguments: dict[str, Any]) -> None:
    if channel.answers.confirms is not None:
        raise errors.precondition_failed("cannot switch from confirm to tx mode")
    channel.select_tx()
    channel.send("tx.select-ok")


def _transaction(channel: "Channel") -> Transaction:
    if channel.transaction is None:
        raise errors.precondition_failed("channel is not transactional")
    return channel.transaction


def commit(channel: "Channel", arguments: dict[str, Any]) -> None:
    channel.commit(_transaction(channel))
    channel.answers.send_when_synced("tx.commit-ok")


def rollback(channel: "Channel", arguments: dict[str, Any]) -> None:
    channel.roll_back(_transaction(channel))
    channel.send("tx.rollback-ok")


def select_confirms(channel: "Channel", arguments: dict[str, Any]) -> None:
    if channel.transaction is not None:
        raise errors.precondition_failed("cannot switch from tx to confirm mode")
    channel.answers.select_confirms()
    if not arguments["nowait"]:
        channel.send("confirm.select-ok")


HANDLERS: dict[str, Callable[..., None]] = {
    "tx.select": select,
    "tx.commit": commit,
    "tx.rollback": rollback,
    "confirm.select": select_confirms,
}
