"""The seam for how an exchange finds the targets of a routing key, if nothing but the key decides."""

from abc import ABCMeta, abstractmethod
from typing import TYPE_CHECKING

from amqpbroker.broker.exchanges.destination import Destination

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Target


class KeyIndex(metaclass=ABCMeta):
    """Targets of an exchange by routing key. It is asked for every message whose route no channel remembers.

    exchanges: number of bindings that lead to exchanges, not to queues.
    """

    def __init__(self) -> None:
        self.exchanges: int = 0

    def count(self, target: "Target", bindings: int) -> None:
        """Count bindings that come or go."""
        if not isinstance(target, Destination):
            self.exchanges += bindings

    @abstractmethod
    def find(self, key: bytes) -> "tuple[Target, ...]":
        """Return the targets, each once, in the order in which they were reached."""
