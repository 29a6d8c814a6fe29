"""Bytes that a client had sent at one time, and that the broker still has to handle."""

from typing import Any, Final

from amqpbroker.server.transport import ClientTransport
from amqpbroker.testing.sockets import Peers, received, unread

#: The most bytes that arrive after those that can be counted. TLS buffers up to two times 256 KiB (uvloop) between
#: socket and connection; the rest is a margin, and the part of a client's send buffer that is waited for on systems
#: that do not tell what it has.
_UNCOUNTED_BYTES: Final = 1024 * 1024

#: Number of consecutive checks without new bytes, or with the connection held, until the state counts as final.
_ENOUGH: Final = 3


class Sent:
    """Bytes that a client had sent at creation: in its own socket's buffer, in the broker's, or within the broker.

    Check `is_handled` once in each event loop iteration.
    """

    def __init__(self, client: ClientTransport, peers: Peers) -> None:
        self._client = client
        self._arrived = False
        self._bytes_read = client.bytes_read
        self._arrived_bytes = 0
        self._quiet = 0
        self._held = 0
        self._target = 0
        #: True if bytes may arrive that are neither in the target nor sent after the creation.
        self._is_uncounted = client.encrypted
        sock = client.socket
        if sock is not None:
            self._is_uncounted = self._is_uncounted or received(sock) is None
            self._target = max(peers.written(sock), self._read(sock) + unread(sock))

    @property
    def is_handled(self) -> bool:
        """Return whether the connection has all of the bytes and has handled all whole frames, or is closing."""
        client = self._client
        sock = client.socket
        if sock is None or client.closing:
            return True
        if not self._arrived:
            if self._read(sock) < self._target and not (received(sock) is None and not unread(sock)):
                return False
            self._arrived = True
            self._bytes_read = self._arrived_bytes = client.bytes_read
        more = client.bytes_read - self._arrived_bytes
        if not client.reading and not more:
            return False
        if not self._is_uncounted or more > _UNCOUNTED_BYTES:
            return True
        self._quiet = self._quiet + 1 if client.bytes_read == self._bytes_read and not client.paused else 0
        self._bytes_read = client.bytes_read
        return self._quiet >= _ENOUGH

    @property
    def is_held(self) -> bool:
        """Return whether the connection handles nothing until an alarm or a fault ends."""
        client = self._client
        self._held = 0 if client.reading or client.marked or client.unwritten else self._held + 1
        return self._held >= _ENOUGH

    @property
    def waits_for_reader(self) -> bool:
        """Return whether the connection handles nothing until its client reads the pending answers."""
        return not self._client.reading and bool(self._client.unwritten)

    @property
    def progress(self) -> tuple[int, int]:
        """Value that changes while bytes are handled."""
        return self._client.bytes_read, self._client.unwritten

    def __str__(self) -> str:
        client = self._client
        sock = client.socket
        left = 0 if sock is None else max(self._target - self._read(sock), 0)
        return f"{client.name}: {left:,} unhandled bytes"

    def _read(self, sock: Any) -> int:
        """Return the number of the client's bytes that were read from the socket."""
        came = received(sock)
        return self._client.bytes_read if came is None else came - unread(sock)
