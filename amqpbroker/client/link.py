"""A connection to a broker over an asyncio transport: a `Client`, heartbeats, and an orderly close."""

import asyncio
from typing import cast, final

from amqpbroker.client.login import FRAME_MAX, PROTOCOL_HEADER, LinkError, Login
from amqpbroker.client.protocol import Client, Delivery, Receiver
from amqpbroker.wire.frames import HEARTBEAT_FRAME, OVERHEAD

#: A link with more unsent bytes than this is reported as full.
WRITE_HIGH_BYTES = 256 * 1024

#: Bytes that are read in one event loop iteration, some hundred small messages, so that others are served as well; and
#: the maximum for a larger frame.
READ_BYTES = 16 * 1024
MAX_READ_BYTES = FRAME_MAX + OVERHEAD

#: Time limit for the broker's answer to connection.close.
CLOSE_S = 2.0


class LinkReceiver(Receiver):
    """A receiver that is also notified of backpressure from the network."""

    def full(self, full: bool) -> None:
        """Handle backpressure: too much data waits to be sent, or no longer does."""

    def delivered(self, delivery: Delivery) -> None:
        pass

    def confirmed(self, tag: int, multiple: bool, taken: bool) -> None:
        pass

    def blocked(self, blocked: bool) -> None:
        pass


@final
class Link(asyncio.BufferedProtocol):
    """A connection. The frames of one event loop iteration are written together.

    buffer: the read buffer, of MAX_READ_BYTES; links of one event loop may share it. The link and its client refer to
    each other until the connection is lost or `abort` is called.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview) -> None:
        self.client = Client(self.write)
        self.receiver: LinkReceiver | None = None
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._buffer = buffer
        self._size = READ_BYTES
        self._out: list[bytes] = []
        self._closed: asyncio.Future[None] = loop.create_future()
        self._beat: asyncio.TimerHandle | None = None
        self._heard = self._wrote = True
        self._silent_beats = 0
        self._reading = True

    # --- calls from the event loop
    # --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_HIGH_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:
        self._size = min(max(self.client.missing, READ_BYTES), MAX_READ_BYTES)
        return self._buffer[: self._size]

    def buffer_updated(self, nbytes: int) -> None:
        self._heard = True
        if nbytes == self._size and self._transport is not None and self._reading:
            self._transport.pause_reading()  # the rest is read in the next iteration
            self._loop.call_soon(self._resume)
        self.client.feed(bytes(self._buffer[:nbytes]))
        if self.client.error is not None:
            self._end()

    def _resume(self) -> None:
        if self._transport is not None and self._reading and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        why = f"the connection was lost: {error}" if error else "the broker closed the socket without connection.close"
        self.client.lost(LinkError(why))
        self.receiver = None
        if self._beat is not None:
            self._beat.cancel()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.full(True)

    def resume_writing(self) -> None:
        if self.receiver is not None:
            self.receiver.full(False)

    # --- calls from the user of the link
    # --------------------------------------------------------------------------------

    async def open(self, login: Login, vhost: str) -> None:
        """Log in, and open the connection and channel 1. Raises LinkError."""
        client = self.client
        self.write(PROTOCOL_HEADER)
        self.write(login.start_ok(await client.wait("connection.start", 0)))
        tuned = login.tuned(await client.wait("connection.tune", 0))
        client.frame_max = tuned.frame_max
        self.write(tuned.frame())
        self.start_heartbeats(tuned.heartbeat)
        await client.call("connection.open", 0, virtual_host=vhost)
        await client.call("channel.open")

    def listen(self, receiver: LinkReceiver) -> None:
        """Notify the receiver from now on. Raises LinkError if the connection has ended."""
        if self.client.error is not None:
            raise self.client.error
        self.receiver = self.client.receiver = receiver

    def read(self, reading: bool) -> None:
        """Start or stop reading from the socket."""
        if self._transport is not None and reading is not self._reading:
            self._reading = reading
            if reading:
                self._resume()
            else:
                self._transport.pause_reading()

    def start_heartbeats(self, interval_s: int) -> None:
        """Send heartbeats, and end the connection when two of the broker's are missing. interval_s: 0 means off."""
        if interval_s and self._beat is None:
            self._beat = self._loop.call_later(interval_s / 2, self._on_beat, interval_s / 2)

    def _on_beat(self, every_s: float) -> None:
        self._silent_beats = 0 if self._heard or not self._reading else self._silent_beats + 1
        if self._silent_beats > 4:
            self.client.lost(LinkError("missed heartbeats"))
            self.abort()
            return
        if not self._wrote:
            self.write(HEARTBEAT_FRAME)
        self._heard = self._wrote = False
        self._beat = self._loop.call_later(every_s, self._on_beat, every_s)

    async def close(self) -> None:
        """Close in order, so that the broker handles everything written. If it does not answer, close after CLOSE_S."""
        if self._transport is None:
            return
        self.receiver = self.client.receiver = None
        self.read(True)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.client.call("connection.close", 0, reply_code=200, reply_text="Goodbye")
                self._end()
                await self._closed
        except (LinkError, TimeoutError):
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        self.client.lost(LinkError("the connection is aborted"))
        if self._transport is not None:
            self._transport.abort()

    # ----------------------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)
        self._wrote = True

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and out:
            self._transport.write(b"".join(out))

    def _end(self) -> None:
        """Close the transport once everything is written."""
        self._flush()
        if self._transport is not None:
            self._transport.close()
