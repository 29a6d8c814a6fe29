"""The queue interface, for queues of any kind. Modules outside of `queues` depend on this interface only."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mypy_extensions import mypyc_attr

from amqpbroker.broker.counters.stats import QUEUE_COUNTERS, MessageStats, Sample, message_stats
from amqpbroker.broker.exchanges.destination import BindingDestination, Destination
from amqpbroker.broker.infos import QueueInfo
from amqpbroker.broker.policies.policies import NO_POLICY, Effective, Policy
from amqpbroker.broker.queues.arguments.difference import Difference
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.groups.stopped_group import StoppedGroup
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.store.recovered import Copies
from amqpbroker.wire.values import Table

if TYPE_CHECKING:
    from amqpbroker.broker.infos import ConsumerInfo
    from amqpbroker.broker.queues.consumer import Consumer
    from amqpbroker.broker.queues.entry import Entry
    from amqpbroker.broker.queues.streams.offset import Start
    from amqpbroker.message.message import Message
    from amqpbroker.store.definitions.definitions import StreamOffsetDefinition


@mypyc_attr(allow_interpreted_subclasses=True)
class Queue(BindingDestination):
    """A named queue of a vhost. All calls are made on the event loop's thread and none of them blocks.

    kind: its row of the table of kinds. counts_returns: the number of earlier
    deliveries is shown to consumers, because the kind counts them or they are limited. id: the id of a durable
    queue in the store, 0 for others. owner: the connection that an exclusive queue belongs to. arguments: as declared,
    unknown ones included. segment_bytes: size of a stream's segments, by its last declaration and the policies at that
    time. effective: the policies in force, which the settings include. letters: number of messages
    that arrived as dead letters. redelivered: number of deliveries of messages that had been delivered before.
    deduplicated: number of messages that were dropped as duplicates. replaced: number of messages that newer ones
    replaced. timed_out: number of deliveries that were not
    settled in time. differences: from declarations that were accepted although they differ, without changing the queue.
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
        self.counts_returns: bool = kind.counts_returns or settings.delivery_limit >= 0
        self.settings: QueueSettings = settings
        self.auto_delete: bool = auto_delete
        self.owner: object | None = owner
        self.id: int = 0
        self.arguments: Table = arguments or {}
        self.segment_bytes: int = settings.segment_bytes
        self.letters: int = 0
        self.redelivered: int = 0
        self.deduplicated: int = 0
        self.replaced: int = 0
        self.timed_out: int = 0
        self.effective: Effective = NO_POLICY
        self.differences: tuple[Difference, ...] = ()

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
        """The merged definition of both policies."""
        return self.effective.definition

    # --- operations of every kind of queue ----------------------------------------------------------------------------
    #
    # `publish` is the first of these (see Destination). The queue is responsible for an accepted message until it is
    # settled, and stores it before the call returns if it must survive a restart. Between two calls, no message waits
    # that a consumer could take.

    @property
    @abstractmethod
    def ready_count(self) -> int:
        """The number of messages that wait to be delivered: AMQP's message-count."""

    @property
    @abstractmethod
    def unacked_count(self) -> int:
        """The number of messages that are delivered and not settled."""

    @property
    @abstractmethod
    def consumer_list(self) -> "Sequence[Consumer]":
        """All consumers, able to take messages or not, in the order in which they were added.

        Callers must not change the list.
        """

    @abstractmethod
    def ready_entries(self) -> "Iterable[Entry]":
        """Return the waiting messages in the order in which they would leave, without removing them."""

    @abstractmethod
    def counters(self) -> tuple[int, ...]:
        """Return the current numbers, in the order of `counter_names`. They never decrease, except the GAUGES."""

    @abstractmethod
    def info(self) -> QueueInfo:
        """Return the present state of the queue."""

    @abstractmethod
    def add_consumer(self, consumer: "Consumer", held: "Sequence[Entry]" = ()) -> None:
        """Register a consumer; nothing is delivered before `offer`.

        held: entries of a cancelled consumer, in the order of their delivery, which this consumer holds from now on.
        Raises AmqpError 403 if the queue is in exclusive use.
        """

    @abstractmethod
    def remove_consumer(self, consumer: "Consumer", gives_back: bool = False) -> None:
        """Remove a consumer, if it is registered. Messages that it has not settled stay unacknowledged.

        Deletes an auto-delete queue with its last consumer. gives_back: the caller requeues these messages next, and
        other consumers get messages only after that, by `offer_all`.
        """

    @abstractmethod
    def offer(self, consumer: "Consumer") -> None:
        """Deliver to a consumer that may be able to take messages (again) as many as it can take."""

    @abstractmethod
    def get(self, no_ack: bool) -> "Entry | None":
        """Remove and return the first message for basic.get. With `no_ack` it is settled at once.

        Return None if there is none, or while `is_behind`.
        """

    @abstractmethod
    def ack(self, entry: "Entry") -> None:
        """Settle an unacknowledged message, which the client has processed, and remove its copy."""

    @abstractmethod
    def reject(self, entries: "list[Entry]") -> None:
        """Settle unacknowledged messages that the client rejects: they are dead-lettered as rejected, or dropped."""

    @abstractmethod
    def requeue(self, entries: "list[Entry]", failed: bool = True) -> None:
        """Requeue unacknowledged messages of a client, in this order; each returns to its position.

        If the queue is deleted, the messages are dropped. failed: the client failed to process them, rather than only
        returning them; the difference matters in some releases of RabbitMQ only.
        """

    @abstractmethod
    def purge(self) -> int:
        """Drop all messages that are not unacknowledged; return their number."""

    @abstractmethod
    def move(self, destination: "Queue", count: int, size: int) -> int:
        """Move up to `count` ready messages, with about `size` bytes of bodies, to another queue, head first.

        To the store, leaving this queue and entering the other is one operation. Return the number of moved messages;
        the move ends when the other queue refuses a message or nothing is ready. It moves nothing while `is_behind`.
        """

    @abstractmethod
    def recover(self, copies: Copies) -> None:
        """Recover the stored copies; see Holder."""

    @abstractmethod
    def inherit(self, entries: "list[Entry]", delayed: "Sequence[tuple[int, Entry]]" = ()) -> None:
        """Take over the messages of the queue that this one replaces, with their positions, before any other message.

        entries: the ready ones in the order in which they would leave. delayed: as in `delayed_entries`. The
        caller then calls `recovered`.
        """

    @abstractmethod
    def close(self) -> "Iterable[Consumer]":
        """Discard everything without dead-lettering, because the queue is deleted. Return the consumers to notify."""

    @abstractmethod
    def discard(self) -> None:
        """Discard all messages from memory, without changing the store, after the broker has ended."""

    # --- operations that a kind of queue may override -----------------------------------------------------------------

    @property
    def delayed_count(self) -> int:
        """The number of messages that are delayed before they are ready, such as returned ones."""
        return 0

    def delayed_entries(self) -> "Iterable[tuple[int, Entry]]":
        """Return the delayed messages and their due times, by the wall clock, without removing them.

        They are in no particular order.
        """
        return ()

    def delayed_entry(self, sequence: int) -> "tuple[int, Entry] | None":
        """Return the delayed message with that sequence number, and its due time by the wall clock.

        None if there is none. Raises UnreadableError.
        """
        return None

    def ready_following(self, place: int, count: int) -> "list[tuple[int, Entry]]":
        """Return up to `count` ready messages behind a place, with their places; see `ReadyLine.following`."""
        return []

    def offset_from(self, start: "Start") -> int | None:
        """Return the offset of the first message to read from `start` on; None for a queue without offsets.

        A place for `ready_following` is such an offset. Raises UnreadableError.
        """
        return None

    def delayed_following(self, due_ms: int, sequence: int, count: int) -> "list[tuple[int, Entry]]":
        """Return up to `count` delayed messages behind one that is due then, and their due times, by the wall clock.

        Nothing is changed. Raises UnreadableError.
        """
        return []

    def parked_following(self, sequence: int, count: int) -> "list[Entry]":
        """Return up to `count` ready messages of parked message groups with higher sequence numbers, in their order.

        Nothing is changed. Raises UnreadableError.
        """
        return []

    def stopped_group(self, message: "Message") -> StoppedGroup | None:
        """Return the message group that the message has, or would have, if that has stopped."""
        return None

    def group_holding(self, message: "Message") -> str:
        """Return the state of a ready message's group if the message waits for others of it, otherwise "".

        It is parked, closed, busy (one of them is delivered) or waiting (one of them is delayed).
        """
        return ""

    @property
    def newest(self) -> int:
        """The highest sequence number of a message so far."""
        return 0

    def ready_entry(self, sequence: int) -> "Entry | None":
        """Return the ready message with that sequence number, None if there is none. Raises UnreadableError."""
        return None

    def remove_ready(self, sequence: int, checksum: int) -> bool:
        """Remove a ready message for good, without dead-lettering it; return whether it was there and was removed.

        checksum: of the message (`content_checksum`). A message with another content stays. Raises
        UnreadableError.
        """
        return False

    def move_ready(self, entry: "Entry", message: "Message", destinations: Sequence[Destination]) -> bool:
        """Move a message that `ready_following` returned to destinations that do not refuse it, as `message`.

        To the store, leaving this queue and entering the others is one operation. Return whether the message was still
        ready. Raises UnreadableError.
        """
        return False

    @property
    def is_behind(self) -> bool:
        """Return whether messages at the head have expired, and are removed in the next event loop iterations.

        Meanwhile `get` and `move` find no message, although others may wait behind them.
        """
        return False

    @property
    def consumer_count(self) -> int:
        """The number of consumers, able to take messages or not."""
        return len(self.consumer_list)

    @property
    def reported_consumer_count(self) -> int:
        """AMQP's consumer-count, as in queue.declare-ok."""
        return self.consumer_count

    def message_stats(self) -> MessageStats:
        return message_stats(self.counter_names, self.counters())

    def consumer_info(self, consumer: "Consumer") -> "ConsumerInfo":
        """Return the present state of one of its consumers."""
        return consumer.info(True, "up")

    def consumer_infos(self) -> "list[ConsumerInfo]":
        """Return the present state of its consumers, in the order in which they were added."""
        return [self.consumer_info(consumer) for consumer in self.consumer_list]

    def offer_all(self, consumers: "Sequence[Consumer]") -> None:
        """Offer messages to several consumers at once, and to those that waited for `remove_consumer`."""
        for consumer in consumers or self.consumer_list:
            self.offer(consumer)

    def ack_all(self, entries: "list[Entry]") -> None:
        """Settle several messages, like `ack`."""
        for entry in entries:
            self.ack(entry)

    def returns_in_place(self, failed: bool) -> bool:
        """Return whether messages that a client returns now become ready at their old places at once.

        failed: as in `requeue`.
        """
        return False

    def ranked(self, entries: "list[Entry]") -> "list[Entry]":
        """Sort unacknowledged messages into the order in which they are settled if they are settled together."""
        return entries

    def reclaim(self, entries: "list[Entry]") -> None:
        """Requeue all unacknowledged messages of a channel that has ended."""
        self.requeue(entries)

    def create_dead_letter_queue(self) -> bool:
        """Create the queue that gets its dead letters if it has no dead letter exchange, unless that queue exists.

        Return False if there is no such queue.
        """
        return False

    def leave(self, entry: "Entry") -> None:
        """Remove a message whose dead letter is sent."""

    def dropped(self, entry: "Entry") -> None:
        """Record that a length limit removes a message, whose group may have waited for it."""

    def retain(self, entry: "Entry", reason: str) -> None:
        """Keep a message that was to leave for this reason, because no queue takes its dead letter any more."""

    def count_letter(self, message: "Message") -> None:
        """Count a message that arrives as a dead letter."""
        self.letters += 1

    def count_redelivery(self) -> None:
        """Count a delivery of a message that had been delivered before."""
        self.redelivered += 1

    def count_timed_out(self, count: int) -> None:
        """Count deliveries that were not settled in time."""
        self.timed_out += count

    def open_stored(self) -> None:
        """Prepare what the kind of queue stores for itself. Called once, when the queue has its id.

        Raises StoreError.
        """

    def stored_offsets(self) -> "list[StreamOffsetDefinition]":
        """Return the definitions that are removed together with that of the queue."""
        return []

    def recovered(self) -> None:
        """Start to work after the stored copies are recovered; see Holder."""

    def page_out(self) -> bool:
        """Move some waiting messages out of memory, because it is low; return whether there may be more to move."""
        return False

    def touch(self) -> None:
        """Note that the queue was used (declared): the period of x-expires starts anew."""

    def record_differences(self, differences: "tuple[Difference, ...]") -> None:
        """Replace the recorded differences."""
        self.differences = differences

    def declare_again(self, arguments: Table, settings: QueueSettings) -> None:
        """Replace the arguments by those of another declaration, and use the settings that result."""
        self.arguments = arguments
        self.segment_bytes = settings.segment_bytes
        self.apply_settings(settings)

    def apply_settings(self, settings: QueueSettings) -> None:
        """Use new settings from now on, because a policy or an argument changed; limits are enforced at once."""
        self.settings = settings
        self.counts_returns = self.kind.counts_returns or settings.delivery_limit >= 0
        for consumer in self.consumer_list:
            consumer.settings_changed()
