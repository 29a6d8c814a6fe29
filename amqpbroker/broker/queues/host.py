"""The part of a vhost that its queues need."""

from abc import ABCMeta, abstractmethod

from amqpbroker.broker.counters.totals import BrokerTotals
from amqpbroker.broker.deferred_free import DeferredFree
from amqpbroker.broker.events.events import Events
from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.queues.dead_letters.deadletter import DeadLetters
from amqpbroker.broker.queues.dead_letters.letter_numbers import LetterNumbers
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.tracking.copy_tracker import NO_TRACKER, CopyTracker
from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.store.definitions.definitions import Definitions
from amqpbroker.store.spill import NO_SPILL, Spill
from amqpbroker.store.store import Store


class Host(metaclass=ABCMeta):
    """A vhost as its queues see it.

    exchanges, queues: by name. store: for durable queues. definitions: durable data other than messages. spill: holds
    messages that are not stored while memory is low. dead_letters: sends messages to dead letter exchanges.
    deferred_free: frees many messages slowly. totals: those of the broker. events: receive the events of consumers.
    tracker: receives the fates of copies of messages. letter_numbers: of the dead letters of closed message groups.
    """

    def __init__(
        self,
        name: str,
        exchanges: dict[str, Exchange],
        clock: Clock,
        store: Store,
        definitions: Definitions,
        config: Config,
        totals: BrokerTotals,
        events: Events,
        spill: Spill = NO_SPILL,
        tracker: CopyTracker = NO_TRACKER,
    ) -> None:
        self.name: str = name
        self.exchanges: dict[str, Exchange] = exchanges
        self.queues: dict[str, Queue] = {}
        self.clock: Clock = clock
        self.store: Store = store
        self.definitions: Definitions = definitions
        self.config: Config = config
        self.totals: BrokerTotals = totals
        self.events: Events = events
        self.spill: Spill = spill
        self.deferred_free: DeferredFree = DeferredFree(clock, config.bounds.deferred_free, config.bounds.departures)
        self.tracker: CopyTracker = tracker
        self.letter_numbers: LetterNumbers = LetterNumbers(clock)
        self.dead_letters: DeadLetters = DeadLetters(exchanges, clock, store, tracker)

    @abstractmethod
    def remove_queue(self, queue: Queue, actor: str = "") -> None:
        """Delete a queue that has expired, or has lost its last consumer."""

    @abstractmethod
    def create_dead_letter_queue(self, queue: Queue) -> bool:
        """Create the dead letter queue that `QueueSettings.auto_dead_letter_queue` names, if it does not exist.

        Return False, and log why, if it does not exist then.
        """
