"""Handover of a connection to the broker that leads its vhost, where the client's handshake is replayed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from amqpbroker.errors import AmqpError
from amqpbroker.wire.frames import METHOD, frame


@final
@dataclass(frozen=True, slots=True)
class Handover:
    """A connection whose vhost another broker leads.

    handshake: the client's bytes from the protocol header to connection.open. They have its password, so no repr and no
    log shows them. refuse: closes the connection with an error. serve: goes on here, because this broker has come to
    lead the vhost. Both are ignored if the connection has ended meanwhile.
    """

    vhost: str
    handshake: bytes = field(repr=False)
    refuse: Callable[[AmqpError], None] = field(repr=False)
    serve: Callable[[], None] = field(repr=False)


#: Called with the connection to hand over; returns at once.
OnElsewhere = Callable[[Handover], None]


@final
class Recording:
    """The handshake as the client sends it: the protocol header and three methods. Heartbeats are left out.

    Two of the methods fit into the frames that are allowed before tuning, and connection.open has no long arguments.
    """

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def add_header(self, header: bytes) -> None:
        self._parts.append(header)

    def add_method(self, payload: bytes) -> None:
        """Add a method frame of channel 0. payload: all of it."""
        self._parts.append(frame(METHOD, 0, payload))

    def complete(self) -> bytes:
        """End the recording, and return it."""
        data = b"".join(self._parts)
        self.discard()
        return data

    def discard(self) -> None:
        self._parts = []
