"""Connects to the broker of a URI: another one by TCP or TLS, or this one within the process."""

import asyncio
import logging
import random
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar, final

from amqpbroker.broker.users.users import BROKER, User, Users
from amqpbroker.client.link import MAX_READ_BYTES, Link
from amqpbroker.client.login import LinkError, Login, agreed, client_properties
from amqpbroker.client.tls import tls_context
from amqpbroker.client.uri import AmqpUri

log = logging.getLogger(__name__)

T = TypeVar("T")

_EXTERNAL = "EXTERNAL"

#: Returns one end of a socket whose other end this broker serves, as a connection of that user.
OpenInside = Callable[[User], Awaitable[socket.socket]]


@final
class Dialer:
    """Opens links that are logged in and have channel 1 open."""

    def __init__(self, users: Users, open_inside: OpenInside) -> None:
        self._users = users
        self._open_inside = open_inside
        #: Read buffer of all links; a link consumes its bytes at once.
        self._buffer = memoryview(bytearray(MAX_READ_BYTES))

    async def dial(self, uris: Sequence[AmqpUri], name: str) -> tuple[Link, AmqpUri]:
        """Connect to one of the URIs, which are tried in random order. Raises LinkError.

        name: name of the connection that the broker shows.
        """
        # Only the text is retained: a raised error in a variable of the frame that raises it is a reference cycle,
        # which keeps all objects of the frame and its callers alive until the garbage collector runs.
        reason = "there is no URI to connect to"
        for uri in random.sample(uris, len(uris)):
            try:
                return await self._dial(uri, name), uri
            except LinkError as failure:
                reason = f"{uri.shown}: {failure}"
                if len(uris) > 1:
                    log.warning("%s cannot connect to %s", name, reason)
        raise LinkError(reason)

    async def _dial(self, uri: AmqpUri, name: str) -> Link:
        link = Link(asyncio.get_running_loop(), self._buffer)
        done = False
        try:
            async with asyncio.timeout(uri.connection_timeout_ms / 1000):
                await self._connect(link, uri)
                await link.open(_login(uri, name), uri.vhost)
            done = True
        except TimeoutError:
            raise LinkError(f"no answer within {uri.connection_timeout_ms} ms") from None
        except ssl.SSLCertVerificationError as error:
            raise LinkError(f"the server's certificate is not valid: {error.verify_message}") from None
        except OSError as error:
            raise LinkError(f"{error.strerror or error}".lower()) from None
        except ValueError as error:  # the text cannot be a host name
            raise LinkError(str(error)) from None
        finally:
            if not done:
                link.abort()
        return link

    async def _connect(self, link: Link, uri: AmqpUri) -> None:
        """Connect a link. Raises LinkError, OSError."""
        loop = asyncio.get_running_loop()
        if uri.host is None:
            sock = await self._open_inside(self._user(uri))
            await to_the_end(loop.create_connection(lambda: link, sock=sock))
            return
        context = None if uri.tls is None else await asyncio.to_thread(tls_context, uri.tls)
        server_name = None if uri.tls is None else uri.tls.server_name or uri.host
        await loop.create_connection(lambda: link, uri.host, uri.port, ssl=context, server_hostname=server_name)

    def _user(self, uri: AmqpUri) -> User:
        """Return the user of a connection within the process, and check the password if there is one.

        Raises LinkError.
        """
        if uri.user is None:
            return BROKER
        if not self._users.has(uri.user):
            raise LinkError(f"there is no user '{uri.user}'")
        if uri.password is not None and self._users.authenticate(uri.user, uri.password.encode()) is None:
            raise LinkError(f"wrong password for user '{uri.user}'")
        return self._users.user(uri.user)


def _login(uri: AmqpUri, name: str) -> Login:
    # A connection within the process needs neither a password nor heartbeats: it ends when this broker does.
    mechanisms = (_EXTERNAL,) if uri.host is None else uri.mechanisms
    heartbeat = _no_heartbeat if uri.host is None else partial(agreed, uri.heartbeat_s)
    user, password = uri.user or "", uri.password or ""
    properties = client_properties("amqpbroker shovel", name)
    return Login(properties, mechanisms, user, password, heartbeat, frame_max=uri.frame_max)


def _no_heartbeat(suggested_s: int) -> int:
    return 0


async def to_the_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await the coroutine. A cancellation takes effect once the coroutine has ended.

    If the creation of a transport from a socket is cancelled, the event loop closes the socket without telling the
    protocol, and uvloop leaves the Python socket with a descriptor that may have been reused for another file.
    """
    task = asyncio.ensure_future(coroutine)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled and not task.cancelled() and task.exception() is None:
        raise asyncio.CancelledError
    try:
        return task.result()
    finally:
        del task  # the task refers to the raised error, which refers to this frame
