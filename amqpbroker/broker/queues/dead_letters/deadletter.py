"""Dead letters: publishing messages that leave a queue to its dead letter exchange."""

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from amqpbroker.broker.exchanges.routing import Route, route
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.dead_letters.dead_letter_builder import DeadLetterBuilder, exchange_of_letters
from amqpbroker.broker.queues.dead_letters.dead_letter_reservations import DeadLetterReservations
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.tracking.copy_tracker import NO_TRACKER, CopyTracker
from amqpbroker.clock import Clock
from amqpbroker.message.deaths import without_redriven_rejections
from amqpbroker.message.message import NOT_STORED
from amqpbroker.store.store import Store

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Exchange

#: The reasons of dead letters for which the consumers have failed to process a message.
REJECTIONS: Final = ("rejected", "delivery_limit")


def _remove_redriven_rejections(entry: Entry) -> None:
    """Remove a header that only the broker writes, from a message that never died: a client has written it."""
    message = entry.message
    properties = without_redriven_rejections(message.properties)
    if properties is not message.properties:
        entry.replace_message(message.rewritten(message.address, properties))


def count_letters(
    counts: dict[tuple[str, str, str], int], kind: str, strategy: str, sent: bool, reason: str, count: int
) -> None:
    """Count messages that left a queue, in `BrokerTotals.dead_letters`. sent: the queue has a dead letter exchange."""
    key = kind, strategy.replace("-", "_") if sent else "disabled", reason
    counts[key] = counts.get(key, 0) + count


class DeadLetters:
    """Sends the dead letters of one vhost.

    A letter may immediately die again in another queue, so letters wait in a list instead of in each other's call
    stack. Within `with` they only wait, and are sent at its end.

    promised: letters whose messages stay in their queue if no other queue takes them.
    """

    def __init__(
        self, exchanges: "Mapping[str, Exchange]", clock: Clock, store: Store, tracker: CopyTracker = NO_TRACKER
    ) -> None:
        self._tracker: CopyTracker = tracker
        self._exchanges = exchanges
        self._clock = clock
        self._store = store
        self._dying: deque[tuple[Queue, list[Entry], str]] = deque()
        self._depth: int = 0
        #: Number of times that waiting letters were sent, with all that died because of them.
        self.runs: int = 0
        self._departure = DeadLetterBuilder("", QueueSettings(), "")
        self.promised = DeadLetterReservations(exchanges, clock)

    def __enter__(self) -> "DeadLetters":
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._depth == 1 and self._dying:
                self._send_all()
        finally:
            self._depth -= 1

    def send(self, queue: Queue, entries: list[Entry], reason: str) -> None:
        """Republish messages that leave the queue to its dead letter exchange."""
        with self:
            self._dying.append((queue, entries, reason))

    @property
    def waiting(self) -> int:
        """The number of calls of `send` that have waiting messages."""
        return len(self._dying)

    def postpone(self, count: int) -> None:
        """Send the letters of the first `count` waiting calls after those of the later calls."""
        self._dying.rotate(-count)

    def _send_all(self) -> None:
        promised = self.promised
        while self._dying:
            queue, entries, reason = self._dying.popleft()
            exchange = exchange_of_letters(queue, self._exchanges)
            departure = self._departure
            if departure.queue != queue.name or departure.settings is not queue.settings or departure.reason != reason:
                departure = self._departure = DeadLetterBuilder(queue.name, queue.settings, reason)
            departure.time_s = self._clock.wall_ms() // 1000
            found: Route | None = None
            for entry in entries:
                if promised.count:
                    if promised.has(entry) and promised.is_refused(entry):
                        promised.pop(entry)
                        queue.retain(entry, reason)
                        continue
                    promised.others_sent()
                # To the store, leaving this queue and entering the next is one operation.
                followed = self._tracker.active and self._tracker.follows(entry.message)
                stored = followed or entry.position != NOT_STORED
                if stored:
                    self._store.begin()
                try:
                    if followed:
                        if not entry.message.died:
                            _remove_redriven_rejections(entry)
                        rejected = reason in REJECTIONS and not queue.settings.ignores_rejects
                        self._tracker.begin_letter(entry, queue.name, reason, rejected)
                    queue.leave(entry)
                    if exchange is not None:
                        found = self._send(departure, exchange, entry, found)
                    if followed:
                        self._tracker.end_move(reason)
                finally:
                    if stored:
                        self._store.end()
        if promised.used:
            promised.all_sent()
        self.runs += 1

    def _send(
        self, departure: DeadLetterBuilder, exchange: "Exchange", entry: Entry, found: Route | None
    ) -> Route | None:
        """Publish a dead letter to the destinations of its exchange, except to queues that would close a cycle.

        found: the route of the previous letter, if there was one. Return that which the next letter may take.
        """
        address = departure.address
        promised = self.promised.pop(entry) if self.promised.count else None
        if promised is None:
            deaths = departure.record(entry.message)
            letter = departure.letter(entry.message, deaths)
            # No binding changes while letters are sent, so letters with the same key take the same route.
            if found is None or letter.address is not address or letter.extra_keys or not found.keyed:
                found = route(exchange, letter, self._exchanges.get)
            destinations = found.destinations
        else:
            letter, deaths = promised.message, promised.deaths
            destinations = tuple([each for each in promised.destinations if not each.closed])
        if exchange.duplicate_filter is not None:
            others = tuple([each for each in destinations if not deaths.is_cycle(each.name)])
            destinations = exchange.duplicate_filter.guard(exchange, letter, others, counted=False)
        for destination in destinations:
            if not deaths.is_cycle(destination.name):
                destination.count_letter(letter)
                destination.publish(letter)
        return found
