"""Dead letters: publishing messages that leave a queue to its dead letter exchange."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from amqpbroker.broker.deduplication.foreseen_ids import ForeseenIds
from amqpbroker.broker.exchanges.routing import Route, route
from amqpbroker.broker.fates.fates import NO_FATES, Fates
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.settings import QueueSettings
from amqpbroker.clock import Clock
from amqpbroker.message.deaths import Deaths, without_redriven_rejections
from amqpbroker.message.message import KEY_BYTES, NOT_STORED, Message, encode_address
from amqpbroker.store.store import Store
from amqpbroker.wire.property_edit import set_headers, without_expiration

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.destination import Demand, Destination
    from amqpbroker.broker.exchanges.exchange import Exchange

#: The reasons of dead letters for which the consumers have failed to process a message.
REJECTIONS: Final = ("rejected", "delivery_limit")


class Departure:
    """Dead letters that leave one queue for one reason to its dead letter exchange.

    time_s: time of the departure, since the epoch. address: address of the last letter.

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
        if settings.dead_letter_exchange is None and settings.auto_dead_letter_queue is not None:
            key = settings.auto_dead_letter_queue.encode("utf-8", "surrogateescape")
        # An argument may be longer than a routing key can be; the rest of it is left out.
        address = encode_address(settings.dead_letter_exchange or "", b"" if key is None else key[:KEY_BYTES])
        self._keeps_keys: bool = key is None
        #: The address, up to the position of routing keys that are retained.
        self._start: bytes = address[:-1]
        self.address: bytes = address

    def record(self, message: Message) -> Deaths:
        """Return the deaths of a message including this one, which does not continue an x-death header of a client."""
        deaths = Deaths(message.properties) if message.died else Deaths()
        address = message.address
        exchange = address[1 : 1 + address[0]]
        keys = _visible_keys(message) if message.extra_keys else (message.routing_key,)
        deaths.add(self._queue, self._reason, self.time_s, exchange, keys, message.expiration_ms)
        return deaths

    def letter(self, message: Message, deaths: Deaths, more: bytes = b"") -> Message:
        """Return the message that is published as the dead letter: it has the deaths as a header, and does not expire.

        Its routing key is the queue's x-dead-letter-routing-key, or without one all keys of the message, CC and BCC
        included. more: further headers, see `Deaths.headers`.
        """
        if self._keeps_keys:
            sent = message.address
            address = self._start + sent[1 + sent[0] :]
            # Routing and deliveries are faster while equal addresses are one object.
            if address != self.address:
                self.address = address
        properties = set_headers(without_expiration(message.properties), deaths.headers(more))
        letter = message.rewritten(self.address, properties)
        letter.mark_dead()
        if not self._keeps_keys:
            letter.set_extra_keys((), 0)
        return letter


def _visible_keys(message: Message) -> tuple[bytes, ...]:
    """Return the routing keys without those of BCC.

    If a key occurs several times, BCC hides the first (Erlang's --).
    """
    keys = list(message.routing_keys)
    for hidden in message.extra_keys[message.cc_keys :]:
        if hidden in keys:
            keys.remove(hidden)
    return tuple(keys)


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
    """

    def __init__(
        self, exchanges: "Mapping[str, Exchange]", clock: Clock, store: Store, fates: Fates = NO_FATES
    ) -> None:
        self._fates: Fates = fates
        self._exchanges = exchanges
        self._clock = clock
        self._store = store
        self._dying: deque[tuple[Queue, list[Entry], str]] = deque()
        self._depth: int = 0
        #: Number of times that waiting letters were sent, with all that died because of them.
        self.runs: int = 0
        self._departure = Departure("", QueueSettings(), "")
        #: The last departure of which a letter was previewed. Not `_departure`, whose address is that of a sent letter.
        self._previewed = Departure("", QueueSettings(), "")
        #: The letter that was previewed last, its entry and its deaths; those that are sent as they were previewed.
        self._preview_entry: Entry | None = None
        self._preview_letter: tuple[Message, Deaths] | None = None
        self._held: dict[Entry, tuple[Message, Deaths]] = {}
        #: By destination, the letters that `taken_by` has allowed and that are not sent yet.
        self._demands: dict[Destination, Demand] = {}
        #: Ids of these letters, for exchanges and queues that drop duplicates; None after any letter was sent.
        self._ids: ForeseenIds | None = None

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

    def taken_by(self, entry: Entry, reason: str, more: bytes = b"") -> list[str]:
        """Return the names of the queues that a dead letter of an entry reaches, if one of them accepts it.

        If so, `send` it next. An exchange that holds the letter for some time is no queue. more: see
        `Departure.letter`; call `hold_letter` to send the letter with these headers.
        """
        if not self._dying:
            self._clear_previews()
        letter, destinations = self.preview(entry, reason, more)
        found = False
        names: list[str] = []
        for destination in self._not_dropping(entry.queue, letter, tuple(destinations)):
            if destination.closed or not isinstance(destination, Queue):
                continue
            demand = self._demands.get(destination)
            if demand is None:
                demand = self._demands[destination] = destination.new_demand()
            demand.add(letter)
            found = found or not demand.is_refused()
            names.append(destination.name)
        if not found and not self._dying:
            self._clear_previews()
        return names if found else []

    def hold_letter(self, entry: Entry) -> None:
        """Send the letter of an entry as `taken_by` has just made it. `send` the entry alone.

        If no queue takes the letter any more when it is sent, its queue keeps the message (`Queue.keep`).
        """
        if entry is self._preview_entry and self._preview_letter is not None:
            self._held[entry] = self._preview_letter

    def _clear_previews(self) -> None:
        """Discard what `taken_by` has found out, because no letters wait."""
        self._demands.clear()
        self._ids = None
        self._held.clear()
        self._preview_entry = self._preview_letter = None

    def _not_dropping(
        self, queue: Queue, letter: Message, destinations: "tuple[Destination, ...]"
    ) -> "list[Destination]":
        """Return the destinations that would not drop a letter as a duplicate; see `taken_by`."""
        exchange, ids = self._exchange(queue), self._ids
        if ids is None:
            ids = self._ids = ForeseenIds()
        if exchange is not None and exchange.gate is not None:
            destinations = exchange.gate.guard(exchange, letter, destinations, counted=False)
        found: list[Destination] = []
        for passage in destinations:
            if not passage.will_drop(letter, ids):
                # A destination that passes nothing on was asked above.
                found += [each for each in passage.ends() if each is passage or not each.will_drop(letter, ids)]
        return found

    @property
    def waiting(self) -> int:
        """The number of calls of `send` that have waiting messages."""
        return len(self._dying)

    def postpone(self, count: int) -> None:
        """Send the letters of the first `count` waiting calls after those of the later calls."""
        self._dying.rotate(-count)

    def _send_all(self) -> None:
        # Queues that keep messages whose letters were held: letters of later messages must not overtake these.
        kept: dict[Queue, None] = {}
        while self._dying:
            queue, entries, reason = self._dying.popleft()
            self._ids = None
            exchange = self._exchange(queue)
            departure = self._departure
            # As in `_departing`, without a call for each dead letter.
            if departure.queue != queue.name or departure.settings is not queue.settings or departure.reason != reason:
                departure = self._departure = Departure(queue.name, queue.settings, reason)
            departure.time_s = self._clock.wall_ms() // 1000
            found: Route | None = None
            for entry in entries:
                if self._held and entry in self._held and self._must_stay(queue, entry, exchange, kept):
                    del self._held[entry]
                    queue.keep(entry, reason)
                    continue
                # To the store, leaving this queue and entering the next is one operation.
                followed = self._fates.active and self._fates.follows(entry.message)
                stored = followed or entry.position != NOT_STORED
                if stored:
                    self._store.begin()
                try:
                    if followed:
                        if not entry.message.died:
                            _remove_redriven_rejections(entry)
                        rejected = reason in REJECTIONS and not queue.settings.ignores_rejects
                        self._fates.begin_letter(entry, queue.name, reason, rejected)
                    queue.leave(entry)
                    if exchange is not None:
                        found = self._send(departure, exchange, entry, found)
                    if followed:
                        self._fates.end_move(reason)
                finally:
                    if stored:
                        self._store.end()
        if self._preview_entry is not None:
            self._clear_previews()
        self.runs += 1

    def _must_stay(self, queue: Queue, entry: Entry, exchange: "Exchange | None", kept: dict[Queue, None]) -> bool:
        """Return whether no queue takes the held letter of an entry any more, because others came first."""
        if queue.closed:
            return False
        if queue not in kept:
            letter, deaths = self._held[entry]
            found = () if exchange is None else route(exchange, letter, self._exchanges.get).destinations
            others = tuple([each for each in found if not deaths.is_cycle(each.name)])
            for destination in self._not_dropping(queue, letter, others):
                if isinstance(destination, Queue) and not destination.closed:
                    demand = destination.new_demand()
                    demand.add(letter)
                    if not demand.is_refused():
                        return False
            kept[queue] = None
        return True

    def _departing(self, last: Departure, queue: Queue, reason: str) -> Departure:
        """Return the departure of letters that leave a queue now: the last one, if that can be used again."""
        if last.queue != queue.name or last.settings is not queue.settings or last.reason != reason:
            last = Departure(queue.name, queue.settings, reason)
        last.time_s = self._clock.wall_ms() // 1000
        return last

    def preview(self, entry: Entry, reason: str, more: bytes = b"") -> "tuple[Message, list[Destination]]":
        """Return the dead letter that `send` would publish for an entry, and where it would go, without sending it."""
        letter, deaths, destinations = self._preview(entry, reason, more)
        self._preview_entry = entry
        self._preview_letter = letter, deaths
        return letter, [each for each in destinations if not deaths.is_cycle(each.name)]

    def closes_cycle(self, entry: Entry, reason: str) -> bool:
        """Return whether `send` would drop an entry because all its destinations would close a cycle."""
        _, deaths, destinations = self._preview(entry, reason, b"")
        return len(destinations) > 0 and not [each for each in destinations if not deaths.is_cycle(each.name)]

    def _preview(self, entry: Entry, reason: str, more: bytes) -> "tuple[Message, Deaths, Sequence[Destination]]":
        queue = entry.queue
        departure = self._previewed = self._departing(self._previewed, queue, reason)
        deaths = departure.record(entry.message)
        letter = departure.letter(entry.message, deaths, more)
        exchange = self._exchange(queue)
        if exchange is None:
            return letter, deaths, ()
        return letter, deaths, route(exchange, letter, self._exchanges.get).destinations

    def _exchange(self, queue: Queue) -> "Exchange | None":
        """Return the dead letter exchange of a queue. If the queue has none, its dead letter queue is created."""
        name = queue.settings.dead_letter_exchange
        if name is None and not queue.create_dead_letter_queue():
            return None
        return self._exchanges.get(name or "")

    def _send(self, departure: Departure, exchange: "Exchange", entry: Entry, found: Route | None) -> Route:
        """Publish a dead letter to the destinations of its exchange, except to queues that would close a cycle.

        found: the route of the previous letter, if there was one. Return the route of this letter.
        """
        address = departure.address
        held = self._held.pop(entry, None) if self._held else None
        if held is None:
            deaths = departure.record(entry.message)
            letter = departure.letter(entry.message, deaths)
        else:
            # It is the only one of its call of `send`, so no other letter takes its route.
            letter, deaths = held
        # No binding changes while letters are sent, so letters with the same key take the same route.
        if found is None or letter.address is not address or letter.extra_keys or not found.keyed:
            found = route(exchange, letter, self._exchanges.get)
        destinations = found.destinations
        if exchange.gate is not None:
            others = tuple([each for each in destinations if not deaths.is_cycle(each.name)])
            destinations = exchange.gate.guard(exchange, letter, others, counted=False)
        for destination in destinations:
            if not deaths.is_cycle(destination.name):
                destination.count_letter(letter)
                destination.publish(letter)
        return found
