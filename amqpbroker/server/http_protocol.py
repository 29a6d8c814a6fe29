"""uvicorn's HTTP connection, for peers of whom nothing is known yet: so many at a time, and not for ever."""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: How many connections may be open at a time; further ones are dropped.
MAX_CONNECTIONS = 1000

#: How long a request's head may take to come.
REQUEST_S = 10.0


class Parser(h11.Connection):
    """h11's, whose errors are freed by their reference counts. h11 raises an error from a method of the error itself,
    so that it would refer to itself by its traceback, and to the connection by the frames in that."""

    def next_event(self) -> Any:
        try:
            return super().next_event()
        except h11.RemoteProtocolError as error:
            raise error.with_traceback(None)  # noqa: B904 - the same error


class HttpProtocol(H11Protocol):
    """Drops who is one too many, and who does not get to say what it wants."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = Parser(h11.SERVER)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._set_deadline(False)
        self._unset_keepalive_if_required()  # its timer would keep all of it until then
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._set_deadline(self.conn.their_state is h11.IDLE)

    def _set_deadline(self, waiting: bool) -> None:
        if waiting and self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_S, self._give_up)
        elif not waiting and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        self.transport.close()
