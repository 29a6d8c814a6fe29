"""tx.select, tx.commit, tx.rollback."""

from typing import TYPE_CHECKING, Any

from amqpbroker import errors
from amqpbroker.amqp.handler import Handler
from amqpbroker.amqp.transaction import Transaction

if TYPE_CHECKING:
    from amqpbroker.amqp.channel import Channel


def select(channel: "Channel", arguments: dict[str, Any]) -> None:
    if channel.confirms is not None:
        raise errors.precondition_failed("cannot switch from confirm to tx mode")
    if channel.transaction is None:
        channel.transaction = Transaction(channel)
    channel.send("tx.select-ok")


def _transaction(channel: "Channel") -> Transaction:
    if channel.transaction is None:
        raise errors.precondition_failed("channel is not transactional")
    return channel.transaction


def commit(channel: "Channel", arguments: dict[str, Any]) -> None:
    _transaction(channel).commit()
    channel.send_when_synced("tx.commit-ok")


def rollback(channel: "Channel", arguments: dict[str, Any]) -> None:
    _transaction(channel).rollback()
    channel.send("tx.rollback-ok")


HANDLERS: dict[str, Handler] = {"tx.select": select, "tx.commit": commit, "tx.rollback": rollback}
