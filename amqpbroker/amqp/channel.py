"""A channel: creates its parts, and represents them to the broker.

The hot path of the protocol is in `publishing` and `unacked`; the other methods are in `methods`.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, final

from amqpbroker.amqp.answers import Answers
from amqpbroker.amqp.channel_context import ChannelContext
from amqpbroker.amqp.client import Client
from amqpbroker.amqp.connection_log import Step, run_all
from amqpbroker.amqp.consumers import ChannelConsumers
from amqpbroker.amqp.delivery import get_ok
from amqpbroker.amqp.heartbeat import Heartbeat
from amqpbroker.amqp.locks import Locks
from amqpbroker.amqp.output import Output
from amqpbroker.amqp.overdue_checks import OverdueChecks
from amqpbroker.amqp.publishing import Publishing
from amqpbroker.amqp.renewal import Renewal
from amqpbroker.amqp.transaction import Transaction
from amqpbroker.amqp.unacked import Unacked
from amqpbroker.amqp.unfinished import Unfinished
from amqpbroker.broker.actions import Actions
from amqpbroker.broker.counters.stats import CHANNEL_COUNTERS, MessageStats, Sample, message_stats
from amqpbroker.broker.infos import ChannelInfo, ConsumerInfo
from amqpbroker.broker.publishing.interceptors import stamped
from amqpbroker.broker.queues.dead_letters.delivery_count import counted
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.session import Session
from amqpbroker.errors import AmqpError

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker


@final
class Channel:
    """One open channel of a connection.

    Each part owns its fields. A part knows the parts created before it, but not the channel.
    """

    counter_names: ClassVar[tuple[str, ...]] = CHANNEL_COUNTERS

    def __init__(
        self,
        broker: "Broker",
        connection: Session,
        client: Client,
        output: Output,
        heartbeat: Heartbeat,
        fail: Callable[[AmqpError, int, int], None],
        number: int,
    ) -> None:
        """fail: closes the channel; its parameters are the error, the channel's number, and the ids of a method, 0 for
        none.
        """
        self.sample: Sample | None = None
        self.broker = broker
        self.connection = connection
        self.client = client
        self.vhost = client.vhost
        self.number: int = number
        self.context = ChannelContext(broker, client, output, number)
        self.answers = Answers(output, self.vhost.store, number, broker.config.bounds)
        self.publishing = Publishing(self.context, self.answers)
        self.unfinished = Unfinished(broker.clock, output)
        self.unacked = Unacked(self.context.counts, self.vhost, self.unfinished)
        self.locks = Locks(broker.clock, self.unacked, broker.config.bounds.departures)
        self.consumers = ChannelConsumers(self.context, self.unacked, self.locks, self.answers)
        self.overdue_checks = OverdueChecks(self.context, self.consumers, heartbeat, fail)
        self.renewal = Renewal(self.context, self.unacked, self.locks)
        if broker.config.compat.extensions:
            self.publishing.accept_renewals(self.renewal)
        self.transaction: Transaction | None = None
        self.last_queue: str = ""
        self.closed: bool = False

    @property
    def name(self) -> str:
        """Name of the connection and number of the channel, as the management API shows them."""
        return self.context.name

    def actions(self) -> Actions:
        """Operations of the channel's user on the vhost, with the user's permissions checked."""
        return Actions(self.vhost, self.client.permissions, self.connection)

    def send(self, name: str, **arguments: object) -> None:
        """Write one method; see `Answers.send`."""
        self.answers.send(name, **arguments)

    def send_when_defined(self, name: str, **arguments: object) -> None:
        """Write one method that reports a change of definitions; see `Answers.send_when_defined`."""
        self.answers.send_when_defined(name, **arguments)

    def send_when_recorded(self, name: str, **arguments: object) -> None:
        """Write one method at once, unless messages that have left their queues are still being recorded as gone.

        In that case it is written once all of them are recorded, and that is synced.
        """
        deferred_free = self.vhost.deferred_free
        if deferred_free.is_recording:
            deferred_free.when_recorded(self.answers.prepare(name, **arguments))
        else:
            self.send(name, **arguments)

    def opened(self) -> None:
        """Count the channel and emit the event `channel.created`. The connection holds the channel until `release`."""
        for totals in (self.vhost.traffic, self.broker.totals.traffic):
            totals.add(self)
        self.broker.totals.churn.count_channel_created()
        self.broker.events.channel_created(self)

    def declared(self, queue: str) -> None:
        """Remember the queue; methods with an empty queue name use it from now on."""
        self.last_queue = queue

    def send_got(self, entry: Entry, no_ack: bool, left: int) -> None:
        """Send basic.get-ok for an entry from a queue that has `left` more ready messages."""
        context, unacked = self.context, self.unacked
        context.counts.count_got(no_ack)
        if no_ack:
            tag = unacked.next_tag()
        else:
            tag = unacked.hold_got(entry)
            self.overdue_checks.watch_got(tag, entry)
        message = entry.message
        if entry.acquired_count:
            context.counts.count_redelivered()
            compat = self.broker.config.compat
            message = counted(message, entry.queue, entry.acquired_count, entry.delivery_count, compat)
        if self.broker.config.tells_sent_time:
            message = stamped(message, self.broker.clock.wall_ms())
        redelivered = entry.acquired_count != 0
        for tap in self.vhost.taps:
            tap.delivered(self.vhost, message, entry.queue.name, redelivered, context.via())
        head = get_ok(message, self.number, tag, redelivered, left)
        context.output.write_content(head, message, self.number)

    # --- transactions
    # ---------------------------------------------------------------------------------------------------

    def select_tx(self) -> None:
        """Begin a transaction: publishes and acknowledgements take effect with the commit."""
        if self.transaction is None:
            self.transaction = Transaction()
            self.publishing.begin_transaction(self.transaction)
            self.unacked.begin_transaction(self.transaction)

    def commit(self, transaction: Transaction) -> None:
        """Apply the transaction. Raises AmqpError, and does nothing, if a part of it would be refused.

        A commit runs in one call on the event loop's thread, and checks with all queues first whether they would refuse
        a part of it. Unlike in RabbitMQ, it is therefore all or nothing across queues.
        """
        publishes, settled = transaction.take(self.vhost, self.client.permissions)
        store = self.vhost.store
        store.begin()
        try:
            for message, destinations, bits, exchange in publishes:
                left = tuple([destination for destination in destinations if not destination.closed])
                self.publishing.place(message, left, bits, self.context.counts.outlet(exchange))
            for entries, how in settled:
                self.unacked.settle([entries[tag] for tag in sorted(entries)], how, together=True)
        finally:
            store.end()

    def roll_back(self, transaction: Transaction) -> None:
        """Discard the publishes. Acknowledged deliveries are outstanding again, under their old delivery tags."""
        back = transaction.rollback()
        self.unacked.restore(back)
        self.overdue_checks.lock_again(back)

    # --- end --------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop deliveries to the channel. On close, all channels of a connection stop before the first `release`.

        Never raises.
        """
        self.closed = True
        self.publishing.stop()
        self.overdue_checks.stop()
        count = len(self.consumers.by_tag)
        emit = partial(self.broker.events.channel_closed, self, count)
        run_all([self.publishing.close_reply, *self.consumers.stop(), emit], self.name)

    def release(self) -> None:
        """Requeue the outstanding deliveries, including those acknowledged in an open transaction. Never raises.

        If the disk fails while one queue requeues its messages, the other queues still requeue theirs.
        """
        self.broker.totals.churn.count_channel_closed()
        steps: list[Step] = [
            self._roll_back,
            partial(self.unacked.release, self.name),
            *self.consumers.release(),
        ]
        steps += [self.publishing.forget_routes, self.context.counts.close_outlets]
        steps += [partial(totals.remove, self) for totals in (self.vhost.traffic, self.broker.totals.traffic)]
        run_all(steps, self.name)

    def _roll_back(self) -> None:
        transaction, self.transaction = self.transaction, None
        if transaction is not None:
            self.roll_back(transaction)

    # --- descriptions for others
    # ----------------------------------------------------------------------------------------

    def counters(self) -> tuple[int, ...]:
        counts, confirms, unacked = self.context.counts, self.answers.confirms, self.unacked
        return (
            counts.published(),
            confirms.acked if confirms is not None else 0,
            counts.returned,
            counts.discarded,
            unacked.delivered,
            unacked.delivery_tag - unacked.delivered - counts.got - counts.got_no_ack - counts.browsed,
            counts.got,
            counts.got_no_ack,
            counts.got_empty,
            counts.redelivered,
            unacked.settled - counts.not_acked + counts.got_acked,
            confirms.published if confirms is not None else 0,
        )

    def message_stats(self) -> MessageStats:
        return message_stats(self.counter_names, self.counters())

    def info(self) -> ChannelInfo:
        client, confirms, transaction, sample = self.client, self.answers.confirms, self.transaction, self.sample
        return ChannelInfo(
            name=self.name,
            number=self.number,
            connection=client.name,
            peer_host=client.peer.host,
            peer_port=client.peer.port,
            user=client.user.name,
            user_who_performed_action=client.user.name,
            vhost=self.vhost.name,
            state="flow" if self.context.output.status.state.outrun else "running",
            confirm=confirms is not None,
            transactional=transaction is not None,
            consumer_count=len(self.consumers.by_tag),
            prefetch_count=self.consumers.prefetch,
            global_prefetch_count=self.unacked.global_prefetch,
            messages_unacknowledged=len(self.unacked.entries),
            messages_unconfirmed=confirms.unconfirmed if confirms is not None else 0,
            messages_uncommitted=transaction.uncommitted if transaction is not None else 0,
            acks_uncommitted=transaction.acks_uncommitted if transaction is not None else 0,
            message_stats=self.message_stats(),
            idle_since=None if sample is None else sample.idle_since,
            counted=self,
            user_provided_name=client.given_name,
        )

    def consumer_infos(self) -> list[ConsumerInfo]:
        return self.consumers.infos()
