"""The client of a connection: its identity, and the limits negotiated in the handshake."""

import itertools
from typing import TYPE_CHECKING, Final, final

from mypy_extensions import i64

from amqpbroker.amqp.peer import Peer
from amqpbroker.wire.values import Table, text

if TYPE_CHECKING:
    from amqpbroker.broker.storage import Storage
    from amqpbroker.broker.users.permissions import Permissions
    from amqpbroker.broker.users.users import User
    from amqpbroker.broker.vhost import Vhost
    from amqpbroker.config import Config

#: Bytes by which a payload may exceed the limit: some clients forget the 8 bytes around it (rabbit_reader.erl).
TOLERANCE: Final = 8

#: Connection numbers, which tell the log lines of one connection from those of another.
_numbers = itertools.count(1)


@final
class Client:
    """One client, as far as the handshake has identified it.

    number: of the connection. properties: client-properties. user, vhost, permissions: unset until the handshake has
    determined them. storage: of its vhost. payload_max: maximum size of a frame's payload in bytes. body_max: maximum
    size of a body in one frame; 0 before the limits are negotiated.
    """

    def __init__(self, peer: Peer, config: "Config", connected_at: int, storage: "Storage") -> None:
        """storage: until the vhost is known."""
        self.peer = peer
        self.number: int = next(_numbers)
        self.connected_at: int = connected_at
        self.properties: Table = {}
        self.capabilities: frozenset[str] = frozenset()
        self.mechanism: str = ""
        self.user: User
        self.vhost: Vhost
        self.permissions: Permissions
        self.storage: Storage = storage
        self.frame_max: int = config.frame_max
        self.channel_max: int = config.channel_max
        self.payload_max: i64 = config.initial_frame_max - 8 + TOLERANCE
        self.body_max: i64 = 0
        self._max_message_size: int = config.max_message_size

    @property
    def name(self) -> str:
        """Return the name of the connection, in RabbitMQ's format."""
        return self.peer.name

    @property
    def given_name(self) -> str | None:
        """Return the connection name that the client has set, if any."""
        name = self.properties.get("connection_name")
        return text(name.value) if name is not None and name.kind == "S" else None

    def introduced(self, properties: Table) -> None:
        """Store the client-properties of connection.start-ok."""
        self.properties = properties
        capabilities = properties.get("capabilities")
        if capabilities is not None and capabilities.kind == "F":
            self.capabilities = frozenset(
                name for name, field in capabilities.value.items() if field.kind == "t" and field.value
            )

    def knows(self, capability: str) -> bool:
        """Return whether the client announced the capability in its client-properties."""
        return capability in self.capabilities

    def chose(self, mechanism: str) -> None:
        """Store the authentication mechanism of connection.start-ok."""
        self.mechanism = mechanism

    def logged_in(self, user: "User") -> None:
        """Store the user found by the backend."""
        self.user = user

    def tuned(self, channel_max: int, frame_max: int) -> None:
        """Store the limits of connection.tune-ok. A `frame_max` of 0 means no limit."""
        self.channel_max = channel_max
        self.frame_max = frame_max
        self.payload_max = (frame_max or 1 << 31) - 8 + TOLERANCE
        self.body_max = min(int(self.payload_max), self._max_message_size)

    def requested(self, vhost: "Vhost") -> None:
        """Store the vhost of connection.open."""
        self.vhost = vhost
        self.storage = vhost.storage

    def permitted(self, permissions: "Permissions") -> None:
        """Store the user's permissions in the vhost."""
        self.permissions = permissions
