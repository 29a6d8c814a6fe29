"""Socket options of client connections."""

import contextlib
import socket
import struct
from typing import Protocol

from amqpbroker.broker.users.users import is_loopback

#: The plainest control of congestion, which every Linux has and lets everybody choose.
_PLAIN = b"reno"

#: Value of SO_LINGER with which a closed socket resets its peer.
_RESET = struct.pack("ii", 1, 0)


class Settable(Protocol):
    """A socket, or what a loop shows of one."""

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None: ...


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
