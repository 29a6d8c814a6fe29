"""The destinations of a message that is counted as a member of a batch."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from amqpbroker.broker.exchanges.destination import Destination

if TYPE_CHECKING:
    from amqpbroker.broker.deduplication.foreseen_ids import ForeseenIds
    from amqpbroker.broker.exchanges.exchange import Exchange
    from amqpbroker.message.message import Message

#: Publishes a message to destinations, and counts it; False if one of them refuses it.
PublishCounted = Callable[["Message", tuple[Destination, ...]], bool]


class TrackedDestination(Destination):
    """All destinations of one message, which is counted when it is published to them."""

    def __init__(self, exchange: "Exchange", destinations: tuple[Destination, ...], publish: PublishCounted) -> None:
        """exchange: counts the message as published to one destination."""
        super().__init__("")
        self.instant = all(destination.instant for destination in destinations)
        self._destinations: tuple[Destination, ...] = destinations
        self._exchange: Exchange = exchange
        self._publish = publish

    def publish(self, message: "Message") -> bool:
        self._exchange.correct_published(len(self._destinations) - 1)
        return self._publish(message, tuple([each for each in self._destinations if not each.closed]))

    def ends(self) -> tuple[Destination, ...]:
        return tuple([end for each in self._destinations for end in each.ends()])

    def will_drop(self, message: "Message", ids: "ForeseenIds") -> bool:
        # An exchange that passes on each message once is the only destination. Queues are asked themselves.
        only = self._destinations[0]
        return only.ends() != (only,) and only.will_drop(message, ids)

    def is_duplicate(self, message: "Message") -> bool:
        return all(each.is_duplicate(message) for each in self._destinations)
