"""Listening sockets, and what to do when there cannot be one."""

import contextlib
import errno
import socket
from collections.abc import Iterable
from typing import Final

from amqpbroker.config import Listener

#: Lets a broker listen again at once after another one has ended. On Windows SO_REUSEADDR would let both listen at the
#: same time, and the other option prevents that.
_REUSE: Final[int] = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)


class ListenError(Exception):
    """A listener that cannot be; the text says why and what to do."""


def listen(listeners: Iterable[Listener], port_flag: str = "--port", host_flag: str = "--host") -> list[socket.socket]:
    """A bound socket for each address that the listeners' hosts have. Raises ListenError, and leaves none open then.

    port_flag, host_flag: what the error's text tells to choose another port or host with.
    """
    with contextlib.ExitStack() as opened:
        sockets = [
            opened.enter_context(sock) for listener in listeners for sock in _bind(listener, port_flag, host_flag)
        ]
        opened.pop_all()
        return sockets


def start_listening(sock: socket.socket, backlog: int) -> None:
    """Accept connections to a bound socket. Raises ListenError if another process listens there since it was bound."""
    try:
        sock.listen(backlog)
    except OSError as error:
        host, port = sock.getsockname()[:2]
        raise ListenError(_reason(Listener(host, port), error, "the setting of this listener")) from error


def shown(host: str, port: int) -> str:
    """`HOST:PORT`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind(listener: Listener, port_flag: str, host_flag: str) -> list[socket.socket]:
    try:
        found = socket.getaddrinfo(
            listener.host, listener.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(
            f"cannot listen on {listener.host}: no address is known for that host; name one of this machine's, such as"
            " 127.0.0.1, or 0.0.0.0 for all of them"
        ) from error
    bound: list[socket.socket] = []
    with contextlib.ExitStack() as opened:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = opened.enter_context(socket.socket(family, kind, protocol))
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, _REUSE, 1)
            if family == socket.AF_INET6:
                # `::` takes IPv4 too, as RabbitMQ's default listener does; a host with addresses of both kinds has a
                # socket for each.
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, listener.host != "::")
            try:
                sock.bind(address)
            except OSError as error:
                raise ListenError(_reason(listener, error, port_flag, host_flag)) from error
            bound.append(sock)
        opened.pop_all()
    return bound


def _reason(listener: Listener, error: OSError, port_flag: str, host_flag: str = "") -> str:
    where = f"cannot listen on {shown(listener.host, listener.port)}: "
    match error.errno:
        case errno.EADDRINUSE:
            return (
                where + f"the port is in use, perhaps by another broker; stop that or choose another with {port_flag}"
            )
        case errno.EACCES | errno.EPERM:
            return where + "not allowed; ports below 1024 need privileges, choose a higher one with " + port_flag
        case errno.EADDRNOTAVAIL:
            return (
                where + f"this machine has no such address; choose one with {host_flag}, such as 127.0.0.1 or 0.0.0.0"
            )
        case _:
            return where + (error.strerror or str(error))
