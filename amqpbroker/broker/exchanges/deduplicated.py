"""An exchange that drops duplicates of the messages that are published to it."""

from collections.abc import Callable, Iterable
from typing import Final

from amqpbroker.broker.counters.totals import BrokerTotals
from amqpbroker.broker.deduplication.foreseen_ids import ForeseenIds
from amqpbroker.broker.deduplication.options import Deduplication
from amqpbroker.broker.deduplication.window import Window
from amqpbroker.broker.deferred_free import DeferredFree
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.exchange import DuplicateFilter, Exchange
from amqpbroker.clock import Clock
from amqpbroker.config.bounds import BOUNDS, Bounds
from amqpbroker.message.message import Message
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.store import Store

#: Name of the exchange type that drops duplicates, and otherwise is a fanout exchange.
TYPE_NAME: Final = "x-message-deduplication"

#: Publishes a message to destinations; False if one of them refuses it.
Publish = Callable[[Message, Iterable[Destination]], bool]


class MessageIdFilter(DuplicateFilter):
    """Remembers the ids of the messages that one exchange has accepted in a window."""

    def __init__(
        self,
        options: Deduplication,
        clock: Clock,
        store: Store,
        publish: Publish,
        totals: BrokerTotals,
        deferred_free: DeferredFree,
        bounds: Bounds = BOUNDS,
    ) -> None:
        """deferred_free: removes the ids of a deleted exchange."""
        self.window = Window(options, clock, store, bounds)
        self._store: Store = store
        self._publish: Publish = publish
        self._totals: BrokerTotals = totals
        self._deferred_free: DeferredFree = deferred_free

    def guard(
        self, exchange: Exchange, message: Message, destinations: tuple[Destination, ...], counted: bool = True
    ) -> tuple[Destination, ...]:
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

    def close(self) -> None:
        self.window.close(self._deferred_free)

    def discard(self) -> None:
        self.window.discard()

    def stored_count(self) -> int:
        return self.window.stored_count()

    def recover_ids(self, ids: list[MessageIdRecord]) -> list[MessageIdRecord]:
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
        self,
        duplicate_filter: MessageIdFilter,
        exchange: Exchange | None,
        key: bytes,
        destinations: tuple[Destination, ...],
    ) -> None:
        """exchange: counts the message as published to one destination; None for a message that is not counted."""
        super().__init__("")
        self._destinations: tuple[Destination, ...] = destinations
        self._duplicate_filter: MessageIdFilter = duplicate_filter
        self._exchange: Exchange | None = exchange
        self._key: bytes = key

    def publish(self, message: Message) -> bool:
        accepted = self._duplicate_filter.pass_once(self._key, message, self._destinations)
        if self._exchange is not None:
            self._exchange.correct_published(-1 if accepted is None else len(self._destinations) - 1)
        return accepted is not False

    def count_letter(self, message: Message) -> None:
        if not self.is_duplicate(message):
            for destination in self._destinations:
                destination.count_letter(message)

    def is_duplicate(self, message: Message) -> bool:
        return self._duplicate_filter.window.has(self._key)

    def will_drop(self, message: Message, ids: ForeseenIds) -> bool:
        return not ids.add(self._duplicate_filter.window, self._key)

    def ends(self) -> tuple[Destination, ...]:
        return self._destinations
