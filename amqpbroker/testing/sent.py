"""Bytes that a client had sent at one time, and that the broker has still to handle."""

from typing import Any, Final

from amqpbroker.server.transport import ClientTransport
from amqpbroker.testing.sockets import Peers, received, unread

#: What TLS holds between the socket and the connection at most, with room to spare (uvloop: two times 256 KiB).
_IN_TLS_BYTES: Final = 1024 * 1024

#: For so many checks in a row TLS has given nothing, or a connection has been held, before that counts as final.
_ENOUGH: Final = 3


class Sent:
    """What a client had sent when this was made: in its own socket's buffer, in the broker's, or within the broker.

    To be asked in one turn of the loop after another whether it `is_handled`.
    """

    def __init__(self, client: ClientTransport, peers: Peers) -> None:
        self._client = client
        self._arrived = False
        self._octets = client.octets
        self._arrived_octets = 0
        self._quiet = 0
        self._held = 0
        self._target = 0
        sock = client.socket
        if sock is not None:
            self._target = max(peers.written(sock), self._taken(sock) + unread(sock))

    @property
    def is_handled(self) -> bool:
        """The connection has all of it, and has handled what is whole; or it ends, and nothing is handled any more."""
        client = self._client
        sock = client.socket
        if sock is None or client.closing:
            return True
        if not self._arrived:
            if self._taken(sock) < self._target and not (received(sock) is None and not unread(sock)):
                return False
            self._arrived = True
            self._octets = self._arrived_octets = client.octets
        more = client.octets - self._arrived_octets
        if not client.reading and not more:
            return False
        if not client.encrypted or more > _IN_TLS_BYTES:
            return True
        self._quiet = self._quiet + 1 if client.octets == self._octets and not client.paused else 0
        self._octets = client.octets
        return self._quiet >= _ENOUGH

    @property
    def is_held(self) -> bool:
        """The connection handles nothing until something else happens: an alarm or a fault ends."""
        client = self._client
        self._held = 0 if client.reading or client.marked or client.unwritten else self._held + 1
        return self._held >= _ENOUGH

    @property
    def waits_for_reader(self) -> bool:
        """The connection handles nothing until its client reads the answers that are there for it."""
        return not self._client.reading and bool(self._client.unwritten)

    @property
    def progress(self) -> tuple[int, int]:
        """Changes while something of it is handled."""
        return self._client.octets, self._client.unwritten

    def __str__(self) -> str:
        client = self._client
        sock = client.socket
        left = 0 if sock is None else max(self._target - self._taken(sock), 0)
        return f"{client.name}: {left:,} bytes of what it had sent"

    def _taken(self, sock: Any) -> int:
        """How many octets of what the client sent have left the socket."""
        came = received(sock)
        return self._client.octets if came is None else came - unread(sock)
