"""uvicorn's HTTP connection, for peers of whom nothing is known yet: so many at a time, and not for ever."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any, final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from amqpbroker.server.answers import Answers
from amqpbroker.server.resting import Resting
from amqpbroker.server.socket_options import reset_when_closed

#: How long a request's head may take to come.
REQUEST_S = 10.0

#: Time limit for reading and discarding the rest of a body whose request is already answered.
REST_S = 60.0

#: The most bytes of an answer in one write.
PIECE_BYTES = 64 * 1024

#: The most bytes in one read. A connection may hold so many bytes that are not processed yet.
READ_BYTES = 16 * 1024

#: Headers that a request cannot have together (RFC 9112, section 6.3).
_LENGTHS = {b"content-length", b"transfer-encoding"}

_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Parser(h11.Connection):
    """h11's parser, with errors that are freed by reference counting. h11 raises an error from a method of the error
    itself, so the error would refer to itself through its traceback, and to the connection through the frames.

    A request with two lengths is an error, as in RabbitMQ: a proxy may take the other one for the end of its body.
    """

    def next_event(self) -> Any:
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            raise error.with_traceback(None)  # noqa: B904 - the same error
        if isinstance(event, h11.Request) and _LENGTHS.issubset([name for name, _ in event.headers]):
            raise h11.RemoteProtocolError("a request has both Content-Length and Transfer-Encoding")
        return event


class HttpProtocol(H11Protocol):
    """Drops a client above the connection limit, without a complete request in time, or with an unread answer.

    most: the most connections of the listener at a time. resting: those of them that wait for a request, so that they
    give way to new clients.
    """

    def __init__(self, answers: Answers, most: int, resting: Resting, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = Parser(h11.SERVER)
        self._answers = answers
        self._most = most
        self._resting = resting
        self._left = 0
        self._expects = False
        self._deadline: asyncio.TimerHandle | None = None
        self._awaited: object = None
        self._app = self.app
        self.app = self._answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._most and not self._resting.free(self.loop.time()):
            self._answers.hurry()
            transport.abort()
        else:
            # Make the transport report any unread byte. With high=0 a TLS transport would always report some.
            transport.set_write_buffer_limits(high=1, low=0)
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._set_deadline(None)
        self._unset_keepalive_if_required()  # the timer would keep the connection in memory until it fires
        self._answers.go_on(self)
        self._resting.work(self)
        super().connection_lost(exc)
        self.app = self._app  # the previous value refers to the connection itself

    # --- reading ----------------------------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """Refuse invalid HTTP with a 400, or close the connection if an answer has already begun."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        elif self.conn.our_state is h11.SEND_BODY:
            self.transport.abort()
        else:
            self.transport.close()
        if self.cycle is not None:
            # A request in progress gets no more of its body, and its answer is not read.
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore the request to upgrade, and serve HTTP/1.1."""

    def on_response_complete(self) -> None:
        self.cycle.body = bytearray()
        super().on_response_complete()
        if self._drains:
            self._set_deadline(REST_S)
        self._note_rest()

    @property
    def _drains(self) -> bool:
        """Return whether the request is answered but its body is still being received."""
        return self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE

    def _watch(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self._set_deadline(REQUEST_S)
        else:
            self._set_deadline(REST_S if self._drains else None)
        self._note_rest()

    def _note_rest(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE or self._drains:
            self._resting.rest(self, self.loop.time())
        else:
            self._resting.work(self)

    def close_idle(self) -> None:
        self.connections.discard(self)
        self.transport.abort()

    def _set_deadline(self, seconds: float | None) -> None:
        if seconds is self._awaited:
            return
        self._awaited = seconds
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self._time_out)

    def _time_out(self) -> None:
        self._deadline = None
        self.transport.close()

    # --- writing ----------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._answers.stall(self)

    def resume_writing(self) -> None:
        self._answers.go_on(self)
        super().resume_writing()

    @property
    def waiting_bytes(self) -> int:
        return self._left + self.transport.get_write_buffer_size()

    def drop(self) -> None:
        reset_when_closed(self.transport.get_extra_info("socket"))
        self.transport.abort()

    async def _answer(self, scope: Any, receive: _Receive, send: _Send) -> None:
        self._expects = self.conn.they_are_waiting_for_100_continue
        try:
            await self._answers.begin()
            try:
                if self.transport.is_closing():
                    self.cycle.disconnected = True
                else:
                    await self._app(scope, receive, partial(self._send, receive, send))
            finally:
                self._left = 0
                self._answers.end()
        except asyncio.CancelledError:
            # The broker is stopping, and its grace period is over.
            self.transport.abort()
            self.cycle.disconnected = True

    async def _send(self, receive: _Receive, send: _Send, message: MutableMapping[str, Any]) -> None:
        if self.transport.is_closing():
            # uvloop raises an error for a write, and uvicorn knows of the end one event loop iteration later.
            self.cycle.disconnected = True
        if message["type"] == "http.response.start":
            self._left = _announced(message.get("headers", ()))
            await send(message)
            return
        body = message.get("body", b"")
        # An answer in parts has no length; its part is in memory until it is written.
        self._left = max(self._left, len(body))
        if len(body) > PIECE_BYTES:
            # TLS hides an unread piece from the write buffer; only the piece after it is visible there.
            for start in range(0, len(body), PIECE_BYTES):
                piece = body[start : start + PIECE_BYTES]
                self._left -= len(piece)  # the write buffer has it from now on
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            message = {**message, "body": b""}
        else:
            self._left -= len(body)
        if not message.get("more_body", False) and self._closes_too_soon():
            await send({**message, "more_body": True})
            await self._read_rest(receive)
            message = {**message, "body": b""}
        await send(message)

    def _closes_too_soon(self) -> bool:
        """Return whether the answer closes the connection before the whole request is read.

        The client would lose the answer.
        """
        if self.conn.their_state is not h11.SEND_BODY or self._expects:
            return False
        closes = any(name == b"connection" and b"close" in value.lower() for name, value in self.headers)
        return closes or self.scope["http_version"] == "1.0"

    async def _read_rest(self, receive: _Receive) -> None:
        self._resting.rest(self, self.loop.time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REST_S):
                while (await receive()).get("more_body", False):
                    pass


def _announced(headers: Any) -> int:
    """Return the content-length, 0 if there is none."""
    for name, value in headers:
        if name == b"content-length":
            return int(value)
    return 0


@final
class HttpSocket(asyncio.BufferedProtocol):
    """Reads a socket in small pieces, since uvicorn keeps all bytes that it is given until it can process them.

    buffer: the read buffer; all connections of a loop may share it, since the bytes are copied at once.
    """

    def __init__(self, buffer: memoryview, protocol: HttpProtocol) -> None:
        self._buffer = buffer
        self._protocol = protocol
        self._peer: tuple[str, int] | None = None

    def come_from(self, host: str, port: int) -> None:
        """Set the address of a client whose connection another broker passes on."""
        self._peer = host, port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._protocol.connection_made(transport)  # type: ignore[arg-type]
        if self._peer is not None:
            self._protocol.client = self._peer

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._protocol.data_received(bytes(self._buffer[:nbytes]))

    def eof_received(self) -> None:
        self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()
