"""The queue seam: what others ask of a queue of any kind. Everything outside of `queues` knows no more than this."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mypy_extensions import mypyc_attr

from amqpbroker.broker.counters.stats import QUEUE_COUNTERS, MessageStats, Sample, message_stats
from amqpbroker.broker.exchanges.destination import BindingDestination
from amqpbroker.broker.infos import QueueInfo
from amqpbroker.broker.policies.policies import NO_POLICY, Effective, Policy
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.settings import QueueSettings
from amqpbroker.store.recovered import Copies
from amqpbroker.wire.values import Table

if TYPE_CHECKING:
    from amqpbroker.broker.infos import ConsumerInfo
    from amqpbroker.broker.queues.consumer import Consumer
    from amqpbroker.broker.queues.entry import Entry


@mypyc_attr(allow_interpreted_subclasses=True)
class Queue(BindingDestination):
    """A named queue of a vhost. All calls come on the loop's thread and none waits.

    kind: its row of the table of kinds. counts_returns: as in the row, for every delivery. id: names a durable queue in
    the store, 0 for others. owner: the connection that an exclusive queue belongs to. arguments: as declared, unknown
    ones included. effective: the policies in force; the settings have them in. letters: number of messages that came as
    dead letters. redelivered: number of deliveries of messages that had been delivered before.
    """

    counter_names: ClassVar[tuple[str, ...]] = QUEUE_COUNTERS

    def __init__(
        self,
        kind: Kind,
        name: str,
        settings: QueueSettings,
        durable: bool = False,
        auto_delete: bool = False,
        owner: object | None = None,
        arguments: Table | None = None,
    ) -> None:
        super().__init__(name, durable)
        self.sample: Sample | None = None
        self.kind: Kind = kind
        self.counts_returns: bool = kind.counts_returns
        self.settings: QueueSettings = settings
        self.auto_delete: bool = auto_delete
        self.owner: object | None = owner
        self.id: int = 0
        self.arguments: Table = arguments or {}
        self.letters: int = 0
        self.redelivered: int = 0
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

    # --- what every kind of queue does ------------------------------------------------------------------------------
    #
    # `publish` is the first of these (see Destination). A message that it has accepted is in the queue's hands until it
    # is settled, and stored before the call returns if it has to outlive the broker. Between two calls, no message
    # waits that a consumer could take.

    @property
    @abstractmethod
    def ready_count(self) -> int:
        """Number of messages that wait to be delivered: AMQP's message-count."""

    @property
    @abstractmethod
    def unacked_count(self) -> int:
        """Number of messages that are delivered and not settled."""

    @property
    @abstractmethod
    def consumer_list(self) -> "Sequence[Consumer]":
        """All consumers, able to take messages or not, in the order in which they came. Not to be changed."""

    @abstractmethod
    def ready_entries(self) -> "Iterable[Entry]":
        """Return the messages that wait to be delivered, in the order in which they would leave. They stay."""

    @abstractmethod
    def counters(self) -> tuple[int, ...]:
        """Return the present numbers, in the order of `counter_names`. They never go down, except the GAUGES."""

    @abstractmethod
    def info(self) -> QueueInfo:
        """Return the present state of the queue."""

    @abstractmethod
    def add_consumer(self, consumer: "Consumer", held: "Sequence[Entry]" = ()) -> None:
        """Register a consumer; nothing is delivered before `offer`.

        held: entries of a cancelled consumer, in the order of their delivery, which this one has from now on. Raises
        AmqpError 403 if the queue is in exclusive use.
        """

    @abstractmethod
    def remove_consumer(self, consumer: "Consumer", gives_back: bool = False) -> None:
        """Forget a consumer, if it is registered. Messages that it has not settled stay outstanding.

        Deletes an auto-delete queue with its last consumer. gives_back: these messages come back next, and only then,
        with `offer_all`, another consumer gets anything.
        """

    @abstractmethod
    def offer(self, consumer: "Consumer") -> None:
        """Deliver to a consumer that may be able to take messages (again) as many as it can take."""

    @abstractmethod
    def get(self, no_ack: bool) -> "Entry | None":
        """Take the first message for basic.get, None if there is none; with `no_ack` it is settled at once."""

    @abstractmethod
    def ack(self, entry: "Entry") -> None:
        """Settle an outstanding message: the client has processed it, and its copy is gone."""

    @abstractmethod
    def reject(self, entries: "list[Entry]") -> None:
        """Settle outstanding messages without success: they are dead-lettered as rejected, or dropped."""

    @abstractmethod
    def requeue(self, entries: "list[Entry]", failed: bool = True) -> None:
        """Take outstanding messages back from a client, in this order; each goes where it belongs.

        After the deletion of the queue this just drops them. failed: the client failed to process them, rather than
        just giving them back; only some releases of RabbitMQ care.
        """

    @abstractmethod
    def purge(self) -> int:
        """Drop all messages that are not outstanding; return their number."""

    @abstractmethod
    def move(self, destination: "Queue", count: int, size: int) -> int:
        """Give up to `count` ready messages, with about `size` octets of bodies, to another queue, head first.

        To the store, each leaves here and enters there as one thing. Returns how many went, before the other refused or
        nothing was ready.
        """

    @abstractmethod
    def recover(self, copies: Copies) -> None:
        """Take in the stored copies; see Holder."""

    @abstractmethod
    def inherit(self, entries: "list[Entry]") -> None:
        """Take in the messages of the queue that this one replaces, with their places, before anything else.

        entries: the ready ones in the order in which they would leave, then the delayed ones.
        """

    @abstractmethod
    def close(self) -> "Iterable[Consumer]":
        """Drop everything without dead-lettering, because the queue is deleted; return the consumers to be told."""

    @abstractmethod
    def discard(self) -> None:
        """Drop all messages from memory, without changing the store, after the broker has ended."""

    # --- what a kind of queue may do in its own way -----------------------------------------------------------------

    @property
    def delayed_count(self) -> int:
        """Number of returned messages that are delayed before they are ready again."""
        return 0

    def delayed_entries(self) -> "Iterable[Entry]":
        """Return these messages, in no particular order. They stay."""
        return ()

    @property
    def consumer_count(self) -> int:
        """Number of consumers, able to take messages or not."""
        return len(self.consumer_list)

    @property
    def reported_consumer_count(self) -> int:
        """AMQP's consumer-count, as queue.declare-ok has it."""
        return self.consumer_count

    def message_stats(self) -> MessageStats:
        return message_stats(self.counter_names, self.counters())

    def consumer_info(self, consumer: "Consumer") -> "ConsumerInfo":
        """Return the present state of one of its consumers."""
        return consumer.info(True, "up")

    def consumer_infos(self) -> "list[ConsumerInfo]":
        """Return the present state of its consumers, in the order in which they came."""
        return [self.consumer_info(consumer) for consumer in self.consumer_list]

    def offer_all(self, consumers: "Sequence[Consumer]") -> None:
        """Make the same offer to several consumers at once, and to those that waited for `remove_consumer`."""
        for consumer in consumers or self.consumer_list:
            self.offer(consumer)

    def ack_all(self, entries: "list[Entry]") -> None:
        """Settle several messages as `ack` does."""
        for entry in entries:
            self.ack(entry)

    def reclaim(self, entries: "list[Entry]") -> None:
        """Take outstanding messages back from a channel that has ended, all at once."""
        self.requeue(entries)

    def leave(self, entry: "Entry") -> None:
        """Let a message leave whose dead letter is sent."""

    def count_letter(self) -> None:
        """Count a message that comes as a dead letter."""
        self.letters += 1

    def count_redelivery(self) -> None:
        """Count a delivery of a message that had been delivered before."""
        self.redelivered += 1

    def recovered(self) -> None:
        """Start to work after the stored copies were taken in; see Holder."""

    def unreadable(self, error: Exception) -> None:
        """Note that stored messages temporarily cannot be read: they wait until they can."""

    def page_out(self) -> bool:
        """Move some waiting messages out of memory, because it is short; return whether there may be more to move."""
        return False

    def touch(self) -> None:
        """Note that the queue was used (declared): x-expires starts anew."""

    def apply_settings(self, settings: QueueSettings) -> None:
        """Work by new settings from now on (a policy changed); limits trim at once."""
        self.settings = settings
