"""The components of a queue, assembled without the queue."""

from typing import Any

from amqpbroker.broker.deferred_free import DeferredFree
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.consumers import Consumers
from amqpbroker.broker.queues.dead_letters.deadletter import DeadLetters
from amqpbroker.broker.queues.dispatcher import Dispatcher, RoundDispatcher
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.expiry import Expiry
from amqpbroker.broker.queues.kinds import CLASSIC, QUORUM
from amqpbroker.broker.queues.ledger import Ledger
from amqpbroker.broker.queues.length_limit import LengthLimit
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.quorum_lines import QuorumLine
from amqpbroker.broker.queues.lines.ready_line import ReadyLine
from amqpbroker.broker.queues.outstanding import Outstanding
from amqpbroker.broker.queues.returns import QuorumReturns, Returns
from amqpbroker.clock import ManualClock
from amqpbroker.compat import COMPATS
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.message.message import Copy
from amqpbroker.store.store import MemoryStore
from tests.broker.queueing import Subscriber, make_vhost, message


class ListingStore(MemoryStore):
    """A store that records its calls: (verb, body of the message)."""

    def __init__(self) -> None:
        self.keeps = True
        self.told: list[tuple[str, bytes]] = []
        self.positions = 0

    def enqueue(self, copy: Copy) -> None:
        self.positions += 1
        copy.position = self.positions
        self.told.append(("enqueue", copy.message.body))

    def settle(self, copy: Copy) -> None:
        copy.position = 0
        self.told.append(("settle", copy.message.body))

    def settle_positions(self, positions: Any) -> None:
        self.told += [("settle", b"%d" % position) for position in positions]

    def returned(self, copy: Copy) -> None:
        self.told.append(("returned", copy.message.body))

    def begin(self) -> None:
        self.told.append(("begin", b""))

    def end(self) -> None:
        self.told.append(("end", b""))


class Parts:
    """Components with these settings. Entries belong to a queue that has no reference to them."""

    def __init__(
        self, quorum: bool = False, compat: str = "4.0", expiries: int = BOUNDS.expiries, **settings: Any
    ) -> None:
        kind = QUORUM if quorum else CLASSIC
        self.settings = QueueSettings(**settings)
        self.clock = ManualClock()
        self.store = ListingStore()
        self.letter_counts: dict[tuple[str, str, str], int] = {}
        self.owner = make_vhost().reply_queue()
        dead_letters = DeadLetters({}, self.clock, self.store)
        deferred_free = DeferredFree(self.clock)
        self.ledger = Ledger(self.settings, kind, self.store, dead_letters, self.letter_counts, deferred_free)
        self.ready: ReadyLine = QuorumLine() if quorum else FifoLine()
        self.consumers = Consumers("q", "/")
        self.outstanding = Outstanding(counts_holders=quorum)
        self.expiry = Expiry(self.clock, self.ready, self.consumers, self.ledger, self.settings, expiries)
        self.dispatcher: Dispatcher = (RoundDispatcher if quorum else Dispatcher)(
            self.clock, self.ready, self.consumers, self.expiry, self.outstanding, self.ledger, BOUNDS
        )
        self.limit = LengthLimit(self.settings, self.clock, self.dispatcher, self.expiry, self.ledger, quorum)
        self.returns: Returns = (QuorumReturns if quorum else Returns)(
            self.settings,
            COMPATS[compat],
            self.clock,
            1_000,
            None,
            self.dispatcher,
            self.outstanding,
            self.limit,
            self.ledger,
            dead_letters,
        )

    def entry(self, body: bytes = b"", *, expiration_ms: int = -1, persistent: bool = False) -> Entry:
        """Return an entry of the ledger that is in no line yet."""
        made = message(body, expiration_ms=expiration_ms)
        made.persistent = persistent
        deadline_ms = self.expiry.deadline_ms(made)
        return self.ledger.enter(self.owner, made, deadline_ms)

    def add(self, *bodies: bytes, expiration_ms: int = -1) -> list[Entry]:
        """Make entries ready, without offering them to a consumer."""
        entries = [self.entry(body, expiration_ms=expiration_ms) for body in bodies]
        for entry in entries:
            self.ready.push(entry)
            if entry.deadline_ms:
                self.expiry.added(entry)
        return entries

    def subscriber(self, tag: str = "c", limit: int = 1 << 30, **options: Any) -> Subscriber:
        """Return a registered consumer that was offered nothing yet."""
        made = Subscriber(self.owner, tag, limit, **options)
        self.consumers.add(made)
        return made

    def bodies(self) -> list[bytes]:
        return [entry.message.body for entry in self.ready]
