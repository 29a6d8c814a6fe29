"""All bindings, regardless of the key, for fanout exchanges."""

from typing import TYPE_CHECKING

from amqpbroker.broker.exchanges.key_index import KeyIndex
from amqpbroker.broker.exchanges.targets import Targets

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Target


class FanoutIndex(KeyIndex):
    """Targets of all bindings."""

    def __init__(self) -> None:
        super().__init__()
        self._targets = Targets()

    def add(self, target: "Target") -> None:
        self._targets.add(target)
        self.count(target, 1)

    def remove(self, target: "Target") -> None:
        """Remove a target. Raises KeyError if it is not in the index."""
        self._targets.remove(target)
        self.count(target, -1)

    def clear(self) -> None:
        self._targets = Targets()
        self.exchanges = 0

    def find(self, key: bytes) -> "tuple[Target, ...]":
        return self._targets.all()
