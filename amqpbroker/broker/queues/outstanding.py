"""Messages of a queue that are delivered and not settled."""

from collections.abc import Sequence

from mypy_extensions import i64

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry


class Outstanding:
    """Unacknowledged messages of one queue. Only this class counts them, in total and for each consumer.

    count, size: number of messages, and bytes of their bodies. returned: number of messages that were rejected or
    requeued so far.
    """

    def __init__(self, counts_holders: bool = False) -> None:
        """counts_holders: `holders` counts, as in quorum queues."""
        self.count: i64 = 0
        self.size: i64 = 0
        self.returned: int = 0
        self._counts_holders: bool = counts_holders
        self._got: int = 0
        self._former: list[Consumer] = []

    def add(self, entry: Entry, consumer: Consumer, now_ms: int) -> None:
        """Count a delivery to a consumer. now_ms: `Clock.turn_ms`."""
        entry.delivered_ms = now_ms
        self.count += 1
        self.size += entry.message.size
        consumer.unacked += 1

    def add_got(self, entry: Entry, now_ms: int) -> None:
        """Count a delivery by basic.get. now_ms: `Clock.turn_ms`."""
        entry.delivered_ms = now_ms
        self.count += 1
        self.size += entry.message.size
        self._got += 1

    def reserve(self, consumer: Consumer) -> None:
        """Count a message for a consumer that is about to get it; `unreserve` must precede the delivery."""
        consumer.unacked += 1

    def unreserve(self, consumer: Consumer, count: int) -> None:
        """Undo `reserve` for `count` messages."""
        consumer.unacked -= count

    def settle(self, entry: Entry) -> Consumer | None:
        """Subtract an acknowledged entry. Return the consumer that held it, None for basic.get."""
        self.count -= 1
        self.size -= entry.message.size
        consumer = entry.consumer
        if consumer is None:
            self._got -= 1
            return None
        consumer.unacked -= 1
        if self._counts_holders and self._former:
            self._remove_settled()
        return consumer

    def settle_all(self, entries: list[Entry]) -> dict[Consumer, None]:
        """Subtract entries, and remove them from their consumers. Return the consumers that held them."""
        consumers: dict[Consumer, None] = {}
        latest: Consumer | None = None
        self.count -= len(entries)
        for entry in entries:
            self.size -= entry.message.size
            consumer = entry.consumer
            if consumer is None:
                self._got -= 1
            else:
                consumer.unacked -= 1
                if consumer is not latest:
                    consumers[consumer] = None
                    latest = consumer
                entry.assign(None)
        if self._former:
            self._remove_settled()
        return consumers

    def settle_returned(self, entries: list[Entry]) -> dict[Consumer, None]:
        """Subtract entries that are rejected or requeued, like `settle_all`."""
        self.returned += len(entries)
        return self.settle_all(entries)

    def move(self, entries: Sequence[Entry], consumer: Consumer, counted: bool) -> None:
        """Move entries of a cancelled consumer to another one. counted: they count as its own, as in quorum queues."""
        for entry in entries:
            former = entry.consumer
            if former is not None:
                former.unacked -= 1
            entry.assign(consumer)
        if counted:
            consumer.unacked += len(entries)
        if self._former:
            self._remove_settled()

    # --- holders of messages ------------------------------------------------------------------------------------------

    def consumer_removed(self, consumer: Consumer) -> None:
        """Remember a consumer that is removed from the queue, while it holds messages."""
        if self._counts_holders and consumer.unacked:
            self._former.append(consumer)

    def holders(self) -> int:
        """Return the number of other holders of messages than consumers: former consumers and each basic.get.

        A quorum queue counts them as consumers (rabbit_fifo); in other queues the number is 0.
        """
        if not self._counts_holders:
            return 0
        return self._got + sum([each.unacked > 0 for each in self._former])

    def discard(self) -> None:
        """Discard the references to former consumers."""
        self._former.clear()

    def _remove_settled(self) -> None:
        """Remove former consumers without unacknowledged messages, so that their connections can be freed."""
        self._former = [each for each in self._former if each.unacked]
