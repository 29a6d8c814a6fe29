"""Super streams: a direct exchange with streams as its partitions, laid out as by RabbitMQ's add_super_stream."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from amqpbroker import errors
from amqpbroker.broker.actions import Actions
from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.queues.arguments.arguments import QUEUE_TYPE
from amqpbroker.broker.queues.kinds import STREAM
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.vhost import Vhost
from amqpbroker.wire.erlang import erlang_term
from amqpbroker.wire.values import INTEGER_KINDS, Field, Table, longstr, text

#: Argument of the exchange.
SUPER_STREAM: Final = "x-super-stream"
#: Argument of the bindings.
PARTITION_ORDER: Final = "x-stream-partition-order"
#: The same maximum as in RabbitMQ.
MAX_PARTITIONS: Final = 1000
MAX_NAME_BYTES: Final = 255

_LOCATOR: Final = "x-queue-leader-locator"
_STREAM: Final = longstr(STREAM.name)


class Partition(NamedTuple):
    """A stream of a super stream, and the key that it is bound with."""

    stream: str
    binding_key: str


def numbered(count: int) -> list[str]:
    """Return the binding keys of partitions that are only numbered."""
    return [str(number) for number in range(count)]


def partitions(vhost: Vhost, name: str) -> list[Partition] | None:
    """Return the partitions of a super stream in their order; None if there is no super stream of that name."""
    exchange = vhost.exchanges.get(name)
    if exchange is None or not _is_super_stream(exchange):
        return None
    bindings = [
        (_order(binding.arguments), Partition(binding.destination.name, text(binding.routing_key)))
        for binding in exchange.bindings.values()
        if binding.lives and isinstance(binding.destination, Queue) and binding.destination.kind is STREAM
    ]
    # Partitions without a number come last.
    return [partition for _, partition in sorted(bindings, key=lambda each: (each[0] is None, each[0] or 0))]


def super_streams(vhost: Vhost) -> list[str]:
    """Return the names of all super streams of a vhost."""
    return sorted(exchange.name for exchange in vhost.exchanges.values() if _is_super_stream(exchange))


def create_super_stream(actions: Actions, name: str, binding_keys: Sequence[str], arguments: Table) -> None:
    """Create a super stream with a partition for each binding key, or nothing.

    arguments: of the partitions, whose type can only be stream. Raises AmqpError 403 without permission for each
    exchange, stream and binding, 406 if one of the objects exists or cannot be declared, and 506.
    """
    vhost = actions.vhost
    found = [Partition(f"{name}-{key}", key) for key in binding_keys]
    _check_names(vhost, name, found)
    _check_type(vhost, name, arguments.get(QUEUE_TYPE, _STREAM))
    _check_permissions(actions, name, [partition.stream for partition in found])
    _check_absent(vhost, name, found)
    of_streams = {_LOCATOR: longstr("balanced"), **arguments, QUEUE_TYPE: _STREAM}
    try:
        with vhost.definitions.transaction():
            actions.declare_exchange(name, "direct", True, False, False, {SUPER_STREAM: Field("t", True)})
            for order, partition in enumerate(found):
                actions.declare_queue(partition.stream, True, False, False, of_streams)
                order_of = {PARTITION_ORDER: Field("l", order)}
                actions.bind(name, partition.stream, True, partition.binding_key, order_of)
    except BaseException:
        _remove(vhost, name, found)
        raise


def delete_super_stream(actions: Actions, name: str) -> bool:
    """Delete a super stream with its partitions; return False if there is none.

    The exchange is deleted last, so that an interrupted deletion can be repeated. Raises AmqpError 403, before anything
    is deleted, and 506.
    """
    found = partitions(actions.vhost, name)
    if found is None:
        return False
    actions.permissions.check("configure", "exchange", name)
    streams = list(dict.fromkeys(partition.stream for partition in found))
    for stream in streams:
        actions.permissions.check("configure", "queue", stream)
    for stream in streams:
        actions.delete_queue(stream, False, False)
    actions.delete_exchange(name, False)
    return True


def _is_super_stream(exchange: Exchange) -> bool:
    return exchange.arguments.get(SUPER_STREAM) == Field("t", True)


def _order(arguments: Table) -> int | None:
    given = arguments.get(PARTITION_ORDER)
    return given.value if given is not None and given.kind in INTEGER_KINDS else None


def _check_names(vhost: Vhost, name: str, found: Sequence[Partition]) -> None:
    where = f"super stream '{name}' in vhost '{vhost.name}'"
    if not 1 <= len(found) <= MAX_PARTITIONS:
        raise errors.precondition_failed(
            f"{where} cannot have {len(found)} partitions: the number must be from 1 to {MAX_PARTITIONS}"
        )
    if not name or name.startswith("amq."):
        raise errors.precondition_failed(f"{where} cannot be created: choose a name that does not begin with 'amq.'")
    seen: set[str] = set()
    for partition in found:
        if len(partition.stream.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES:
            raise errors.precondition_failed(
                f"a partition of {where} has a name of more than {MAX_NAME_BYTES} bytes: use shorter binding keys"
            )
        if any(character in partition.stream for character in "\r\n"):
            raise errors.precondition_failed(f"{where} cannot be created: names cannot have line breaks")
        if partition.stream in seen:
            raise errors.precondition_failed(
                f"{where} cannot have two partitions '{partition.stream}': use different binding keys"
            )
        seen.add(partition.stream)


def _check_type(vhost: Vhost, name: str, given: Field) -> None:
    if given != _STREAM:
        shown = f"'{text(given.value)}'" if given.kind == "S" else erlang_term(given)
        raise errors.precondition_failed(
            f"super stream '{name}' in vhost '{vhost.name}' cannot have partitions of the type {shown}: they are always"
            f" streams, so leave out {QUEUE_TYPE}"
        )


def _check_permissions(actions: Actions, name: str, streams: Sequence[str]) -> None:
    """Check everything first: a declaration of an existing object must not tell whether it exists."""
    check = actions.permissions.check
    check("configure", "exchange", name)
    check("read", "exchange", name)
    for stream in streams:
        check("configure", "queue", stream)
        check("write", "queue", stream)


def _check_absent(vhost: Vhost, name: str, found: Sequence[Partition]) -> None:
    existing = f"exchange '{name}'" if name in vhost.exchanges else ""
    for partition in found:
        if partition.stream in vhost.queues:
            existing = existing or f"queue '{partition.stream}'"
    if existing:
        raise errors.precondition_failed(
            f"super stream '{name}' cannot be created: {existing} exists in vhost '{vhost.name}';"
            " choose another name, or delete it"
        )


def _remove(vhost: Vhost, name: str, found: Sequence[Partition]) -> None:
    """Remove what a failed creation has declared; its definitions are not stored."""
    for partition in found:
        queue = vhost.queues.get(partition.stream)
        if queue is not None:
            vhost.remove_queue(queue)
    exchange = vhost.exchanges.get(name)
    if exchange is not None:
        vhost.remove_exchange(exchange)
