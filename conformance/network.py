"""Connections to a broker and the time of a run: sockets and the system clock, or a broker in the same process."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable


class Link(ABC):
    """The bytes of one connection, in both directions."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send raw bytes. Raises OSError if the broker has closed the connection."""

    @abstractmethod
    def receive(self, wait_s: float) -> bytes | None:
        """Return bytes that arrive within `wait_s`: b"" if the broker closed, None if nothing was received."""

    @abstractmethod
    def shut(self) -> None:
        """Tell the broker that nothing more will be sent."""

    @abstractmethod
    def close(self) -> None:
        """Close without notice. Can be called twice."""


class Network(ABC):
    """Connections to one broker, its HTTP API, and the clock for all waits."""

    @abstractmethod
    def connect(self, timeout_s: float) -> Link:
        """Return a new connection, on which nothing has been said. Raises OSError if no broker answers."""

    @abstractmethod
    def readable(self, links: Iterable[Link], wait_s: float) -> list[Link]:
        """Wait until a link has data; return all links that have, or none after `wait_s`."""

    @abstractmethod
    def now_s(self) -> float:
        """Return the time that durations are measured with."""

    @abstractmethod
    def wall_s(self) -> float:
        """Return the seconds since the Unix epoch."""

    @abstractmethod
    def sleep(self, seconds: float) -> None:
        """Wait for that time."""


class SocketLink(Link):
    """A TCP connection. An error of receiving counts as a close."""

    def __init__(self, address: tuple[str, int], timeout_s: float) -> None:
        self.socket = socket.create_connection(address, timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self, wait_s: float) -> bytes | None:
        readable, _, _ = select.select([self.socket], [], [], max(wait_s, 0))
        if not readable:
            return None
        try:
            return self.socket.recv(1 << 18)
        except OSError:
            return b""

    def shut(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.socket.close()


class Sockets(Network):
    """TCP connections to a broker that listens on `address`."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address

    def connect(self, timeout_s: float) -> Link:
        return SocketLink(self.address, timeout_s)

    def readable(self, links: Iterable[Link], wait_s: float) -> list[Link]:
        of_socket = {link.socket: link for link in links if isinstance(link, SocketLink)}
        readable, _, _ = select.select(list(of_socket), [], [], wait_s)
        return [of_socket[one] for one in readable]

    def now_s(self) -> float:
        return time.monotonic()

    def wall_s(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
