"""Counts deliveries on a channel with almost no CPU: the delivery tag of the newest one is their number.

The newest delivery is searched for from the end of the received data, so that nearly all bytes are not inspected.
"""

import socket

from amqpbroker.cli.perf.consumer import up_to
from amqpbroker.wire.frames import METHOD, frame
from amqpbroker.wire.methods import METHODS, encode
from tests.load.client import LoadClient

BUFFER_BYTES = 1 << 20

_DELIVER = next(code for code, method in METHODS.items() if method.name == "basic.deliver").to_bytes(4, "big")
#: Consumer tags are as long as those of RabbitMQ, and begin with text that no random body contains.
_TAG_BYTES = 31
_TAG_START = "amq.ctag-bench-"
_NEEDLE = _DELIVER + bytes((_TAG_BYTES,)) + _TAG_START.encode()
_DELIVERY_TAG_AT = len(_DELIVER) + 1 + _TAG_BYTES
#: Number of inspected bytes of a delivery.
REACH = _DELIVERY_TAG_AT + 8


def consumer_tag(number: int) -> str:
    return _TAG_START + str(number).zfill(_TAG_BYTES - len(_TAG_START))


def newest(data: bytes | bytearray, end: int) -> int:
    """Return the delivery tag of the newest delivery in the first `end` bytes, 0 if there is none."""
    at = data.rfind(_NEEDLE, 0, max(0, end - REACH + len(_NEEDLE)))
    return int.from_bytes(data[at + _DELIVERY_TAG_AT : at + REACH], "big") if at >= 0 else 0


class Deliveries:
    """The received data of a client whose consumers, with tags of `consumer_tag`, are on its only channel."""

    def __init__(self, client: LoadClient) -> None:
        self._socket: socket.socket = client.socket
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        #: Bytes at the beginning that were inspected already, but may have a part of a delivery.
        self._kept = 0
        self.count = 0
        early = client.take_unread()
        self._buffer[: len(early)] = early
        self._count(len(early))

    def receive(self) -> int:
        """Receive once and count; return the number of bytes, 0 if the broker has closed the connection."""
        kept = self._kept
        received = self._socket.recv_into(self._view[kept:] if kept else self._buffer)
        if received:
            self._count(kept + received)
        return received

    def _count(self, end: int) -> None:
        buffer = self._buffer
        self.count = newest(buffer, end) or self.count
        self._kept = keep = min(end, REACH - 1)
        buffer[:keep] = buffer[end - keep : end]


def acknowledge(tag: int) -> bytes:
    """Return the frame that acknowledges everything up to the tag."""
    return up_to(tag)


def reject(tag: int) -> bytes:
    """Return the frame that rejects everything up to the tag."""
    return _nack(tag, requeue=False)


def requeue(tag: int) -> bytes:
    """Return the frame that requeues everything up to the tag."""
    return _nack(tag, requeue=True)


def _nack(tag: int, requeue: bool) -> bytes:
    return frame(METHOD, 1, encode("basic.nack", delivery_tag=tag, multiple=True, requeue=requeue))
