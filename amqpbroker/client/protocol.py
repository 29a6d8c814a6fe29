"""The client side of AMQP 0-9-1: bytes in, bytes out, and answers as futures.

Messages are not decoded: the properties are the bytes sent by the broker, which keep the types of all values.
"""

import asyncio
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, final

from amqpbroker.client.login import FRAME_MAX, LinkError
from amqpbroker.wire import methods
from amqpbroker.wire.frames import BASIC_CLASS, HEADER, HEARTBEAT, METHOD, content, frame
from amqpbroker.wire.reader import FrameReader
from amqpbroker.wire.values import MalformedError

_DELIVER = 60 << 16 | 60
_ACK = 60 << 16 | 80

_ACK_FRAME = struct.Struct(">BHIHHQBB")


class ChannelClosedError(LinkError):
    """The broker closed a channel. code: AMQP's reply code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Delivery(NamedTuple):
    """A message delivered to a consumer.

    tag: of the delivery on its channel. properties: as in the content header after the body size.
    """

    tag: int
    exchange: bytes
    routing_key: bytes
    properties: bytes
    body: bytes


class Receiver(ABC):
    """Handles everything that the broker sends without being asked."""

    @abstractmethod
    def delivered(self, delivery: Delivery) -> None:
        """Handle a message to a consumer."""

    @abstractmethod
    def confirmed(self, tag: int, multiple: bool, taken: bool) -> None:
        """Handle basic.ack (taken) or basic.nack of published messages."""

    @abstractmethod
    def blocked(self, blocked: bool) -> None:
        """Handle connection.blocked and connection.unblocked."""

    @abstractmethod
    def failed(self, error: LinkError) -> None:
        """Handle the end of the connection, or of a channel without a pending call."""


@final
class Client:
    """The frames of one connection. A channel has one pending call at a time.

    write: sends bytes. receiver: until it is set, unsolicited frames are ignored, except for the end of the connection.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.receiver: Receiver | None = None
        self._lost: str | None = None
        self._write = write
        self._reader = FrameReader(FRAME_MAX)
        self._waiting: dict[int, tuple[str, asyncio.Future[dict[str, Any]]]] = {}
        self._deliveries: dict[int, _Content] = {}
        self._publish_head = (-1, b"", b"", b"")

    @property
    def frame_max(self) -> int:
        """Maximum size of a frame in either direction."""
        return self._reader.frame_max

    @frame_max.setter
    def frame_max(self, size: int) -> None:
        self._reader.frame_max = size

    @property
    def missing(self) -> int:
        """Number of bytes missing of the incomplete frame and the next frame head; 0 if there is none."""
        return self._reader.missing

    @property
    def error(self) -> LinkError | None:
        """Reason for the end of the connection.

        Each access returns a new error: a raised error refers to its stack frames, whose variables this client must not
        keep alive.
        """
        return None if self._lost is None else LinkError(self._lost)

    # --- output
    # ---------------------------------------------------------------------------------------------------------

    async def call(self, method: str, channel: int = 1, **arguments: Any) -> dict[str, Any]:
        """Send a method and return the arguments of its -ok. Raises LinkError, ChannelClosedError."""
        self.send(method, channel, **arguments)
        return await self.wait(f"{method}-ok", channel)

    async def wait(self, method: str, channel: int) -> dict[str, Any]:
        """Wait for the method and return its arguments. Raises LinkError, ChannelClosedError."""
        if self._lost is not None:
            raise LinkError(self._lost)
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[channel] = (method, future)
        try:
            return await future
        finally:
            self._waiting.pop(channel, None)
            del future  # the future holds the raised error, which refers to this frame

    def send(self, method: str, channel: int, **arguments: Any) -> None:
        self._write(frame(METHOD, channel, methods.encode(method, **arguments)))

    def publish(self, channel: int, exchange: bytes, routing_key: bytes, properties: bytes, body: bytes) -> None:
        number, last_exchange, last_key, head = self._publish_head
        if (number, last_exchange, last_key) != (channel, exchange, routing_key):
            method = methods.encode("basic.publish", exchange=exchange, routing_key=routing_key)
            head = frame(METHOD, channel, method)
            self._publish_head = (channel, exchange, routing_key, head)
        self._write(head + content(channel, properties, body, self.frame_max))

    def ack(self, channel: int, tag: int, multiple: bool) -> None:
        self._write(_ACK_FRAME.pack(METHOD, channel, 13, 60, 80, tag, multiple, 0xCE))

    # --- input
    # ----------------------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Handle received bytes. If they are not AMQP, the connection ends."""
        if self._lost is not None:
            return
        self._reader.feed(data)
        try:
            for kind, channel, payload in self._reader.frames():
                self._frame(kind, channel, payload)
        except (MalformedError, struct.error, IndexError) as error:
            self.lost(LinkError(f"the server does not speak AMQP 0-9-1: {error}"))

    def _frame(self, kind: int, channel: int, payload: bytes) -> None:
        if kind == METHOD:
            ids = int.from_bytes(payload[:4], "big")
            if ids == _DELIVER:
                self._deliveries[channel] = _Content(payload)
            else:
                self._method(ids, channel, payload)
        elif kind != HEARTBEAT:
            coming = self._deliveries.get(channel)
            if coming is None:
                return  # of a method that was not requested
            delivery = coming.header(payload) if kind == HEADER else coming.more(payload)
            if delivery is not None:
                del self._deliveries[channel]
                if self.receiver is not None:
                    self.receiver.delivered(delivery)

    def _method(self, ids: int, channel: int, payload: bytes) -> None:
        method = methods.METHODS.get(ids)
        if method is None:
            raise MalformedError(f"a method {ids:#x}")
        arguments = methods.decode(method, payload, any_bytes=True)
        name = method.name
        awaited, future = self._waiting.get(channel, ("", None))
        if name == awaited and future is not None:
            if not future.done():
                future.set_result(arguments)
            return
        receiver = self.receiver
        match name:
            case "basic.ack" | "basic.nack":
                if receiver is not None:
                    receiver.confirmed(arguments["delivery_tag"], arguments["multiple"], ids == _ACK)
            case "connection.blocked" | "connection.unblocked":
                if receiver is not None:
                    receiver.blocked(name == "connection.blocked")
            case "basic.cancel":
                self._failed(LinkError("the broker cancelled the consumer, for example because its queue was deleted"))
            case "channel.flow":
                self.send("channel.flow-ok", channel, active=arguments["active"])
            case "channel.close":
                self.send("channel.close-ok", channel)
                error = ChannelClosedError(arguments["reply_code"], arguments["reply_text"])
                if future is None:
                    self._failed(error)
                elif not future.done():
                    future.set_exception(error)
            case "connection.close":
                self.send("connection.close-ok", 0)
                self.lost(LinkError(arguments["reply_text"]))

    def lost(self, error: LinkError) -> None:
        """Record that the connection is lost: nothing is read or written, and no callback is called any more."""
        if self._lost is None:
            self._lost = str(error)
            self._reader.take(self._reader.held)
            for _, future in self._waiting.values():
                if not future.done():
                    future.set_exception(LinkError(self._lost))
            self._failed(error)
            self.receiver = None
            self._write = _nowhere

    def _failed(self, error: LinkError) -> None:
        if self.receiver is not None:
            self.receiver.failed(error)


def _nowhere(data: bytes) -> None:
    """Discard bytes written after the end of the connection."""


@final
class _Content:
    """A message that arrives frame by frame."""

    def __init__(self, deliver: bytes) -> None:
        at = 5 + deliver[4]
        self._tag = int.from_bytes(deliver[at : at + 8], "big")
        start = at + 9
        stop = start + 1 + deliver[start]
        self._exchange = deliver[start + 1 : stop]
        self._routing_key = deliver[stop + 1 : stop + 1 + deliver[stop]]
        self._properties = b""
        self._parts: list[bytes] = []
        self._left = 0

    def header(self, payload: bytes) -> Delivery | None:
        """Handle the content header; return the message if it has no body."""
        if len(payload) < 14 or int.from_bytes(payload[:2], "big") != BASIC_CLASS:
            raise MalformedError("invalid content header")
        self._left = int.from_bytes(payload[4:12], "big")
        self._properties = payload[12:]
        return self._delivery(b"") if self._left == 0 else None

    def more(self, payload: bytes) -> Delivery | None:
        """Handle a body frame; return the message if it is complete."""
        self._left -= len(payload)
        if self._left < 0 or not self._properties:
            raise MalformedError("body longer than its content header announced")
        if not self._parts and self._left == 0:
            return self._delivery(payload)
        self._parts.append(payload)
        return self._delivery(b"".join(self._parts)) if self._left == 0 else None

    def _delivery(self, body: bytes) -> Delivery:
        return Delivery(self._tag, self._exchange, self._routing_key, self._properties, body)
