"""An exchange that drops duplicates of the messages that are published to it."""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from amqpbroker.broker.counters.totals import BrokerTotals
from amqpbroker.broker.deduplication.options import Deduplication
from amqpbroker.broker.deduplication.window import Window
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.clock import Clock
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.message import Message
from amqpbroker.store.store import Store
from amqpbroker.store.taken_id import TakenId

#: Name of the exchange type that drops duplicates, and otherwise is a fanout exchange.
TYPE_NAME: Final = "x-message-deduplication"

#: Publishes a message to destinations; False if one of them refuses it.
Publish = Callable[[Message, Iterable[Destination]], bool]


class Published(Protocol):
    """An exchange, as its `Passage` sees it."""

    def correct_published(self, destinations: int) -> None:
        """Add to the number of destinations of a message that was counted with another number."""


class Gate:
    """The ids of the messages that one exchange has accepted.

    id: of the exchange in the store, 0 if it is not durable. dropped: number of duplicates.
    """

    def __init__(
        self,
        options: Deduplication,
        clock: Clock,
        store: Store,
        publish: Publish,
        totals: BrokerTotals,
        most: int = BOUNDS.deduplication_ids,
    ) -> None:
        """most: see `Window`."""
        self.id: int = 0
        self.dropped: int = 0
        self.window = Window(options, clock, store, most)
        self._store: Store = store
        self._publish: Publish = publish
        self._totals: BrokerTotals = totals

    def guard(
        self, exchange: Published, message: Message, destinations: tuple[Destination, ...], counted: bool = True
    ) -> tuple[Destination, ...]:
        """Return the destination that publishes the message once to the given ones.

        If the message has no id, or nothing to go to, the given destinations are returned. counted: the caller counts
        one destination as published to.
        """
        key = self.window.key(message) if destinations else None
        return destinations if key is None else (Passage(self, exchange if counted else None, key, destinations),)

    def pass_once(self, key: bytes, message: Message, destinations: tuple[Destination, ...]) -> bool | None:
        """Publish a message to its destinations.

        Return None if it is a duplicate, which is dropped, and False if a destination refuses it.
        """
        if self.window.has(key):
            self.dropped += 1
            self._totals.count_deduplicated_by_exchange()
            return None
        store = self._store
        store.begin()
        try:
            accepted = self._publish(message, destinations)
            if accepted:
                self.window.remember(key, message, self.id, message.persistent)
        finally:
            store.end()
        return accepted

    def stored_count(self) -> int:
        return self.window.stored_count()

    def recover_ids(self, ids: list[TakenId]) -> list[TakenId]:
        """See `IdKeeper`."""
        return self.window.recover_ids(ids)


def reached(message: Message, destinations: tuple[Destination, ...]) -> tuple[Destination, ...]:
    """Return the destinations that a message is about to reach, for observers.

    A duplicate that its exchange drops reaches the nameless `Passage` only.
    """
    found: list[Destination] = []
    for each in destinations:
        found += (each,) if each.is_duplicate(message) else each.ends()
    return tuple(found)


class Passage(Destination):
    """The destinations of one message that its exchange passes on once."""

    def __init__(
        self, gate: Gate, exchange: Published | None, key: bytes, destinations: tuple[Destination, ...]
    ) -> None:
        """exchange: counts the message as published to one destination; None for a message that is not counted."""
        super().__init__("")
        self._destinations: tuple[Destination, ...] = destinations
        self._gate: Gate = gate
        self._exchange: Published | None = exchange
        self._key: bytes = key

    def publish(self, message: Message) -> bool:
        accepted = self._gate.pass_once(self._key, message, self._destinations)
        if self._exchange is not None:
            self._exchange.correct_published(-1 if accepted is None else len(self._destinations) - 1)
        return accepted is not False

    def is_duplicate(self, message: Message) -> bool:
        return self._gate.window.has(self._key)

    def ends(self) -> tuple[Destination, ...]:
        return self._destinations
