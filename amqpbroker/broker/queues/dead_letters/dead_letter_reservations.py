"""Dead letters that leave their queue only if another one takes them, from the question until their departure."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, final

from amqpbroker.broker.deduplication.foreseen_ids import ForeseenIds
from amqpbroker.broker.exchanges.routing import route
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.dead_letters.dead_letter_builder import DeadLetterBuilder, exchange_of_letters
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.clock import Clock
from amqpbroker.message.deaths import Deaths
from amqpbroker.message.message import Message

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.destination import Demand, Destination
    from amqpbroker.broker.exchanges.exchange import Exchange


@final
class Letter:
    """A dead letter on its way. destinations: where its exchange routes it, which may be by chance."""

    def __init__(self, message: Message, deaths: Deaths, destinations: "Sequence[Destination]") -> None:
        self.message: Message = message
        self.deaths: Deaths = deaths
        self.destinations: Sequence[Destination] = destinations


@final
class DeadLetterReservations:
    """The letters of one vhost that queues have promised to take, and that are not sent yet.

    A promise counts for the letters that are asked for after it, but not for publishes and other dead letters, which
    may take the room first. So each letter asks again when it is sent.

    count: number of promised letters. used: a letter was promised since `all_sent`.
    """

    def __init__(self, exchanges: "Mapping[str, Exchange]", clock: Clock) -> None:
        self.count: int = 0
        self.used: bool = False
        self._exchanges: Mapping[str, Exchange] = exchanges
        self._clock: Clock = clock
        self._departure = DeadLetterBuilder("", QueueSettings(), "")
        #: The letter that was asked for last.
        self._asked: Letter | None = None
        self._letters: dict[Entry, Letter] = {}
        #: By destination, the promised letters.
        self._demands: dict[Destination, Demand] = {}
        #: Ids of these letters, for exchanges and queues that drop duplicates; None after any letter was sent.
        self._ids: ForeseenIds | None = None
        #: Queues with a letter that no queue took: letters of later messages must not overtake it.
        self._refused: dict[Queue, None] = {}

    def takers(self, entry: Entry, reason: str, more: bytes = b"") -> list[str]:
        """Return the names of the queues that a dead letter of an entry reaches, if one of them accepts it.

        An exchange that holds the letter for some time is no queue. more: see `DeadLetterBuilder.letter`. Call
        `promise` if the letter is sent next.
        """
        if not self.count:
            self._reset()
        letter = self._asked = self._letter(entry, reason, more)
        found = False
        names: list[str] = []
        for destination in self._queues_for(entry.queue, letter):
            demand = self._demands.get(destination)
            if demand is None:
                demand = self._demands[destination] = destination.new_demand()
            demand.add(letter.message)
            found = found or not demand.is_refused()
            names.append(destination.name)
        if not found and not self.count:
            self._reset()
        return names if found else []

    def promise(self, entry: Entry) -> None:
        """Keep the letter of an entry as `takers` has just made it, until it is sent alone."""
        assert self._asked is not None
        self._letters[entry] = self._asked
        self._asked = None
        self.count += 1
        self.used = True

    def has(self, entry: Entry) -> bool:
        return entry in self._letters

    def pop(self, entry: Entry) -> Letter | None:
        """Remove and return the letter of an entry; None if it is not promised."""
        letter = self._letters.pop(entry, None)
        if letter is not None:
            self.count -= 1
        return letter

    def is_refused(self, entry: Entry) -> bool:
        """Return whether no queue takes a promised letter any more, or an earlier one of its queue has to wait."""
        queue = entry.queue
        if queue.closed:
            return False
        if queue not in self._refused:
            letter = self._letters[entry]
            self._ids = None
            for destination in self._queues_for(queue, letter):
                demand = destination.new_demand()
                demand.add(letter.message)
                if not demand.is_refused():
                    return False
            self._refused[queue] = None
        return True

    def others_sent(self) -> None:
        """Record that letters were sent, so that queues and exchanges have accepted other ids."""
        self._ids = None

    def all_sent(self) -> None:
        """Record that no letters wait any more."""
        self.count = 0
        self.used = False
        self._letters.clear()
        self._refused.clear()
        self._reset()

    def _reset(self) -> None:
        """Discard what was found out for letters that wait, because none do."""
        self._demands.clear()
        self._ids = self._asked = None

    def closes_cycle(self, entry: Entry, reason: str) -> bool:
        """Return whether a dead letter of an entry would be dropped because all its destinations close a cycle."""
        letter = self._letter(entry, reason, b"")
        return bool(letter.destinations) and all(letter.deaths.is_cycle(each.name) for each in letter.destinations)

    def _letter(self, entry: Entry, reason: str, more: bytes) -> Letter:
        queue, departure = entry.queue, self._departure
        if departure.queue != queue.name or departure.settings is not queue.settings or departure.reason != reason:
            departure = self._departure = DeadLetterBuilder(queue.name, queue.settings, reason)
        departure.time_s = self._clock.wall_ms() // 1000
        deaths = departure.record(entry.message)
        message = departure.letter(entry.message, deaths, more)
        exchange = exchange_of_letters(queue, self._exchanges)
        return Letter(
            message, deaths, () if exchange is None else route(exchange, message, self._exchanges.get).destinations
        )

    def _queues_for(self, queue: Queue, letter: Letter) -> "list[Destination]":
        """Return the queues among the destinations of a letter that would neither close a cycle nor drop it."""
        exchange, ids = exchange_of_letters(queue, self._exchanges), self._ids
        if ids is None:
            ids = self._ids = ForeseenIds()
        message, deaths = letter.message, letter.deaths
        destinations = tuple([each for each in letter.destinations if not deaths.is_cycle(each.name)])
        if exchange is not None and exchange.duplicate_filter is not None:
            destinations = exchange.duplicate_filter.guard(exchange, message, destinations, counted=False)
        ends: list[Destination] = []
        for passage in destinations:
            if not passage.will_drop(message, ids):
                # A destination that passes nothing on was asked above.
                ends += [each for each in passage.ends() if each is passage or not each.will_drop(message, ids)]
        return [each for each in ends if isinstance(each, Queue) and not each.closed]
