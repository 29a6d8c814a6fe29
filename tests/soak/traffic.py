"""Bulk publishing and consuming for the phases of a soak."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import published
from tests.load.client import TIMEOUT_S, request
from tests.soak.client import DELIVER, Settled, SoakClient, delivery_tag
from tests.soak.soak import Mode

#: Number of publishes that are sent together.
CHUNK = 100
PUBLISHING = 9


def number(value: int) -> Field:
    return Field("I", value)


def letters_to(queue: str) -> Table:
    """Return the arguments of a queue whose dead letters go to another queue."""
    return {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr(queue)}


def alike(
    mode: Mode, queue: str, count: int, exchange: str = "", body: bytes = b"x" * 20, **properties: Any
) -> Iterator[bytes]:
    """Yield publishes that differ only in their delivery mode."""
    ready = [published(queue, body, exchange, delivery_mode=kind, **properties) for kind in mode.delivery_modes]
    return each(mode, count, lambda i, kind: ready[i % len(ready)])


def each(mode: Mode, count: int, make: Callable[[int, int], bytes]) -> Iterator[bytes]:
    """Yield publishes, made by `make(i, delivery_mode)`."""
    kinds = mode.delivery_modes
    for start in range(0, count, CHUNK):
        yield b"".join([make(i, kinds[i % len(kinds)]) for i in range(start, min(count, start + CHUNK))])


def publish(client: SoakClient, data: Iterable[bytes], count: int, refuses: bool = False) -> None:
    """Publish in confirm mode, on a separate channel, and wait until the broker has answered all `count`.

    Raises AssertionError if the broker refuses some although not `refuses`, or accepts all although `refuses`.
    """
    client.call("channel.open", "channel.open-ok", channel=PUBLISHING)
    client.call("confirm.select", "confirm.select-ok", channel=PUBLISHING)
    settled = Settled()
    client.pump((on_channel(lot, PUBLISHING) for lot in data), lambda: settled.tag == count, settled.on_method)
    assert bool(settled.refused) == refuses, f"{settled.refused} of {count} publishes were refused"
    client.call("channel.close", "channel.close-ok", channel=PUBLISHING, reply_code=200, class_id=0, method_id=0)


def on_channel(frames: bytes, channel: int) -> bytes:
    """Return the frames with another channel number."""
    out = bytearray(frames)
    at = 0
    while at < len(out):
        out[at + 1 : at + 3] = channel.to_bytes(2, "big")
        at += 8 + int.from_bytes(out[at + 3 : at + 7], "big")
    return bytes(out)


def consume(client: SoakClient, queue: str, count: int, no_ack: bool = True) -> None:
    """Consume `count` messages, acknowledging each unless `no_ack`."""
    client.seen.clear()

    def on_method(ids: int, payload: bytes) -> bytes:
        if ids != DELIVER or no_ack:
            return b""
        return request("basic.ack", delivery_tag=delivery_tag(payload))

    start = request("basic.consume", queue=queue, no_ack=no_ack, consumer_tag="taker")
    client.pump([start], lambda: client.seen["basic.deliver"] >= count, on_method)
    client.call("basic.cancel", "basic.cancel-ok", consumer_tag="taker")


def declare_exchange(client: SoakClient, name: str, kind: str, arguments: Table | None = None) -> None:
    client.call(
        "exchange.declare",
        "exchange.declare-ok",
        exchange=name,
        exchange_type=kind,
        durable=True,
        arguments=arguments or {},
    )


def bind(client: SoakClient, queue: str, exchange: str, routing_key: str = "") -> None:
    client.call("queue.bind", "queue.bind-ok", queue=queue, exchange=exchange, routing_key=routing_key)


def reopen(client: SoakClient) -> None:
    """Close and open channel 1, so that delivery tags begin at 1 again. Other methods may come before the answers."""
    client.seen["channel.open-ok"] = 0
    close = request("channel.close", reply_code=200, class_id=0, method_id=0)
    client.pump([close, request("channel.open")], lambda: client.seen["channel.open-ok"] == 1)


def delete(client: SoakClient, *queues: str) -> None:
    for queue in queues:
        client.call("queue.delete", "queue.delete-ok", queue=queue)


def consumer_tag(payload: bytes) -> str:
    """Return the consumer tag in the payload of basic.deliver."""
    return payload[5 : 5 + payload[4]].decode()


def push(client: SoakClient, requests: Iterable[bytes], is_done: Callable[[], bool]) -> Iterator[bytes]:
    """Send until `is_done`, though the broker may stop reading, and return the rest. Nothing is read meanwhile.

    Raises AssertionError if it takes too long.
    """
    until = time.monotonic() + TIMEOUT_S
    rest = iter(requests)
    waiting = b""
    client.socket.settimeout(0.2)
    try:
        while not is_done():
            assert time.monotonic() < until, "the broker stopped reading too early"
            with contextlib.suppress(TimeoutError):
                while waiting := waiting or next(rest, b""):
                    waiting = waiting[client.socket.send(waiting) :]
    finally:
        client.socket.settimeout(TIMEOUT_S)
    return itertools.chain([waiting], rest)
