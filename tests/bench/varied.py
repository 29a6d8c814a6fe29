"""A publisher of different messages: keys, properties, sizes and channels vary as configured.

As in clients.py, all frames are encoded beforehand. Parts that never repeat contain a mark, which is replaced by the
number of the chunk when the chunk is sent.
"""

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amqpbroker.wire.frames import METHOD, OVERHEAD, content, frame
from amqpbroker.wire.methods import shortstr
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, Table, longstr
from tests.bench import topology
from tests.bench.clients import COUNT, END, FIRST_NS, READY, Cells
from tests.load.client import LoadClient

CHUNK_MESSAGES = 500
#: Number of messages that a publisher may be ahead of its consumer: about as many as the broker delivers at a time.
AHEAD = 4_000
LOOK_EVERY_S = 0.0005

#: Placeholder of the chunk's number in parts that never repeat.
MARK = "~~~~~~"
MOST_CHUNKS = 999_999
#: Placeholder of a number in the template of the properties.
NUMBER = "##########"


@dataclass(frozen=True)
class Varied:
    """Messages in rotation.

    key: routing key, with `{}` for a number with a fixed number of digits. keys: number of different keys in rotation.
    fresh_keys: percentage of messages with another key, which never repeats, or repeats after `pool` others.
    properties: number of different properties in rotation, 0 for none. fresh_properties: percentage of messages whose
    properties never repeat. further: percentage of messages that also have the properties and headers of `FURTHER` with
    the name `further_name`. size: average bytes of a body; spread: difference of largest and smallest. channels: number
    of channels in rotation. by_frame: channels alternate by frames, not by whole messages.
    """

    exchange: str = ""
    key: str = "{}"
    digits: int = 10
    keys: int = 1
    fresh_keys: int = 0
    pool: int = 0
    properties: int = 0
    fresh_properties: int = 0
    further: int = 0
    further_name: str = ""
    size: int = 100
    spread: int = 0
    channels: int = 1
    by_frame: bool = False

    @property
    def _fresh_in_chunk(self) -> int:
        return max(1, CHUNK_MESSAGES * self.fresh_keys // 100)

    @property
    def chunk_numbers(self) -> int:
        """Number of chunks after which their numbers begin again, at 1."""
        return self.pool // self._fresh_in_chunk if self.pool else MOST_CHUNKS

    def all_keys(self) -> list[str]:
        """Return all repeated keys."""
        keys = [self._key(i) for i in range(self.keys)]
        if self.pool and self.fresh_keys:
            fresh = range(self._fresh_in_chunk)
            keys += [self.key.format(f"{i:06}{j:04}") for i in range(1, 1 + self.chunk_numbers) for j in fresh]
        return keys

    def chunks(self) -> list[bytes]:
        """Return frames of `CHUNK_MESSAGES` messages each, with every variation at least once."""
        chunks = max(1, -(-max(self.keys, self.properties) // CHUNK_MESSAGES))
        return [b"".join(self._frames(i * CHUNK_MESSAGES)) for i in range(chunks)]

    def _frames(self, start: int) -> Iterator[bytes]:
        messages = [self._message(start + i, i) for i in range(CHUNK_MESSAGES)]
        if not self.by_frame:
            for message in messages:
                yield from message
            return
        for first in range(0, CHUNK_MESSAGES, self.channels):
            for part in zip(*messages[first : first + self.channels], strict=True):
                yield from part

    def _key(self, number: int) -> str:
        return self.key.format(f"{number:0{self.digits}}")

    def _message(self, index: int, place: int) -> list[bytes]:
        """Return the frames of the message with this number, at this place in its chunk."""
        if _is_among(place, self.fresh_keys):
            key = self.key.format(f"{MARK}{place * self.fresh_keys // 100:04}")
        else:
            key = self._key(index % self.keys)
        method = b"\0\x3c\0\x28\0\0" + shortstr(self.exchange) + shortstr(key) + b"\0"
        channel = 1 + place % self.channels
        size = self.size + self.spread * (place * 7 % CHUNK_MESSAGES) // (CHUNK_MESSAGES - 1) - self.spread // 2
        properties = b"\0\0"
        if self.properties:
            fresh = _is_among(place, self.fresh_properties)
            number = f"{MARK}{place:04}" if fresh else f"{index % self.properties:010}"
            made = _encoded(self.further_name if _is_among(place, self.further) else "")
            properties = made.replace(NUMBER.encode(), number.encode())
        both = content(channel, properties, b"x" * size, 0)
        header = len(properties) + 12 + OVERHEAD
        return [frame(METHOD, channel, method), both[:header], both[header:]]


def _is_among(place: int, percentage: int) -> bool:
    """Return whether a message is one of this percentage, which are spread evenly."""
    return place * percentage % 100 < percentage


#: Properties that the broker acts on, by name: properties, and headers. The further routing keys have no bindings.
FURTHER: dict[str, tuple[dict[str, Any], Table]] = {
    "": ({}, {}),
    "CC": ({}, {"CC": Field("A", [longstr("nowhere")])}),
    "BCC": ({}, {"BCC": Field("A", [longstr("nowhere")])}),
    "expiration with zeros": ({"expiration": b"0060000"}, {}),
    "user id of another": ({"user_id": b"somebody"}, {}),
}


@functools.cache
def _encoded(name: str) -> bytes:
    """Return content type, three headers, message id, timestamp and type, as applications send them, and `FURTHER`."""
    properties, headers = FURTHER[name]
    return encode_properties(
        {
            "content_type": b"application/json",
            "headers": {
                **headers,
                "tenant": longstr("tenant-17"),
                "attempt": Field("I", 1),
                "trace-id": longstr(f"0f6e1c5a-7d12-4c39-8f20-{NUMBER}"),
            },
            "message_id": f"5a0a6c2e-93b1-4d7e-b8c4-{NUMBER}".encode(),
            "timestamp": 1_700_000_000,
            "message_type": b"order.created",
            **properties,
        }
    )


def publish_varied(port: int, cells: Cells, what: Varied, taken: Cells | None = None, connections: int = 1) -> None:
    """Send a chunk at a time on each connection in rotation, at most `AHEAD` messages beyond those `taken`."""
    chunks = what.chunks()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(LoadClient(port)) for _ in range(connections)]
        for client in clients:
            for channel in range(2, what.channels + 1):
                client.call("channel.open", "channel.open-ok", channel)
            client.socket.settimeout(None)
        cells[FIRST_NS] = time.monotonic_ns()
        cells[READY] = 1
        number = sent = 0
        mark, numbers = MARK.encode(), what.chunk_numbers
        while not cells[END]:
            if taken is not None and sent > taken[COUNT] + AHEAD:
                time.sleep(LOOK_EVERY_S)
                continue
            chunk = chunks[number % len(chunks)].replace(mark, b"%06d" % (1 + number % numbers))
            clients[number % connections].send(chunk)
            number += 1
            sent += CHUNK_MESSAGES
            cells[COUNT] = sent


def bind(port: int, exchange: str, kind: str, queue: str, keys: list[str]) -> None:
    """Declare an exchange, which is deleted with its last binding, and bind the queue with each of the keys."""
    with LoadClient(port) as client:
        client.call("exchange.declare", "exchange.declare-ok", exchange=exchange, exchange_type=kind, auto_delete=True)
        topology.bind(client, exchange, ((queue, key, {}) for key in keys))
        client.close()


def lead_on(port: int, exchange: str, to: str) -> None:
    """Declare a topic exchange that routes each key to the exchange `to`. It is deleted with that one."""
    with LoadClient(port) as client:
        client.call(
            "exchange.declare", "exchange.declare-ok", exchange=exchange, exchange_type="topic", auto_delete=True
        )
        client.call("exchange.bind", "exchange.bind-ok", destination=to, source=exchange, routing_key="#")
        client.close()


def declare_with_alternate(port: int, exchange: str, to: str) -> None:
    """Declare a topic exchange without bindings, with `to` as its alternate exchange."""
    with LoadClient(port) as client:
        arguments = {"alternate-exchange": longstr(to)}
        client.call(
            "exchange.declare", "exchange.declare-ok", exchange=exchange, exchange_type="topic", arguments=arguments
        )
        client.close()
