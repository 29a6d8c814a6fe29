"""Bindings by their whole key, for direct exchanges."""

from typing import TYPE_CHECKING

from amqpbroker.broker.exchanges.key_index import KeyIndex
from amqpbroker.broker.exchanges.targets import Targets

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Target


class DirectIndex(KeyIndex):
    """Targets by binding key."""

    def __init__(self) -> None:
        super().__init__()
        self._targets: dict[bytes, Targets] = {}

    def add(self, key: bytes, target: "Target") -> None:
        targets = self._targets.get(key)
        if targets is None:
            targets = self._targets[key] = Targets()
        targets.add(target)
        self.count(target, 1)

    def remove(self, key: bytes, target: "Target") -> None:
        """Remove a target of the key. Raises KeyError if it is not in the index."""
        targets = self._targets[key]
        targets.remove(target)
        self.count(target, -1)
        if not targets:
            del self._targets[key]

    def clear(self) -> None:
        self._targets.clear()
        self.exchanges = 0

    def find(self, key: bytes) -> "tuple[Target, ...]":
        targets = self._targets.get(key)
        return () if targets is None else targets.all()
