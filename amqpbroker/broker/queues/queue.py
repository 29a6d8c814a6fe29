"""The queue seam. What any kind of queue can do; everything above it knows no more than this."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from amqpbroker.broker.counters.stats import QUEUE_COUNTERS, MessageStats, QueueTally, Sample, message_stats
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.infos import QueueInfo
from amqpbroker.broker.policies.policies import NO_POLICY, Effective, Policy
from amqpbroker.broker.queues.settings import QueueSettings
from amqpbroker.store.journal.recovery import Copies
from amqpbroker.wire.values import Table

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Binding
    from amqpbroker.broker.infos import ConsumerInfo
    from amqpbroker.broker.queues.consumer import Consumer
    from amqpbroker.broker.queues.entry import Entry


class Queue(Destination):
    """A named queue of a vhost. All calls come on the loop's thread and none waits.

    id: names a durable queue in the store, 0 for others. owner: the connection that an exclusive queue belongs to.
    arguments: as declared, unknown ones included. incoming: the bindings that lead here. effective: the policies in
    force; the settings have them in. unacked_count: messages that are delivered and not acknowledged. tally: what
    happened to its messages.
    """

    counter_names: ClassVar[tuple[str, ...]] = QUEUE_COUNTERS

    def __init__(
        self,
        name: str,
        settings: QueueSettings,
        durable: bool = False,
        auto_delete: bool = False,
        owner: object | None = None,
        arguments: Table | None = None,
    ) -> None:
        super().__init__(name)
        self.sample: Sample | None = None
        self.settings: QueueSettings = settings
        self.unacked_count: int = 0
        self.durable: bool = durable
        self.auto_delete: bool = auto_delete
        self.owner: object | None = owner
        self.id: int = 0
        self.arguments: Table = arguments or {}
        self.incoming: dict[Binding, None] = {}
        self.tally = QueueTally()
        self.effective: Effective = NO_POLICY

    @property
    def policy(self) -> Policy | None:
        """The policy in force."""
        return self.effective.policy

    @property
    def operator_policy(self) -> Policy | None:
        """The operator policy in force."""
        return self.effective.operator_policy

    @property
    def effective_policy(self) -> Mapping[str, Any]:
        """The definitions of both, merged."""
        return self.effective.definition

    @property
    @abstractmethod
    def ready_count(self) -> int:
        """Messages that wait to be delivered: AMQP's message-count."""

    @property
    @abstractmethod
    def delayed_count(self) -> int:
        """Number of returned messages that are delayed before they are ready again."""

    @property
    @abstractmethod
    def consumer_count(self) -> int:
        """All consumers, able to take messages or not."""

    @property
    def told_consumer_count(self) -> int:
        """AMQP's consumer-count, as queue.declare-ok has it."""
        return self.consumer_count

    @abstractmethod
    def counters(self) -> tuple[int, ...]:
        """The present numbers, in the order of `counter_names`."""

    def message_stats(self) -> MessageStats:
        return message_stats(self.counter_names, self.counters())

    @abstractmethod
    def info(self) -> QueueInfo:
        """The queue at present."""

    @abstractmethod
    def consumer_info(self, consumer: "Consumer") -> "ConsumerInfo":
        """One of its consumers at present."""

    @abstractmethod
    def consumer_infos(self) -> "list[ConsumerInfo]":
        """Its consumers, in the order in which they came."""

    @abstractmethod
    def discard(self) -> None:
        """Drop all messages from memory, without changing the store, after the broker has ended."""

    @abstractmethod
    def add_consumer(self, consumer: "Consumer") -> None:
        """Register; nothing is delivered before `offer`. Raises AmqpError 403 when in exclusive use."""

    @abstractmethod
    def remove_consumer(self, consumer: "Consumer", gives_back: bool = False) -> None:
        """Forget a consumer. What it has not acknowledged stays outstanding. May delete an auto-delete queue.

        gives_back: it comes back next, and only then, with `offer_all`, a successor gets anything.
        """

    @abstractmethod
    def offer(self, consumer: "Consumer") -> None:
        """The consumer may be able to take messages (again): deliver while it is, up to a bounded number."""

    @abstractmethod
    def offer_all(self, consumers: "Sequence[Consumer]") -> None:
        """`offer` to several at once, who share by priority and in turn."""

    @abstractmethod
    def get(self, no_ack: bool) -> "Entry | None":
        """Take the head for basic.get; with `no_ack` it is settled at once."""

    @abstractmethod
    def forget(self, entry: "Entry") -> None:
        """The copy lives no more: if it is stored, the store is told."""

    @abstractmethod
    def ack(self, entry: "Entry") -> None:
        """The consumer has acknowledged."""

    @abstractmethod
    def ack_all(self, entries: "list[Entry]") -> None:
        """`ack` for several, after all of which their consumers are offered more."""

    @abstractmethod
    def reject(self, entries: "list[Entry]") -> None:
        """Settle without requeue: dead-lettered as rejected, else dropped."""

    @abstractmethod
    def requeue(self, entries: "list[Entry]", failed: bool = True) -> None:
        """A client returns unacknowledged entries, given in this order: each goes where it belongs.

        failed: who had them failed at them, rather than just giving them back; only some releases of RabbitMQ care.
        """

    @abstractmethod
    def reclaim(self, entries: "list[Entry]") -> None:
        """Take unacknowledged entries back that a channel held that has ended, all at once."""

    @abstractmethod
    def purge(self) -> int:
        """Drop all ready messages and all delayed returned messages; return their number."""

    @abstractmethod
    def move(self, destination: "Queue", count: int, size: int) -> int:
        """Give up to `count` ready messages, with about `size` octets of bodies, to another queue, head first.

        To the store, each leaves here and enters there as one thing. Returns how many went, before the other refused or
        nothing was ready.
        """

    @abstractmethod
    def touch(self) -> None:
        """The queue was used (declared): x-expires starts anew."""

    @abstractmethod
    def apply_settings(self, settings: QueueSettings) -> None:
        """Work by new settings from now on (a policy changed); limits trim at once."""

    @abstractmethod
    def recover(self, copies: Copies) -> None:
        """See Holder."""

    @abstractmethod
    def recovered(self) -> None:
        """See Holder."""

    @abstractmethod
    def unreadable(self, error: Exception) -> None:
        """Retry later, because stored messages temporarily cannot be read."""

    @abstractmethod
    def page_out(self) -> bool:
        """Memory is short: move some of what waits out of it; returns whether there may be more to move."""

    @abstractmethod
    def close(self) -> "Iterable[Consumer]":
        """The queue is deleted: drop everything without dead-lettering; returns the consumers to be told."""
