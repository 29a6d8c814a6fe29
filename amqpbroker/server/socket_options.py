"""Socket options of client connections."""

import contextlib
import importlib
import socket
import struct
import sys
from typing import Any, Protocol

from amqpbroker.broker.users.users import is_loopback

#: The plainest control of congestion, which every Linux has and lets everybody choose.
_PLAIN = b"reno"

#: Values of SO_LINGER with which a closed socket sends RST, or FIN after all other data.
_RESET = struct.pack("ii", 1, 0)
_FINISH = struct.pack("ii", 0, 0)


class Settable(Protocol):
    """A socket, or what a loop shows of one."""

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...
    def fileno(self) -> int: ...


def set_options(sock: Settable, host: str) -> None:
    """Small frames go at once, and a peer that is gone is found. host: the peer's address.

    To a peer on this machine nothing is paced either: where BBR controls congestion, a write of some hundred KiB takes
    several timers, though loopback has no queue that should be spared (docs/decisions/0020-loopback.md).
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_CONGESTION") and is_loopback(host):
        with contextlib.suppress(OSError):  # a Linux that does not let it be chosen
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, _PLAIN)


def reset_when_closed(sock: Settable) -> None:
    """Reset the connection when the socket is closed, so that the kernel discards bytes that the peer has not read."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def finish_when_closed(sock: Settable | None) -> None:
    """Undo `reset_when_closed`: the kernel sends all bytes, and then FIN. sock: None for a peer within this process."""
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FINISH)


def unsent_bytes(sock: Settable | None) -> int | None:
    """Return the number of bytes in the kernel that the peer has not acknowledged; None if this system does not say."""
    if sock is not None and sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has neither module
            fcntl: Any = importlib.import_module("fcntl")
            termios: Any = importlib.import_module("termios")
            return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return None
