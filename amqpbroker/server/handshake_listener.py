"""A listening socket whose connections begin with a PROXY header, a TLS handshake, or the one and then the other."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import final

from amqpbroker.clock import Clock
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.server.listeners import shown, start_listening
from amqpbroker.server.proxy_protocol import NothingSentError, read_header
from amqpbroker.wire.proxy_header import ProxyHeader, ProxyHeaderError

log = logging.getLogger(__name__)

#: How long accepting pauses where the system has nothing left to accept with.
_PAUSE_MS = 1000


@final
class HandshakeListener:
    """Accepts clients of a bound socket, so many at a time: each handshake takes some ten kB for an unknown client.

    context, timeout_ms: of TLS; None without it. make(): its protocol, which hears of it when the handshake is done.
    is_full(count): whether no further client may come, while `count` are shaking hands. make_proxied(header): the
    protocol of a client that a PROXY header names; None if clients send no such header.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        sock: socket.socket,
        context: ssl.SSLContext | None,
        timeout_ms: int,
        make: Callable[[], asyncio.BaseProtocol],
        is_full: Callable[[int], bool],
        bounds: Bounds = BOUNDS,
        make_proxied: Callable[[ProxyHeader], asyncio.BaseProtocol] | None = None,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._socket = sock
        self._context = context
        self._timeout_s = None if context is None else timeout_ms / 1000
        self._make = make
        self._make_proxied = make_proxied
        self._is_full = is_full
        self._most = bounds.handshakes
        self._at_once = bounds.accepts
        self._shaking: set[asyncio.Task[None]] = set()
        self._accepting = False
        self._closed = False

    def start(self, backlog: int) -> None:
        start_listening(self._socket, backlog)
        self._set_accepting(True)

    async def close(self) -> None:
        """Listen no more, and drop who has not finished shaking hands."""
        self._closed = True
        self._set_accepting(False)
        self._socket.close()
        shaking = list(self._shaking)
        for task in shaking:
            task.cancel()
        await asyncio.gather(*shaking, return_exceptions=True)

    def _set_accepting(self, accepting: bool) -> None:
        if accepting is self._accepting or (accepting and self._closed):
            return
        self._accepting = accepting
        if accepting:
            self._loop.add_reader(self._socket, self._accept)
        else:
            self._loop.remove_reader(self._socket)

    def _accept(self) -> None:
        for _ in range(self._at_once):
            if len(self._shaking) >= self._most:
                self._set_accepting(False)
                return
            try:
                client, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("cannot accept clients: %s", error.strerror)  # noqa: TRY400 - no bug, nothing to trace
                self._set_accepting(False)
                self._clock.after(_PAUSE_MS, lambda: self._set_accepting(True))
                return
            if self._is_full(len(self._shaking)):
                client.close()
                continue
            client.setblocking(False)
            task = self._loop.create_task(self._shake(client, shown(*address[:2])))
            self._shaking.add(task)
            task.add_done_callback(self._done)

    async def _shake(self, client: socket.socket, name: str) -> None:
        try:
            make = await self._named(client)
            await self._loop.connect_accepted_socket(
                make, client, ssl=self._context, ssl_handshake_timeout=self._timeout_s
            )
        except NothingSentError:
            log.debug("%s has sent no PROXY header, and nothing else", name)
        except ProxyHeaderError as error:
            log.warning("a client from %s is refused because of its PROXY header: %s", name, error)
        except OSError as error:
            reason = getattr(error, "reason", None)
            log.warning("TLS handshake with %s failed: %s", name, reason or error or type(error).__name__)
        except Exception:
            log.exception("internal error in the handshake with %s", name)

    async def _named(self, client: socket.socket) -> Callable[[], asyncio.BaseProtocol]:
        """Read the PROXY header, if clients send one; return a function that makes the client's protocol handler.

        Raises ProxyHeaderError, NothingSentError.
        """
        if self._make_proxied is None:
            return self._make
        try:
            header = await read_header(self._loop, client)
        except BaseException:
            client.close()
            raise
        return self._make if header is None else partial(self._make_proxied, header)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._shaking.discard(task)
        self._set_accepting(True)
