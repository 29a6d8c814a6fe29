"""Connecting to the broker of a URI: another one by TCP or TLS, or this one within the process."""

import asyncio
import logging
import random
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import final

from amqpbroker.broker.users.users import BROKER, User, Users
from amqpbroker.client.failure import LinkError
from amqpbroker.client.link import MAX_READ_BYTES, Link
from amqpbroker.client.login import Login, agreed, client_properties
from amqpbroker.client.tls import tls_context
from amqpbroker.client.uri import AmqpUri
from amqpbroker.shovel.uncancelled import to_the_end

log = logging.getLogger(__name__)

_EXTERNAL = "EXTERNAL"

#: Gives one end of a socket whose other end this broker serves, as a connection of that user.
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
        """A link to one of them, any; the others are tried if it cannot be had. Raises LinkError.

        name: of the connection, as the broker shows it.
        """
        # Only the text is kept: a raised error in a variable of the frame that raises it is a reference cycle, which
        # keeps all objects of the frame and its callers alive until the garbage collector runs.
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
            raise LinkError(f"the certificate will not do: {error.verify_message}") from None
        except OSError as error:
            raise LinkError(f"{error.strerror or error}".lower()) from None
        except ValueError as error:  # a host that can be none
            raise LinkError(str(error)) from None
        finally:
            if not done:
                link.abort()
        return link

    async def _connect(self, link: Link, uri: AmqpUri) -> None:
        """Raises LinkError, OSError."""
        loop = asyncio.get_running_loop()
        if uri.host is None:
            sock = await self._open_inside(self._user(uri))
            await to_the_end(loop.create_connection(lambda: link, sock=sock))
            return
        context = None if uri.tls is None else await asyncio.to_thread(tls_context, uri.tls)
        server_name = None if uri.tls is None else uri.tls.server_name or uri.host
        await loop.create_connection(lambda: link, uri.host, uri.port, ssl=context, server_hostname=server_name)

    def _user(self, uri: AmqpUri) -> User:
        """Who a connection within the process is; a password is looked at only if there is one. Raises LinkError."""
        if uri.user is None:
            return BROKER
        if not self._users.has(uri.user):
            raise LinkError(f"there is no user '{uri.user}'")
        if uri.password is not None and self._users.authenticate(uri.user, uri.password.encode()) is None:
            raise LinkError(f"this is not the password of user '{uri.user}'")
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
