"""The queues of a shovel, which are declared if they do not exist, or only checked."""

from collections.abc import Mapping
from typing import Any

from amqpbroker.broker.shovels.definition import Destination, Source
from amqpbroker.client.protocol import ChannelClosedError, Client
from amqpbroker.wire.values import Field, Table, longstr

#: Channels for operations that may fail.
_LOOKING, _DECLARING = 2, 3

_NOT_FOUND = 404


async def prepare_source(client: Client, source: Source) -> str:
    """Return the queue to consume from, "" for the one declared last on channel 1. Raises LinkError."""
    if source.queue is not None:
        await _prepare_queue(client, source.queue, source.predeclared, source.queue_arguments)
        return source.queue
    await client.call("queue.declare", exclusive=True)
    await client.call("queue.bind", exchange=source.exchange, routing_key=source.exchange_key)
    return ""


async def prepare_destination(client: Client, destination: Destination) -> None:
    """Declare or check the destination queue. Raises LinkError."""
    if destination.queue is not None:
        await _prepare_queue(client, destination.queue, destination.predeclared, destination.queue_arguments)


async def message_count(client: Client, queue: str) -> int:
    """Return the number of messages in a queue. Raises LinkError."""
    count: int = (await client.call("queue.declare", queue=queue, passive=True))["message_count"]
    return count


async def _prepare_queue(client: Client, queue: str, predeclared: bool, arguments: Mapping[str, Any]) -> None:
    await client.call("channel.open", _LOOKING)
    try:
        await client.call("queue.declare", _LOOKING, queue=queue, passive=True)
    except ChannelClosedError as error:
        if predeclared or error.code != _NOT_FOUND:
            raise
        await client.call("channel.open", _DECLARING)
        await client.call("queue.declare", _DECLARING, queue=queue, durable=True, arguments=table(arguments))
        await client.call("channel.close", _DECLARING, reply_code=200)
    else:
        await client.call("channel.close", _LOOKING, reply_code=200)


def table(arguments: Mapping[str, Any]) -> Table:
    """Convert decoded JSON to arguments (rabbit_misc:to_amqp_table/1)."""
    return {name: _field(value) for name, value in arguments.items()}


def _field(value: str | bool | int | float) -> Field:
    if isinstance(value, str):
        return longstr(value)
    if isinstance(value, bool):
        return Field("t", value)
    return Field("l", value) if isinstance(value, int) else Field("d", value)
