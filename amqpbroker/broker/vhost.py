"""A virtual host: its exchanges, queues and bindings, and their declaration and deletion.

Callers check permissions; this module checks the restrictions of the objects themselves, with RabbitMQ's error texts. A
change of a durable object is stored first: if that fails, AmqpError 506 is raised and nothing has changed.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

from amqpbroker import errors
from amqpbroker.broker.batches.batches import Batches
from amqpbroker.broker.binding_cleanup import BindingCleanup
from amqpbroker.broker.counters.stats import (
    CHANNEL_COUNTERS,
    CONNECTION_COUNTERS,
    GAUGES,
    VHOST_COUNTERS,
    MessageStats,
    Sample,
    Totals,
    message_stats,
    named,
)
from amqpbroker.broker.counters.totals import BrokerTotals
from amqpbroker.broker.deduplication.options import CHECKS as DEDUPLICATION_ARGUMENTS
from amqpbroker.broker.deduplication.options import exchange_options
from amqpbroker.broker.durable import binding_definition, exchange_definition, is_durable, queue_definition
from amqpbroker.broker.events.events import INTERNAL, Events
from amqpbroker.broker.events.tap import Tap
from amqpbroker.broker.exchanges.deduplicated import TYPE_NAME as DEDUPLICATION_TYPE
from amqpbroker.broker.exchanges.deduplicated import MessageIdFilter
from amqpbroker.broker.exchanges.default import DefaultType
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.exchange import (
    ALTERNATE_EXCHANGE,
    Bindable,
    Binding,
    BindingIdentity,
    Exchange,
    alternate_exchange,
)
from amqpbroker.broker.exchanges.held import HeldMessages
from amqpbroker.broker.exchanges.registry import (
    EXCHANGE_TYPES,
    build_exchange_type,
    known_exchange_types,
    unknown_exchange_type,
)
from amqpbroker.broker.exchanges.removal import Removal
from amqpbroker.broker.exchanges.routing import route
from amqpbroker.broker.jobs.jobs import Jobs
from amqpbroker.broker.jobs.request import REPLY_PREFIX
from amqpbroker.broker.policies.auto_dead_letters import dead_letter_queue, form_of
from amqpbroker.broker.policies.limits import Limits
from amqpbroker.broker.policies.policies import NO_POLICY, Effective, Policies
from amqpbroker.broker.queues.arguments.arguments import QUEUE_TYPE
from amqpbroker.broker.queues.arguments.declaration import check_retry, parse_declaration, queue_settings
from amqpbroker.broker.queues.arguments.equivalence import assert_exchange_equivalent, queue_differences
from amqpbroker.broker.queues.arguments.redeclaration import Redeclaration, redeclaration_mode
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.direct_reply import PSEUDO_QUEUE, DirectReplies
from amqpbroker.broker.queues.host import Host
from amqpbroker.broker.queues.kind import Kind
from amqpbroker.broker.queues.kinds import CLASSIC, CLASSIC_PARTS
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.redrive.redrives import Redrives
from amqpbroker.broker.session import Session
from amqpbroker.broker.storage import Storage
from amqpbroker.broker.tracking.all_trackers import AllTrackers
from amqpbroker.broker.tracking.copy_tracker import NO_TRACKER, CopyTracker
from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.message.message import Message
from amqpbroker.store.definitions.definitions import Definition, QueueDefinition, VhostDefinition
from amqpbroker.store.spill import NO_SPILL, Spill
from amqpbroker.store.store import UNSTORED
from amqpbroker.wire.values import Field, Table, encode_table, longstr

log = logging.getLogger(__name__)

#: Interval of warnings that dead letter queues cannot be created.
WARNING_MS = 60_000

#: Name of the event exchange, which is durable and internal and exists only in the configured vhost.
EVENT_EXCHANGE = "amq.rabbitmq.event"

#: Exchanges that every vhost has from the start, all durable (rabbit_vhost.erl). The trace exchange is internal.
PREDECLARED = (
    ("amq.direct", "direct"),
    ("amq.fanout", "fanout"),
    ("amq.topic", "topic"),
    ("amq.headers", "headers"),
    ("amq.match", "headers"),
    ("amq.rabbitmq.trace", "topic"),
)


class Vhost(Host):
    """One vhost.

    storage: where it keeps its messages. definition: the stored definition, replaced when it changes. route_epoch:
    changes whenever a cached route may have become invalid. remembered: number of routes that its channels cache.
    traffic, byte_totals: counters of its channels and connections. count_exchanges: returns the broker's number of
    exchanges. events: receive the events of creation and deletion. batches, jobs: None without extensions. taps:
    observers; see `Broker.tap`. on_deleted: callbacks by queue, called when the queue is deleted. redrives: the tasks
    that move dead letters back.
    """

    counter_names: ClassVar[tuple[str, ...]] = VHOST_COUNTERS

    def __init__(
        self,
        definition: VhostDefinition,
        clock: Clock,
        storage: Storage,
        direct_replies: DirectReplies,
        config: Config,
        policies: Policies,
        limits: Limits,
        totals: BrokerTotals,
        count_exchanges: Callable[[], int],
        events: Events,
        spill: Spill = NO_SPILL,
    ) -> None:
        name, store, definitions = definition.name, storage.store, storage.definitions
        exchanges: dict[str, Exchange] = {}
        self.batches: Batches | None = None
        self.jobs: Jobs | None = None
        parts: list[CopyTracker] = []
        if config.compat.extensions:
            self.batches = Batches(
                name,
                exchanges,
                self._ignores_rejects,
                self.publish,
                clock,
                store,
                config,
                storage.batch_records,
            )
            parts.append(self.batches)
            self.jobs = Jobs(
                name,
                self._all_queues,
                self._ignores_rejects,
                self.publish,
                clock,
                store,
                config,
                storage.job_records,
            )
            parts.append(self.jobs)
        tracker = AllTrackers(parts) if parts else NO_TRACKER
        super().__init__(name, exchanges, clock, store, definitions, config, totals, events, spill, tracker)
        self.sample: Sample | None = None
        self.storage = storage
        self.definition = definition
        self.direct_replies = direct_replies
        self.policies = policies
        self.limits = limits
        self._count_exchanges = count_exchanges
        self.traffic = Totals(CHANNEL_COUNTERS)
        self.byte_totals = Totals(CONNECTION_COUNTERS)
        self._exclusive: dict[object, dict[Queue, None]] = {}
        self._sweep = BindingCleanup(name, clock, definitions, config.bounds, self._swept)
        self.route_epoch: int = 0
        self.remembered: int = 0
        self.taps: tuple[Tap, ...] = ()
        self.on_deleted: dict[Queue, Callable[[], None]] = {}
        self.redrives = Redrives(name)
        self._next_warning_ms = 0
        default = self.exchanges[""] = Exchange("", DefaultType(self._queue_named), durable=True)
        default.effective = policies.effective(name, "exchange", "")
        for exchange, kind in PREDECLARED:
            internal = exchange == "amq.rabbitmq.trace"
            self._add_exchange(self._make_exchange(exchange, kind, True, False, internal, {}))
        if name == (config.event_exchange_vhost or config.default_vhost):
            self._add_exchange(self._make_exchange(EVENT_EXCHANGE, "topic", True, False, True, {}))

    # --- properties ---------------------------------------------------------------------------------------------------

    @property
    def description(self) -> str:
        return self.definition.description

    @property
    def tags(self) -> tuple[str, ...]:
        return self.definition.tags

    @property
    def default_queue_type(self) -> str:
        """The type of queues that are declared without a type, unless they need another type."""
        return self.definition.default_queue_type or self.config.default_queue_type

    @property
    def protected(self) -> bool:
        """True if the vhost is protected from deletion."""
        return self.definition.protected

    # --- counters -----------------------------------------------------------------------------------------------------

    def counters(self) -> tuple[int, ...]:
        return (*self.traffic.counters(), *self.byte_totals.counters(), *self.gauges())

    def gauges(self) -> tuple[int, int]:
        """Return the number of ready and of unacknowledged messages in all queues of the vhost."""
        queues = self.queues.values()
        return sum([queue.ready_count for queue in queues]), sum([queue.unacked_count for queue in queues])

    def count(self, **counts: int) -> None:
        """Count messages that were handled without a channel, under the names of CHANNEL_COUNTERS."""
        for totals in (self.traffic, self.totals.traffic):
            totals.count(**counts)

    def message_stats(self) -> MessageStats:
        return message_stats(CHANNEL_COUNTERS, self.traffic.counters())

    def queue_totals(self) -> dict[str, int]:
        """Return messages, with delayed ones, messages_ready and messages_unacknowledged of all queues of the vhost."""
        totals = named(GAUGES, self.gauges())
        totals["messages"] += sum([queue.delayed_count for queue in self.queues.values()])
        return totals

    def _queue_named(self, name: str) -> Destination | None:
        queue = self.queues.get(name)
        if queue is None and name.startswith(PSEUDO_QUEUE):
            return self.direct_replies.find(name)
        if queue is None and self.jobs is not None and name.startswith(REPLY_PREFIX):
            return self.jobs.reply_destination(name)
        return queue

    # --- look-ups -----------------------------------------------------------------------------------------------------

    def reply_queue(self) -> Queue:
        """Return a new pseudo queue for a direct reply-to consumer: it is in no table and never holds messages.

        Each call returns a new queue, so that a deleted vhost has no reference cycle.
        """
        return LocalQueue(CLASSIC_PARTS, CLASSIC, self, PSEUDO_QUEUE, QueueSettings())

    def exchange(self, name: str) -> Exchange:
        """Return the exchange. Raises AmqpError 404."""
        exchange = self.exchanges.get(name)
        if exchange is None:
            raise errors.no_exchange(name, self.name)
        return exchange

    def queue(self, name: str, session: object | None) -> Queue:
        """Return the queue. Raises AmqpError 404, or 405 if it is another connection's exclusive queue."""
        queue = self.queues.get(name)
        if queue is None:
            raise errors.no_queue(name, self.name)
        if queue.owner is not None and queue.owner is not session:
            raise errors.queue_locked(name, self.name)
        return queue

    # --- exchanges ----------------------------------------------------------------------------------------------------

    def declare_exchange(
        self,
        name: str,
        kind: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Table,
        *,
        stored_id: int | None = None,
    ) -> Exchange:
        """Declare an exchange, or check that the existing exchange is equivalent. Raises AmqpError 403, 406 or 506.

        stored_id: id of the stored definition that is being restored (0 if the exchange needs no id); None otherwise.
        """
        existing = self.exchanges.get(name)
        kinds = known_exchange_types(self.config.compat) if stored_id is None else EXCHANGE_TYPES
        if kind not in kinds:
            raise unknown_exchange_type(kind)
        if existing is not None:
            assert_exchange_equivalent(
                existing,
                self.name,
                kind=kind,
                durable=durable,
                auto_delete=auto_delete,
                internal=internal,
                arguments=arguments,
                more_arguments=DEDUPLICATION_ARGUMENTS if self.config.compat.extensions else (),
            )
            return existing
        if name.startswith("amq."):
            raise errors.reserved_exchange_name(name)
        limit = self.config.cluster_exchange_limit
        if limit and stored_id is None and self._count_exchanges() >= limit:
            raise errors.cluster_exchange_limit(name, limit)
        if durable:
            self._sweep.remove_stored(True, name)
        exchange = self._make_exchange(name, kind, durable, auto_delete, internal, arguments, kinds)
        if self.config.compat.extensions:
            self._deduplicate(exchange, stored_id is not None)
        held, duplicate_filter = exchange.type.held, exchange.duplicate_filter
        if durable and (held is not None or duplicate_filter is not None):
            identity = stored_id or self.definitions.new_id()
            if held is not None:
                held.id = identity
            if duplicate_filter is not None:
                duplicate_filter.id = identity
        if durable and stored_id is None:
            self.definitions.put(exchange_definition(self.name, exchange))
        self._add_exchange(exchange)
        return exchange

    def _make_exchange(
        self,
        name: str,
        kind: str,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Table,
        kinds: tuple[str, ...] = EXCHANGE_TYPES,
    ) -> Exchange:
        store = self.store if durable else UNSTORED
        exchange_type = build_exchange_type(
            kind,
            arguments,
            self.clock,
            self._release_to(name),
            store,
            self.config.bounds,
            kinds,
            self.config.compat.extensions,
        )
        held = exchange_type.held
        if isinstance(held, HeldMessages):
            held.report_to(self.tracker, self.deferred_free)
        alternate = alternate_exchange(name, self.name, arguments)
        exchange = Exchange(name, exchange_type, durable, auto_delete, internal, arguments, alternate)
        self._apply_to_exchange(exchange, self.policies.effective(self.name, "exchange", name))
        return exchange

    def _deduplicate(self, exchange: Exchange, existing: bool) -> None:
        """Make the exchange drop duplicates if its arguments or its type say so. Raises AmqpError 406.

        existing: a stored definition, which was accepted once: if it is not accepted now, duplicates are not dropped.
        """
        of_type = exchange.type.name == DEDUPLICATION_TYPE
        try:
            options = exchange_options(exchange.name, self.name, exchange.arguments, of_type)
        except errors.AmqpError:
            if existing:
                return
            raise
        if options is not None:
            store = self.store if exchange.durable else UNSTORED
            exchange.duplicate_filter = MessageIdFilter(
                options, self.clock, store, self.publish, self.totals, self.deferred_free, self.config.bounds
            )

    def _add_exchange(self, exchange: Exchange) -> None:
        self.exchanges[exchange.name] = exchange
        self.routes_changed()
        self.events.exchange_created(self.name, exchange)

    def routes_changed(self) -> None:
        """Invalidate the routes that channels cache, because some of them may have changed."""
        self.route_epoch += 1

    def count_remembered(self, change: int) -> None:
        """Add to the number of routes that channels cache; a negative change subtracts."""
        self.remembered += change

    def _release_to(self, name: str) -> Callable[[Message], None]:
        """Return the function that an exchange which holds messages back calls with each message that is due."""

        def release(message: Message) -> None:
            exchange = self.exchanges.get(name)
            if exchange is not None:
                self.publish(message, route(exchange, message, self.exchanges.get).destinations)

        return release

    def delete_exchange(self, name: str, if_unused: bool = False) -> None:
        """Delete an exchange, if it exists, with all its bindings. Raises AmqpError 403, 406 or 506."""
        exchange = self.exchanges.get(name)
        if name == "":
            raise errors.default_exchange_refused()
        if name.startswith("amq."):
            raise errors.system_exchange_deletion_refused(name, self.name)
        if exchange is None:
            return
        if if_unused and exchange.binding_count:
            raise errors.in_use("exchange", name, self.name)
        removal = Removal([], exchange)
        self._unstore(removal)
        self._remove(removal)

    def remove_exchange(self, exchange: Exchange) -> None:
        """Remove an exchange whose creation was undone, so that neither it nor its bindings are stored."""
        self._remove(Removal([], exchange))

    # --- queues -------------------------------------------------------------------------------------------------------

    def declare_queue(
        self,
        name: str,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Table,
        session: object | None = None,
        server_named: bool = False,
        *,
        stored: QueueDefinition | None = None,
        unlimited: bool = False,
    ) -> Queue:
        """Declare a queue, or check that the existing queue is equivalent. Raises AmqpError 405, 406 or 506.

        If the existing queue has other arguments, see `Redeclaration`. An exclusive queue counts as transient, because
        it is deleted with its connection anyway. The caller refuses reserved names; this method accepts them for the
        broker's own queues. stored: the definition that is being restored. unlimited: ignore the queue limits of the
        vhost.
        """
        existing = self.queues.get(name)
        if existing is not None:
            differences = queue_differences(
                existing,
                self.name,
                durable=durable,
                exclusive=exclusive,
                auto_delete=auto_delete,
                arguments=arguments,
                owned=existing.owner is None or existing.owner is session,
                default_queue_type=self.default_queue_type,
                relaxed=self.config.relaxed_redeclaration,
                compat=self.config.compat,
            )
            if differences:
                redeclaration = Redeclaration(existing, self.name, arguments, differences, self.config)
                self._redeclare(existing, redeclaration, session)
            existing.touch()
            self.totals.churn.queue_declared += 1
            return existing
        kind, arguments, settings = parse_declaration(
            name,
            self.name,
            durable=durable,
            exclusive=exclusive,
            auto_delete=auto_delete,
            arguments=arguments,
            default_queue_type=self.default_queue_type,
            server_named=server_named,
            compat=self.config.compat,
            existing=stored is not None,
            check_limits=lambda: None if stored is not None or unlimited else self._check_queue_limits(name),
        )
        effective = self.policies.effective(self.name, kind.name, name)
        if self.config.compat.extensions and stored is None and not unlimited:
            check_retry(name, self.name, arguments, effective.definition)
        if effective is not NO_POLICY:
            settings = self._settings(kind, name, arguments, effective, exclusive)
        if stored is not None and stored.segment_bytes >= 0:
            # The policies may have changed since the declaration.
            settings = replace(settings, segment_bytes=stored.segment_bytes)
        owner = session if exclusive else None
        if durable:
            self._sweep.remove_stored(False, name)
        queue: Queue = kind.make(kind, self, name, settings, durable and not exclusive, auto_delete, owner, arguments)
        queue.effective = effective
        if queue.durable:
            queue.id = self.definitions.new_id() if stored is None else stored.id
            if stored is None:
                self.definitions.put(queue_definition(self.name, queue))
        queue.open_stored()
        self.queues[name] = queue
        self.totals.queues[kind.name].add(queue)
        if stored is None:
            self.totals.churn.queue_declared += 1
            self.totals.churn.queue_created += 1
        if owner is not None:
            self._exclusive.setdefault(owner, {})[queue] = None
        self.events.queue_created(self.name, queue)
        return queue

    def _redeclare(self, queue: Queue, redeclaration: Redeclaration, session: object | None) -> None:
        """Accept a declaration of an existing queue that differs. Raises AmqpError 406 or 506."""
        redeclaration.check()
        changed: tuple[Table, QueueSettings] | None = None
        if redeclaration.changes:
            arguments = redeclaration.arguments()
            changed = arguments, self._settings_of(queue, arguments)
            if queue.durable:
                self.definitions.put(queue_definition(self.name, queue, *changed))
        user = f"user '{self.events.actor}'"
        redeclaration.log(f"{user} on connection {session.name}" if isinstance(session, Session) else user)
        if changed is not None:
            with self.dead_letters:
                queue.declare_again(*changed)

    def redeclaration_mode(self, name: str) -> str | None:
        """Return the mode for declarations of an existing queue, see `Redeclaration`; None without such a queue."""
        queue = self.queues.get(name)
        return None if queue is None else redeclaration_mode(queue, self.config)

    def create_dead_letter_queue(self, queue: Queue) -> bool:
        name = queue.settings.auto_dead_letter_queue
        if name is None:
            return False
        if name in self.queues:
            return True
        before = self.events.actor
        self.events.act_as(INTERNAL)
        try:
            arguments = {QUEUE_TYPE: longstr(queue.kind.name)}
            if queue.kind.counts_returns:
                # Messages that are only looked at, and returned, must not be dropped.
                arguments["x-delivery-limit"] = Field("l", -1)
            self.declare_queue(name, queue.durable, False, False, arguments)
        except errors.AmqpError as error:
            now_ms = self.clock.now_ms()
            if now_ms >= self._next_warning_ms:
                self._next_warning_ms = now_ms + WARNING_MS
                log.warning(
                    "dead letters of queue '%s' in vhost '%s' are dropped, because queue '%s' cannot be created: %s",
                    queue.name,
                    self.name,
                    name,
                    error,
                )
            return False
        finally:
            self.events.act_as(before)
        return True

    def _check_queue_limits(self, name: str) -> None:
        """Check the queue limits. Raises AmqpError 406 if the vhost may have no further queue."""
        self.limits.check_queues(self.name, name, len(self.queues))
        limit = self.config.cluster_queue_limit
        if limit and sum(len(queues.members) for queues in self.totals.queues.values()) >= limit:
            raise errors.cluster_queue_limit(name, limit)

    def delete_queue(
        self,
        queue: Queue,
        if_unused: bool = False,
        if_empty: bool = False,
        answer: Callable[[int], None] | None = None,
    ) -> None:
        """Delete a queue, unless it is deleted already. Its bindings are removed and its consumers are cancelled.

        answer(count): called when the queue is deleted, before its consumers are notified; `count` is the number of
        ready messages that it had, or 0 for a stream. Raises AmqpError 406 if the queue is in use or not empty although
        the caller required that, and 506.
        """
        conditional = not queue.kind.deleted_always
        if if_empty and conditional and queue.ready_count + queue.delayed_count:
            raise errors.queue_not_empty(queue.name, self.name)
        if if_unused and conditional and queue.consumer_count:
            raise errors.in_use("queue", queue.name, self.name)
        count = 0
        consumers: list[Consumer] = []
        if self.queues.get(queue.name) is queue:
            removal = Removal(queue.incoming)
            self._unstore(removal, queue)
            count = queue.ready_count if conditional else 0
            consumers = self._remove_with_bindings(queue, removal)
        if answer is not None:
            answer(count)
        _cancel(consumers)

    def remove_queue(self, queue: Queue, actor: str = "") -> None:
        """Delete a queue that has expired or lost its last user.

        No client waits for the result. If the deletion cannot be stored, that is logged, and the next start restores a
        durable queue without its messages.
        """
        if self.queues.get(queue.name) is not queue:
            return
        removal = Removal(queue.incoming)
        try:
            self._unstore(removal, queue)
        except errors.AmqpError as error:
            log.warning(
                "queue '%s' in vhost '%s' is deleted, but its stored definition cannot be removed: %s",
                queue.name,
                self.name,
                error,
            )
        before = self.events.actor
        self.events.act_as(actor or INTERNAL)
        consumers = self._remove_with_bindings(queue, removal)
        self.events.act_as(before)
        _cancel(consumers)

    def _remove_with_bindings(self, queue: Queue, removal: Removal) -> list[Consumer]:
        """Remove the queue and its bindings. Return the consumers to be cancelled."""
        del self.queues[queue.name]
        if queue.owner is not None:
            owned = self._exclusive[queue.owner]
            del owned[queue]
            if not owned:
                del self._exclusive[queue.owner]
        # RabbitMQ itself is the user in the events of these bindings, regardless of who deletes the queue.
        self._remove(removal, INTERNAL, queue.name)
        return self._close(queue)

    def _close(self, queue: Queue) -> list[Consumer]:
        consumers = list(queue.close())
        on_deleted = self.on_deleted.pop(queue, None)
        if on_deleted is not None:
            on_deleted()
        self.redrives.queue_deleted(queue.name)
        self.totals.queues[queue.kind.name].remove(queue)
        self.totals.churn.queue_deleted += 1
        self.events.queue_deleted(self.name, queue)
        return consumers

    def delete_exclusive_queues(self, session: object) -> None:
        """Delete the exclusive queues of a connection that is closed."""
        for queue in list(self._exclusive.get(session, ())):
            self.remove_queue(queue)

    # --- bindings -----------------------------------------------------------------------------------------------------

    def bind(
        self, source: Exchange, destination: Bindable, routing_key: bytes, arguments: Table, *, stored: bool = False
    ) -> None:
        """Add the binding unless it exists. Raises AmqpError 403 (default exchange), 406 or 506.

        stored: the binding is being restored from the stored definitions.
        """
        if source.name == "" or (isinstance(destination, Exchange) and destination.name == ""):
            raise errors.default_exchange_refused()
        identity = _identity(destination, routing_key, arguments)
        existing = source.bindings.get(identity)
        if existing is not None and existing.lives:
            self.events.binding_created(self.name, existing)  # as RabbitMQ does
            return
        if not stored:
            source.type.validate_binding(routing_key, arguments, self.config.compat)
        if existing is not None:
            self._sweep.finish(existing)
        binding = Binding(source, destination, routing_key, arguments)
        if is_durable(binding) and not stored:
            self.definitions.put(binding_definition(self.name, binding))
        source.bindings[identity] = binding
        destination.incoming[binding] = None
        source.type.bind(binding)
        self.routes_changed()
        self.events.binding_created(self.name, binding)

    def is_bound(self, source: Exchange, destination: Bindable, routing_key: bytes, arguments: Table) -> bool:
        binding = source.bindings.get(_identity(destination, routing_key, arguments))
        return binding is not None and binding.lives

    def unbind(self, source: Exchange, destination: Bindable, routing_key: bytes, arguments: Table) -> None:
        """Remove the binding if it exists; an auto-delete exchange is deleted with its last binding.

        Raises AmqpError 403 (default exchange) or 506.
        """
        if source.name == "" or (isinstance(destination, Exchange) and destination.name == ""):
            raise errors.default_exchange_refused()
        binding = source.bindings.get(_identity(destination, routing_key, arguments))
        if binding is not None and binding.lives:
            removal = Removal([binding])
            self._unstore(removal)
            self._remove(removal)

    # --- removal ------------------------------------------------------------------------------------------------------

    def _unstore(self, removal: Removal, queue: Queue | None = None) -> None:
        """Remove the definitions of everything to be removed, except bindings to be swept. Raises AmqpError 506."""
        gone: list[Definition] = []
        if len(removal.bindings) <= self._sweep.many:
            gone += [binding_definition(self.name, binding) for binding in removal.bindings if is_durable(binding)]
        gone += [exchange_definition(self.name, exchange) for exchange in removal.exchanges if exchange.durable]
        if queue is not None and queue.durable:
            gone.append(queue_definition(self.name, queue))
            gone += queue.stored_offsets()
        if gone:
            self.definitions.remove(*gone)

    def _remove(self, removal: Removal, actor: str | None = None, queue: str | None = None) -> None:
        """Remove exchanges and bindings. Many bindings are swept later, and their events are emitted then.

        actor: see `Events`. queue: name of the queue that is removed too.
        """
        swept = len(removal.bindings) > self._sweep.many
        for exchange in removal.exchanges:
            del self.exchanges[exchange.name]
            # Bindings to be swept stay in the tables until then.
            exchange.closed = True
            exchange.type.close()
            if exchange.duplicate_filter is not None:
                exchange.duplicate_filter.close()
            self.events.exchange_deleted(self.name, exchange, actor)
        if swept:
            names = {(True, exchange.name) for exchange in removal.exchanges}
            if queue is not None:
                names.add((False, queue))
            self._sweep.begin(removal, names, self.events.actor if actor is None else actor)
        else:
            for binding in removal.bindings:
                self._delete_binding(binding, actor)
                if not binding.source.closed:
                    binding.source.type.unbind(binding)
        self.routes_changed()

    def _swept(self, binding: Binding, actor: str) -> None:
        """Remove a swept binding. Exchange types that pick a binding have unbound it already."""
        self._delete_binding(binding, actor)
        if not (binding.source.closed or binding.source.type.picks):
            binding.source.type.unbind(binding)

    def _delete_binding(self, binding: Binding, actor: str | None) -> None:
        destination = binding.destination
        del binding.source.bindings[_identity(destination, binding.routing_key, binding.arguments)]
        destination.incoming.pop(binding, None)
        self.events.binding_deleted(self.name, binding, actor)

    # --- policies -----------------------------------------------------------------------------------------------------

    def apply_policies(self) -> None:
        """Apply the policies that are now in force to every exchange and queue."""
        for exchange in self.exchanges.values():
            effective = self.policies.effective(self.name, "exchange", exchange.name)
            if effective != exchange.effective:
                self._apply_to_exchange(exchange, effective)
                self.routes_changed()
        with self.dead_letters:
            for queue in list(self.queues.values()):
                effective = self.policies.effective(self.name, queue.kind.name, queue.name)
                if effective != queue.effective:
                    queue.effective = effective
                    self._apply_settings(queue)

    def _apply_settings(self, queue: Queue) -> None:
        """Apply the present arguments and policies of a queue."""
        queue.apply_settings(self._settings_of(queue, queue.arguments))

    def _settings_of(self, queue: Queue, arguments: Table) -> QueueSettings:
        """Return the settings of an existing queue with these arguments."""
        return self._settings(queue.kind, queue.name, arguments, queue.effective, queue.owner is not None)

    def _settings(
        self, kind: Kind, name: str, arguments: Table, effective: Effective, exclusive: bool
    ) -> QueueSettings:
        """Return the settings of a queue with these arguments and policies."""
        settings = queue_settings(kind, arguments, effective.definition, self.config.compat)
        form = form_of(effective.definition, self.config.compat)
        # Exclusive queues often have generated names, and their dead letter queues would accumulate.
        if form and settings.dead_letter_exchange is None and not exclusive:
            dead_letters = dead_letter_queue(name, form)
            if dead_letters is None:
                log.warning(
                    "queue '%s' in vhost '%s' has no dead letter queue: its name would be too long, or has line breaks",
                    name,
                    self.name,
                )
            settings = replace(settings, auto_dead_letter_queue=dead_letters)
        return settings

    def _apply_to_exchange(self, exchange: Exchange, effective: Effective) -> None:
        """Apply a policy to an exchange.

        Its own alternate exchange has precedence. The default exchange never has one.
        """
        exchange.effective = effective
        if exchange.name and ALTERNATE_EXCHANGE not in exchange.arguments:
            exchange.alternate = effective.definition.get(ALTERNATE_EXCHANGE)

    def close(self) -> None:
        """Close everything in the vhost, which is deleted already from the definitions.

        The caller closes the connections next; their consumers are cancelled before that, as in RabbitMQ.
        """
        queues, exchanges = list(self.queues.values()), list(self.exchanges.values())
        self.queues.clear()
        self.exchanges.clear()
        self._exclusive.clear()
        self._sweep.stop()
        self.routes_changed()
        # Before the queues, so that these need not report the fate of each message.
        if self.batches is not None:
            self.batches.close()
        if self.jobs is not None:
            self.jobs.close()
        for queue in queues:
            _cancel(self._close(queue))
        for exchange in exchanges:
            exchange.close()
            self.events.exchange_deleted(self.name, exchange)

    def discard(self) -> None:
        """Discard everything from memory, without changing store and definitions, after the broker has ended."""
        self.redrives.discard()
        for queue in self.queues.values():
            queue.discard()
            self.totals.queues[queue.kind.name].remove(queue)
        for exchange in self.exchanges.values():
            if exchange.type.held is not None:
                exchange.type.held.discard()
            if exchange.duplicate_filter is not None:
                exchange.duplicate_filter.discard()
            exchange.close()
        self.queues.clear()
        self.exchanges.clear()
        self._exclusive.clear()
        self.deferred_free.discard()
        if self.batches is not None:
            self.batches.discard()
        if self.jobs is not None:
            self.jobs.discard()
        self.routes_changed()

    def _all_queues(self) -> Mapping[str, Queue]:
        return self.queues

    def _ignores_rejects(self, queue: str) -> bool:
        found = self.queues.get(queue)
        return found is not None and found.settings.ignores_rejects

    # --- publish ------------------------------------------------------------------------------------------------------

    def publish(self, message: Message, destinations: Iterable[Destination]) -> bool:
        """Publish a message to all destinations, and then send the dead letters that result.

        Return False if one refuses it.
        """
        accepted = True
        with self.dead_letters:
            for destination in destinations:
                if not destination.publish(message):
                    accepted = False
        return accepted

    def publish_to(self, queue: str, message: Message) -> None:
        """Publish a message to a queue without an exchange, unless the queue is deleted."""
        destination = self.queues.get(queue)
        if destination is not None:
            self.publish(message, (destination,))


def _cancel(consumers: list[Consumer]) -> None:
    """Notify consumers of their cancellation, in the order of their tags, as RabbitMQ's channels do."""
    for consumer in sorted(consumers, key=lambda consumer: consumer.tag):
        consumer.cancelled()


def _identity(destination: Bindable, routing_key: bytes, arguments: Table) -> BindingIdentity:
    """Return the identity of a binding, by which a source recognises an equal one."""
    sorted_arguments = {name: arguments[name] for name in sorted(arguments)}
    return isinstance(destination, Exchange), destination.name, routing_key, encode_table(sorted_arguments)
