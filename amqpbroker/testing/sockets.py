"""Byte counts of a connection from the Linux kernel: bytes received, and bytes written by the peer."""

import socket
import struct
import sys
from types import TracebackType
from typing import Any, Final, Self

#: Linux constants: <linux/sock_diag.h>, <linux/inet_diag.h>, <linux/netlink.h>.
_SOCK_DIAG: Final = 4
_BY_FAMILY: Final = 20
_REQUEST: Final = 1
_WITH_TCP_INFO: Final = 2
_ANY: Final = 0xFFFFFFFF
_NETLINK_HEAD: Final = 16
_MESSAGE_BYTES: Final = 72
_WRITE_QUEUE_AT: Final = _NETLINK_HEAD + 60
_TCP_INFO_TYPE: Final = 2

#: Names that only some systems have, and whether this one has the structures of Linux.
_AF_NETLINK: Final[Any] = getattr(socket, "AF_NETLINK", None)
_TCP_INFO: Final[Any] = getattr(socket, "TCP_INFO", None)
_LINUX: Final[bool] = _AF_NETLINK is not None and _TCP_INFO is not None and sys.platform == "linux"

#: Offset in struct tcp_info of <linux/tcp.h>, whose first byte is tcpi_state.
_ACKED_AT: Final = 120
_RECEIVED_AT: Final = 128
_TCP_INFO_BYTES: Final = 136

#: The most unread bytes that are counted in a socket where the system has no call for their number.
_PEEKED_BYTES: Final = 256 * 1024

#: States of a socket (<net/tcp_states.h>) that has sent, or received, a FIN; a FIN counts as one byte.
_HAS_ENDED: Final = (4, 5, 9, 11)
_PEER_HAS_ENDED: Final = (7, 8, 9, 11)


class Peers:
    """Queries the kernel for the peer sockets of connections within this machine. Linux only."""

    def __init__(self) -> None:
        self._netlink: socket.socket | None = None

    def __enter__(self) -> Self:
        if _LINUX:
            try:
                self._netlink = socket.socket(_AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG)
                self._netlink.setblocking(False)
            except OSError:  # a sandbox
                self._netlink = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._netlink is not None:
            self._netlink.close()

    def written(self, sock: Any) -> int:
        """Return the number of bytes that the peer of a connection has handed to its kernel, 0 if unknown."""
        if self._netlink is None:
            return 0
        try:
            family, own, peer = _ends(sock)
            ends = struct.pack("!HH16s16s", peer[1], own[1], peer[0], own[0]) + struct.pack("=III", 0, _ANY, _ANY)
            request = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, _WITH_TCP_INFO, _ANY) + ends
            message = struct.pack("=IHHII", _NETLINK_HEAD + len(request), _BY_FAMILY, _REQUEST, 0, 0) + request
            # The kernel reads the length of the write queue before the number of acknowledged bytes. Bytes that are
            # acknowledged in between are in both, so the lower of two answers is right.
            return min(self._query(message), self._query(message))
        except (OSError, ValueError):
            return 0

    def _query(self, message: bytes) -> int:
        """Return the answer of the kernel. Raises OSError, ValueError."""
        assert self._netlink is not None
        self._netlink.send(message)
        return _written(self._netlink.recv(8192))


def _ends(sock: Any) -> tuple[int, tuple[bytes, int], tuple[bytes, int]]:
    """Return the family and both addresses of a socket. IPv4 clients may use an IPv6 socket. Raises OSError."""
    own, peer = sock.getsockname(), sock.getpeername()
    if not isinstance(own, tuple) or not isinstance(peer, tuple):
        raise OSError("a connection from within the process")
    hosts = [each[0].partition("%")[0].removeprefix("::ffff:") for each in (own, peer)]
    family = socket.AF_INET6 if ":" in hosts[0] else socket.AF_INET
    packed = [socket.inet_pton(family, host) for host in hosts]
    return family, (packed[0], own[1]), (packed[1], peer[1])


def _written(answer: bytes) -> int:
    """Return the bytes written, from the kernel's answer. Raises ValueError if the answer has no such socket."""
    if len(answer) < _NETLINK_HEAD + _MESSAGE_BYTES or answer[4:6] != struct.pack("=H", _BY_FAMILY):
        raise ValueError("no such socket")
    state = answer[_NETLINK_HEAD + 1]
    (unacked,) = struct.unpack_from("=I", answer, _WRITE_QUEUE_AT)
    at = _NETLINK_HEAD + _MESSAGE_BYTES
    while at + 4 <= len(answer):
        size, kind = struct.unpack_from("=HH", answer, at)
        if kind == _TCP_INFO_TYPE and size >= 4 + _TCP_INFO_BYTES:
            (acked,) = struct.unpack_from("=Q", answer, at + 4 + _ACKED_AT)
            return int(acked) + int(unacked) - 1 - (state in _HAS_ENDED)  # the first byte is that of the handshake
        at += max(4, size + 3 & ~3)
    raise ValueError("no numbers")


def received(sock: Any) -> int | None:
    """Return the number of bytes that a socket has received, read or not; None if the kernel does not tell."""
    if not _LINUX:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return None
    if len(info) < _TCP_INFO_BYTES:
        return None
    (size,) = struct.unpack_from("=Q", info, _RECEIVED_AT)
    return int(size) - (info[0] in _PEER_HAS_ENDED)


def unread(sock: Any) -> int:
    """Return the number of unread bytes in a socket, 0 if the system does not tell."""
    fcntl: Any
    termios: Any
    try:
        import fcntl
        import termios
    except ImportError:  # Windows
        return _peeked(sock)
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)
    except (OSError, ValueError):  # closed
        return 0


def _peeked(sock: Any) -> int:
    """Return the number of unread bytes in a socket that does not block, at most _PEEKED_BYTES."""
    try:
        with sock.dup() as same:
            return len(same.recv(_PEEKED_BYTES, socket.MSG_PEEK))
    except OSError:  # nothing to read, or closed
        return 0
