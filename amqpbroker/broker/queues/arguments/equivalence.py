"""Equivalence of a declaration to an existing queue or exchange (assert_args_equivalence/4 of rabbit_misc)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from amqpbroker import errors
from amqpbroker.broker.exchanges.exchange import ALTERNATE_EXCHANGE
from amqpbroker.broker.queues.arguments.arguments import QUEUE_TYPE, with_queue_type
from amqpbroker.broker.queues.arguments.difference import Difference, difference
from amqpbroker.compat import DEFAULT_COMPAT, Compat
from amqpbroker.wire.values import Table, longstr

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Exchange
    from amqpbroker.broker.queues.queue import Queue


def queue_differences(
    existing: "Queue",
    vhost: str,
    *,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    arguments: Table,
    owned: bool,
    default_queue_type: str = "classic",
    relaxed: bool = False,
    compat: Compat = DEFAULT_COMPAT,
) -> list[Difference]:
    """Return the arguments of a declaration that differ from those of `existing`; compared in RabbitMQ's order.

    Raises AmqpError 405, 406 for a difference other than an argument. owned: the queue is not exclusive, or belongs to
    the connection that declares. Only the arguments that the existing queue's type knows are compared. An exclusive
    queue counts as transient, even if declared durable. relaxed: a queue
    may be declared as a classic one if its kind allows that, with flags that only a classic queue may have (seen on
    4.0.5). compat: determines the arguments.
    """
    name = existing.name
    kind = existing.kind
    declared = with_queue_type(
        arguments,
        durable=durable,
        exclusive=exclusive,
        auto_delete=auto_delete,
        default_queue_type=default_queue_type,
    )
    relaxed = relaxed and kind.relaxed_redeclaration and declared[QUEUE_TYPE] == longstr("classic")
    if not relaxed:
        was_exclusive = existing.owner is not None
        if not owned or exclusive != was_exclusive:
            raise errors.queue_locked(name, vhost)
        _assert_same_flag(
            "durable", "queue", name, vhost, durable and not exclusive, existing.durable and not was_exclusive
        )
        _assert_same_flag("auto_delete", "queue", name, vhost, auto_delete, existing.auto_delete)
    current = {QUEUE_TYPE: longstr(kind.name), **existing.arguments}
    compared = [
        row.name
        for row in kind.arguments_in(compat).values()
        if not row.tolerates(compat) and not (relaxed and row.name == QUEUE_TYPE)
    ]
    found = [difference(argument, declared.get(argument), current.get(argument)) for argument in compared]
    return [each for each in found if each is not None]


def assert_exchange_equivalent(
    existing: "Exchange",
    vhost: str,
    *,
    kind: str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Table,
    more_arguments: Iterable[str] = (),
) -> None:
    """Raise AmqpError 406 unless a declaration is equivalent to `existing` (rabbit_exchange:assert_equivalence/6).

    more_arguments: compared besides the one that RabbitMQ compares.
    """
    name = existing.name
    if kind != existing.type.name:
        shown = (_type_name(kind), _type_name(existing.type.name))
        raise errors.inequivalent_argument("type", "exchange", name, vhost, *shown)
    _assert_same_flag("durable", "exchange", name, vhost, durable, existing.durable)
    _assert_same_flag("auto_delete", "exchange", name, vhost, auto_delete, existing.auto_delete)
    _assert_same_flag("internal", "exchange", name, vhost, internal, existing.internal)
    for argument in (ALTERNATE_EXCHANGE, *more_arguments):
        found = difference(argument, arguments.get(argument), existing.arguments.get(argument))
        if found is not None:
            raise found.refusal("exchange", name, vhost)


def _type_name(kind: str) -> str:
    """Return an exchange type as RabbitMQ prints it: an Erlang atom, in single quotes if it has a hyphen."""
    return f"''{kind}''" if "-" in kind else f"'{kind}'"


def _assert_same_flag(flag: str, kind: str, name: str, vhost: str, received: bool, current: bool) -> None:
    if received != current:
        raise errors.inequivalent_argument(flag, kind, name, vhost, _flag(received), _flag(current))


def _flag(value: bool) -> str:
    return "'true'" if value else "'false'"
