"""The two ends of a connection's socket."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amqpbroker.amqp.encryption import Encryption

if TYPE_CHECKING:
    from amqpbroker.broker.users.users import User


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is connected with what, and how. tls: what they agreed on, None for a connection in the clear.

    user: who it is, where that is known beforehand, for it is within this process.
    """

    host: str
    port: int
    local_host: str
    local_port: int
    tls: Encryption | None = None
    user: "User | None" = None

    @property
    def name(self) -> str:
        """As RabbitMQ names connections: `127.0.0.1:59058 -> 127.0.0.1:5672`."""
        return f"{self.host}:{self.port} -> {self.local_host}:{self.local_port}"
