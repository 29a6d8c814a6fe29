"""Dead letters: what becomes of a message that leaves a queue for its dead letter exchange."""

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from amqpbroker.broker.exchanges.routing import Route, route
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.settings import QueueSettings
from amqpbroker.clock import Clock
from amqpbroker.message.deaths import Deaths
from amqpbroker.message.message import KEY_BYTES, NOT_STORED, Message, encode_address
from amqpbroker.store.store import Store
from amqpbroker.wire.property_edit import set_headers, without_expiration

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Exchange


class Departure:
    """Dead letters that leave one queue for one reason to its dead letter exchange.

    time_s: when, since the epoch. address: that of the last letter.

    Source: rabbit_dead_letter:publish of RabbitMQ 4.0.
    """

    def __init__(self, queue: str, settings: QueueSettings, reason: str) -> None:
        """reason: rejected, expired, maxlen or delivery_limit."""
        self.queue: str = queue
        self.settings: QueueSettings = settings
        self.reason: str = reason
        self.time_s: int = 0
        self._queue: bytes = queue.encode("utf-8", "surrogateescape")
        self._reason: bytes = reason.encode()
        key = settings.dead_letter_routing_key
        # An argument may be longer than a routing key can be; the rest of it is left out.
        address = encode_address(settings.dead_letter_exchange or "", b"" if key is None else key[:KEY_BYTES])
        self._keeps_keys: bool = key is None
        #: The address up to where keys that are kept go.
        self._start: bytes = address[:-1]
        self.address: bytes = address

    def begin(self, time_s: int) -> None:
        """Date the letters that follow."""
        self.time_s = time_s

    def record(self, message: Message) -> Deaths:
        """Return the deaths of a message with this one, which does not continue an x-death header of a client."""
        deaths = Deaths(message.properties) if message.died else Deaths()
        address = message.address
        exchange = address[1 : 1 + address[0]]
        keys = _visible_keys(message) if message.extra_keys else (message.routing_key,)
        deaths.add(self._queue, self._reason, self.time_s, exchange, keys, message.expiration_ms)
        return deaths

    def letter(self, message: Message, deaths: Deaths) -> Message:
        """Return what is published in the message's place: it tells its deaths, and does not expire any more.

        It has the queue's x-dead-letter-routing-key alone, or without one all keys of the message, CC and BCC included.
        """
        if self._keeps_keys:
            sent = message.address
            address = self._start + sent[1 + sent[0] :]
            # Routing and deliveries are quicker while equal addresses are one object.
            if address != self.address:
                self.address = address
        properties = set_headers(without_expiration(message.properties), deaths.headers())
        letter = message.rewritten(self.address, properties)
        letter.mark_dead()
        if not self._keeps_keys:
            letter.set_extra_keys((), 0)
        return letter


def _visible_keys(message: Message) -> tuple[bytes, ...]:
    """The routing keys without those of BCC; of a key that occurs several times, BCC hides the first (Erlang's --)."""
    keys = list(message.routing_keys)
    for hidden in message.extra_keys[message.cc_keys :]:
        if hidden in keys:
            keys.remove(hidden)
    return tuple(keys)


def count_letters(
    counts: dict[tuple[str, str, str], int], kind: str, strategy: str, sent: bool, reason: str, count: int
) -> None:
    """Count messages that left a queue, in `BrokerTotals.dead_letters`. sent: the queue sends them somewhere."""
    key = kind, strategy.replace("-", "_") if sent else "disabled", reason
    counts[key] = counts.get(key, 0) + count


class DeadLetters:
    """Sends the dead letters of one vhost.

    A letter may at once die again elsewhere, so they wait in a line of their own instead of in each other's call stack.
    Within `with` they only wait, and are sent at its end.
    """

    def __init__(self, exchanges: "Mapping[str, Exchange]", clock: Clock, store: Store) -> None:
        self._exchanges = exchanges
        self._clock = clock
        self._store = store
        self._dying: deque[tuple[Queue, list[Entry], str]] = deque()
        self._depth: int = 0
        self._departure = Departure("", QueueSettings(), "")

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
        """Republish what leaves the queue to its dead letter exchange."""
        with self:
            self._dying.append((queue, entries, reason))

    @property
    def waiting(self) -> int:
        """How many calls of `send` have something that waits."""
        return len(self._dying)

    def postpone(self, count: int) -> None:
        """Send the letters of the first `count` waiting calls after those of the later calls."""
        self._dying.rotate(-count)

    def _send_all(self) -> None:
        while self._dying:
            queue, entries, reason = self._dying.popleft()
            exchange = self._exchanges.get(queue.settings.dead_letter_exchange or "")
            departure = self._departure
            if departure.queue != queue.name or departure.settings is not queue.settings or departure.reason != reason:
                departure = self._departure = Departure(queue.name, queue.settings, reason)
            departure.begin(self._clock.wall_ms() // 1000)
            found: Route | None = None
            for entry in entries:
                # To the store, a copy leaves here and enters there as one thing.
                stored = entry.position != NOT_STORED
                if stored:
                    self._store.begin()
                try:
                    queue.leave(entry)
                    if exchange is not None:
                        found = self._send(departure, exchange, entry.message, found)
                finally:
                    if stored:
                        self._store.end()

    def _send(self, departure: Departure, exchange: "Exchange", message: Message, found: Route | None) -> Route:
        """Publish a dead letter to where its exchange leads, but to no queue that would close a cycle.

        found: the route of the letter before, if there was one. Returns that of this one.
        """
        address = departure.address
        deaths = departure.record(message)
        letter = departure.letter(message, deaths)
        # No binding changes while letters are sent, so those with the same key go the same way.
        if found is None or letter.address is not address or letter.extra_keys or not found.keyed:
            found = route(exchange, letter, self._exchanges.get)
        for destination in found.destinations:
            if not deaths.is_cycle(destination.name):
                if isinstance(destination, Queue):
                    destination.count_letter()
                destination.publish(letter)
        return found
