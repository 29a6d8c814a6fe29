"""The session seam: what the broker may ask of a connection."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from amqpbroker.errors import AmqpError

if TYPE_CHECKING:
    from amqpbroker.broker.users import User
    from amqpbroker.broker.vhost import Vhost


class Session(ABC):
    """One client connection as the domain sees it: an owner of exclusive queues, and something to close.

    user, vhost: who opened it and where, once it is open.
    """

    user: "User"
    vhost: "Vhost"

    @abstractmethod
    def synced(self) -> None:
        """The store has come further; called once for each time the session was put into `Broker.awaiting_sync`."""

    @abstractmethod
    def alarms_changed(self) -> None:
        """An alarm went on or off: see `Broker.alarms`."""

    @abstractmethod
    def force_close(self, error: AmqpError) -> None:
        """Close from the broker's side, with connection.close."""
