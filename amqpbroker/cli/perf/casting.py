"""The roles of a plan, each with its connection and its channels."""

import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from amqpbroker.cli.perf.client import Access, Client
from amqpbroker.cli.perf.consumer import Consumer
from amqpbroker.cli.perf.encoded import CHUNK_BYTES, EncodedPublishes
from amqpbroker.cli.perf.failure import PerfError
from amqpbroker.cli.perf.kind import Kind
from amqpbroker.cli.perf.link import Link
from amqpbroker.cli.perf.plan import Consuming, Publishing
from amqpbroker.cli.perf.pool import Pool, pool_size
from amqpbroker.cli.perf.publisher import Publisher
from amqpbroker.cli.perf.role import Role
from amqpbroker.cli.perf.template import Template
from amqpbroker.cli.perf.templates import Templates
from amqpbroker.wire import frames, methods

Thing = TypeVar("Thing")

#: What the operating system may hold of all publishers together, and of one. It counts as published, unread as it is.
SENDING_BYTES = 1 << 22
MOST_SENDING_BYTES = 1 << 20
LEAST_SENDING_BYTES = 1 << 15
#: What a channel sends in one write: the channels of a connection share CHUNK_BYTES, and those of all this.
CHUNKS_BYTES = 1 << 24
LEAST_CHUNK_BYTES = 1 << 14


def cast(access: Access, work: Publishing | Consuming, number: int) -> Role:
    """The publisher or consumer of this number, connected and set up. Raises PerfError."""
    if isinstance(work, Publishing):
        client = Client(access, f"perf publisher {number}")
        share_bytes = SENDING_BYTES // work.producers
        sending_bytes = min(max(share_bytes, LEAST_SENDING_BYTES), MOST_SENDING_BYTES)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sending_bytes)
    else:
        client = Client(access, f"perf consumer {number}")
    channels = range(1, work.channels + 1)
    if client.channel_max < work.channels:
        client.close()
        raise PerfError(f"the broker allows {client.channel_max} channels in a connection; ask for no more of them")
    for channel in channels:
        _open(client, work, channel)
    if isinstance(work, Consuming):
        queues = [_mine(work.queues, work, channel, number) for channel in channels]
        if work.declaration is not None:
            for queue in queues:
                work.declaration.declare(client, queue)
        for channel, queue in zip(channels, queues, strict=True):
            _consume(client, work, channel, queue)
        return Consumer(Link(client), work, queues)
    stamped = any(kind.mark for kind in work.kinds)
    return Publisher(Link(client), work, [_templates(client, work, channel, number) for channel in channels], stamped)


def _mine(what: Sequence[Thing], work: Publishing | Consuming, channel: int, number: int) -> Thing:
    """All channels that do such work take what there is by turns."""
    return what[(number * work.channels + channel - 1) % len(what)]


def _open(client: Client, work: Publishing | Consuming, channel: int) -> None:
    client.open_channel(channel)
    if isinstance(work, Publishing):
        if work.window is not None:
            client.call("confirm.select", channel)
    elif work.prefetch:
        client.call("basic.qos", channel, prefetch_count=work.prefetch)


def _consume(client: Client, work: Consuming, channel: int, queue: str) -> None:
    arguments: dict[str, Any] = {
        "queue": queue,
        "consumer_tag": "perf",
        "no_ack": work.auto_ack,
        "arguments": work.arguments,
    }
    if work.channels == 1:
        client.call("basic.consume", **arguments)
    else:  # who waited for the answer would pass over what the channels before get already
        client.send(frames.frame(frames.METHOD, channel, methods.encode("basic.consume", nowait=True, **arguments)))


def _templates(client: Client, work: Publishing, channel: int, number: int) -> Templates:
    kind = _mine(work.kinds, work, channel, number)
    share_bytes = min(CHUNK_BYTES, CHUNKS_BYTES // work.producers) // work.channels
    chunk_bytes = max(share_bytes, LEAST_CHUNK_BYTES)
    kinds = [replace(kind, size=int(step.value)) for step in work.sizes] or [kind]
    pools = work.producers * work.channels * len(kinds)
    first = (number * work.channels + channel - 1) * len(kinds)

    def encoded(kind: Kind, pool: int) -> EncodedPublishes:
        if kind.variety is None:
            return Template(kind, client.frame_max, chunk_bytes, channel)
        return Pool(kind, kind.variety, pool_size(kind, pools), client.frame_max, chunk_bytes, channel, pool)

    return Templates([encoded(kind, pool) for pool, kind in enumerate(kinds, first)], work.sizes)
