"""The broker: its vhosts, its users, and the state that all of them share."""

import base64
import logging
import secrets
from collections.abc import Iterable
from typing import ClassVar

from amqpbroker import errors
from amqpbroker.broker.alarms import Alarms
from amqpbroker.broker.batches.batches import Batches
from amqpbroker.broker.batches.records import BatchRecords
from amqpbroker.broker.counters.rates import Rates
from amqpbroker.broker.counters.stats import (
    BROKER_COUNTERS,
    STORE_COUNTERS,
    MessageStats,
    Sample,
    message_stats,
    summed,
)
from amqpbroker.broker.counters.totals import BrokerTotals
from amqpbroker.broker.elsewhere import NOWHERE, Elsewhere
from amqpbroker.broker.events.tap import Tap
from amqpbroker.broker.jobs.jobs import Jobs
from amqpbroker.broker.jobs.records import JobRecords
from amqpbroker.broker.policies.limits import MAX_CONNECTIONS, MAX_QUEUES, VHOST_LIMITS, Limits, VhostLimitParameters
from amqpbroker.broker.policies.parameters import GlobalParameters, Parameters
from amqpbroker.broker.policies.policies import OPERATOR_POLICY, POLICY, Policies, Policy, PolicyParameters
from amqpbroker.broker.publishing.interceptors import interceptor
from amqpbroker.broker.queues.deduplicating_queue import DeduplicatingQueue
from amqpbroker.broker.queues.direct_reply import DirectReplies
from amqpbroker.broker.queues.group_queue import GroupQueue
from amqpbroker.broker.queues.kinds import KINDS, policy_keys
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.restore import restore
from amqpbroker.broker.session import Session, Synced
from amqpbroker.broker.shovels.shovels import SHOVEL, Shovels
from amqpbroker.broker.slices import Slices
from amqpbroker.broker.system_exchanges.event_exchange import EventExchange
from amqpbroker.broker.system_exchanges.firehose import Tracing
from amqpbroker.broker.users.logins import Logins
from amqpbroker.broker.users.users import EVERYTHING, Users
from amqpbroker.broker.vhost import Vhost
from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.patterns import Pattern
from amqpbroker.store.definitions.definitions import (
    Definitions,
    MemoryDefinitions,
    PermissionDefinition,
    VhostDefinition,
)
from amqpbroker.store.record import BATCHES_ID, JOBS_ID
from amqpbroker.store.spill import NO_SPILL, Spill
from amqpbroker.store.store import Holder, Store
from amqpbroker.store.taken_id import IdKeeper

log = logging.getLogger(__name__)

#: Bytes of a content header frame other than its properties: frame header and end, class, weight and body size.
CONTENT_HEAD = 20


class Broker:
    """One broker node.

    Its caller feeds connections, runs the clock, and calls `sync` at the end of each loop iteration.

    A broker restores the content of `definitions`. If they are blank, it creates the vhost and the users of the
    configuration, unless definitions are to be imported and the configuration names neither. totals: counters of the
    whole broker. taps: observers of all vhosts. lost_ids: ids of durable queues and exchanges that could not be
    restored, and of the batches and jobs without extensions; their messages and records are retained. slices: time
    limits for the methods of each client.
    """

    counter_names: ClassVar[tuple[str, ...]] = BROKER_COUNTERS

    def __init__(
        self,
        config: Config,
        clock: Clock,
        store: Store,
        definitions: Definitions | None = None,
        spill: Spill = NO_SPILL,
    ) -> None:
        self.sample: Sample | None = None
        self.config = config
        self.clock = clock
        self.slices = Slices()
        self.store = store
        self._spill = spill
        self.definitions = definitions or MemoryDefinitions()
        self.vhosts: dict[str, Vhost] = {}
        self.elsewhere: Elsewhere = NOWHERE
        self._batches: dict[str, Batches] = {}
        self.batch_records = BatchRecords(self._batches)
        self._jobs: dict[str, Jobs] = {}
        self.job_records = JobRecords(self._jobs)
        largest = (config.frame_max or 1 << 32) - CONTENT_HEAD
        self.events = EventExchange(
            self.vhosts, config.event_exchange_vhost or config.default_vhost, config.cluster_name, clock, largest
        )
        self.users = Users(
            config.loopback_users,
            self._on_permissions,
            self.definitions,
            self._on_user_deleted,
            self.events,
            config.bounds.permissions,
        )
        self.direct_replies = DirectReplies(config.cluster_name, clock.now_ms() // 1000)
        self.taps: tuple[Tap, ...] = ()
        self.tracing = Tracing(self.tap, self.untap, config.cluster_name, largest)
        self.policies = Policies(self.definitions, self.vhosts, policy_keys(config.compat), self.events)
        self.limits = Limits(
            self.definitions, self.users, config.cluster_name, config.channel_max_per_node, self.events
        )
        self.shovels = Shovels(self.definitions, self.users, self.vhosts, config.shovel_predeclared, self.events)
        self.parameters = Parameters(
            {
                POLICY: PolicyParameters(self.policies, operator=False),
                OPERATOR_POLICY: PolicyParameters(self.policies, operator=True),
                VHOST_LIMITS: VhostLimitParameters(self.limits),
                SHOVEL: self.shovels,
            }
        )
        self.global_parameters = GlobalParameters(self.definitions, self.events)
        self.sessions: dict[Session, None] = {}
        self.awaiting_sync: dict[Synced, None] = {}
        self.totals = BrokerTotals([kind.name for kind in KINDS.values()])
        self.logins = Logins(self.users, clock, self.totals.auth_attempts, config.bounds.guesses)
        self.rates = Rates(self, config.collect_statistics_interval_ms, config.bounds)
        self.alarms = Alarms(config.cluster_name, self._on_alarms, self.events)
        self.intercept = interceptor(config, clock)
        store.watch(self._on_synced)
        self.lost_ids: frozenset[int] = restore(self)
        if not config.compat.extensions:
            self.lost_ids |= {BATCHES_ID, JOBS_ID}
        if self.blank and (config.defaults_given or not config.definitions.paths):
            with self.definitions.transaction():
                self.add_default_vhost()
                self.add_default_users()
                self.permit_default_users()
        self.events.start()

    # --- defaults of a blank broker -----------------------------------------------------------------------------------

    @property
    def blank(self) -> bool:
        """Return whether there is no vhost and no user.

        Objects that an administrator has deleted are not created again.
        """
        return not self.vhosts and not self.users.list_users()

    def add_default_vhost(self) -> None:
        """Add the vhost of the configuration."""
        self.add_vhost(self.config.default_vhost, "Default virtual host")

    def add_default_users(self) -> None:
        """Add the users of the configuration, without permissions."""
        for user in self.config.default_users:
            self.users.add_user(user.name, user.password, user.tags)

    def permit_default_users(self) -> None:
        """Grant the configured permissions to default users who have none, in the vhosts of their patterns."""
        for user in self.config.default_users:
            if self.users.has(user.name) and not self.users.list_permissions(user.name):
                self.users.permit_default(user, self.vhosts)

    @property
    def cluster_name(self) -> str:
        """The cluster name: the global parameter, or else the name of the configuration."""
        name = self.global_parameters.value("cluster_name", self.config.cluster_name)
        return name if isinstance(name, str) else self.config.cluster_name

    # --- vhosts -------------------------------------------------------------------------------------------------------

    def add_vhost(
        self,
        name: str,
        description: str = "",
        tags: Iterable[str] = (),
        default_queue_type: str | None = None,
        protected: bool = False,
        maker: str | None = None,
    ) -> Vhost:
        """Return the vhost of that name, and create it if it does not exist.

        default_queue_type: None for the configured type. maker: user who gets all permissions in a new vhost. A new
        vhost gets the limits and operator policies that are configured for it. Raises ValueError if the queue type is
        unknown or the maximum number of vhosts is reached, and AmqpError 506.
        """
        vhost = self.vhosts.get(name)
        if vhost is None:
            if 0 < self.config.vhost_max <= len(self.vhosts):
                raise ValueError(f"cannot create vhost '{name}': vhost limit of {self.config.vhost_max} is reached")
            queue_type = self.config.default_queue_type if default_queue_type is None else default_queue_type
            definition = VhostDefinition(name, description, tuple(tags), _checked_queue_type(queue_type), protected)
            try:
                with self.definitions.transaction():
                    self.definitions.put(definition)
                    vhost = self.restore_vhost(definition)
                    self._add_vhost_defaults(name)
                    if maker is not None:
                        self.definitions.put(PermissionDefinition(maker, name, *EVERYTHING))
            except BaseException:
                self.vhosts.pop(name, None)
                self._batches.pop(name, None)
                self._jobs.pop(name, None)
                self._vhost_deleted(name)
                raise
            self.events.vhost_created(vhost, name in self.tracing)
            if maker is not None:
                self.users.permit_everything(maker, name)
        return vhost

    def _add_vhost_defaults(self, vhost: str) -> None:
        """Set the first matching configured limits, and all operator policies (rabbit_db_vhost_defaults.erl)."""
        for limits in self.config.default_limits:
            if Pattern(limits.pattern).found_in(vhost):
                given = {MAX_CONNECTIONS: limits.max_connections, MAX_QUEUES: limits.max_queues}
                self.limits.replace_vhost(vhost, {name: value for name, value in given.items() if value is not None})
                break
        for policy in self.config.default_operator_policies:
            if Pattern(policy.vhost_pattern).found_in(vhost):
                definition = dict(policy.definition)
                self.policies.put(Policy(vhost, policy.name, policy.queue_pattern, definition, operator=True))

    def update_vhost(
        self,
        name: str,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        default_queue_type: str | None = None,
        protected: bool | None = None,
    ) -> None:
        """Change each property that is not None. Raises LookupError, ValueError, AmqpError 506."""
        vhost = self._existing_vhost(name)
        old = vhost.definition
        definition = VhostDefinition(
            name,
            old.description if description is None else description,
            old.tags if tags is None else tuple(tags),
            old.default_queue_type if default_queue_type is None else _checked_queue_type(default_queue_type),
            old.protected if protected is None else protected,
        )
        self.definitions.put(definition)
        vhost.definition = definition
        self.events.vhost_updated(vhost, name in self.tracing)

    def restore_vhost(self, definition: VhostDefinition) -> Vhost:
        """Restore a vhost from its stored definition."""
        vhost = Vhost(
            definition,
            self.clock,
            self.store,
            self.definitions,
            self.direct_replies,
            self.config,
            self.policies,
            self.limits,
            self.totals,
            self._count_exchanges,
            self.events,
            self._spill,
            self.batch_records,
            self.job_records,
        )
        if vhost.batches is not None:
            self._batches[definition.name] = vhost.batches
        if vhost.jobs is not None:
            self._jobs[definition.name] = vhost.jobs
        vhost.taps = self.taps
        self.vhosts[definition.name] = vhost
        return vhost

    def _count_exchanges(self) -> int:
        return sum(len(vhost.exchanges) for vhost in self.vhosts.values())

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost with its queues, exchanges, permissions, policies and limits, and close its connections.

        Raises LookupError, ValueError if the vhost is protected, and AmqpError 506, after which nothing has changed.
        """
        vhost = self._existing_vhost(name)
        if vhost.protected:
            raise ValueError(f"Refusing to delete virtual host '{name}' because it is protected from deletion")
        self.definitions.remove_vhost(name)
        del self.vhosts[name]
        self._batches.pop(name, None)
        self._jobs.pop(name, None)
        self._vhost_deleted(name)
        vhost.close()
        log.info("vhost '%s' is deleted", name)
        self.events.vhost_deleted(vhost)
        for session in list(self.sessions):
            if session.vhost is vhost:
                session.force_close(errors.vhost_deleted(name))

    def _vhost_deleted(self, name: str) -> None:
        for holder in (self.users, self.policies, self.limits, self.shovels, self.tracing):
            holder.vhost_deleted(name)

    def _existing_vhost(self, name: str) -> Vhost:
        if name not in self.vhosts:
            raise LookupError(f"vhost '{name}' does not exist")
        return self.vhosts[name]

    def counters(self) -> tuple[int, ...]:
        totals, store = self.totals, self.store
        return (*totals.traffic.counters(), *totals.byte_totals.counters(), *self.gauges(), store.loaded, store.stored)

    def gauges(self) -> tuple[int, int]:
        """Return the number of ready and of unacknowledged messages in all queues."""
        ready, unacked = summed((0, 0), [vhost.gauges() for vhost in self.vhosts.values()])
        return ready, unacked

    def message_stats(self) -> MessageStats:
        totals, store = self.totals.traffic, self.store
        names = (*totals.counter_names, *STORE_COUNTERS)
        return message_stats(names, (*totals.counters(), store.loaded, store.stored))

    def queues(self) -> list[Queue]:
        return [queue for vhost in self.vhosts.values() for queue in vhost.queues.values()]

    def holders(self) -> dict[int, Holder]:
        """Return the owners of stored messages by id: durable queues, and durable exchanges that hold messages back."""
        found: dict[int, Holder] = {}
        for vhost in self.vhosts.values():
            held = [exchange.type.held for exchange in vhost.exchanges.values()]
            for holder in (*vhost.queues.values(), *held):
                if holder is not None and holder.id:
                    found[holder.id] = holder
        return found

    def id_keepers(self) -> dict[int, IdKeeper]:
        """Return the owners of id records by id: durable queues and exchanges that drop duplicates, queues with groups,
        the batches and the jobs.
        """
        found: dict[int, IdKeeper] = {}
        if self.config.compat.extensions:
            found[BATCHES_ID] = self.batch_records
            found[JOBS_ID] = self.job_records
        for vhost in self.vhosts.values():
            for queue in vhost.queues.values():
                if queue.id and isinstance(queue, DeduplicatingQueue | GroupQueue):
                    found[queue.id] = queue
            for exchange in vhost.exchanges.values():
                if exchange.gate is not None and exchange.gate.id:
                    found[exchange.gate.id] = exchange.gate
        return found

    def vhost(self, name: str) -> Vhost:
        """Return the vhost. Raises AmqpError 530 if it does not exist."""
        vhost = self.vhosts.get(name)
        if vhost is None:
            raise errors.vhost_not_found(name)
        return vhost

    # --- observers ----------------------------------------------------------------------------------------------------

    def tap(self, tap: Tap, vhost: Vhost | None = None) -> None:
        """Add an observer of one vhost, or of all present and future vhosts. It sees open channels too, from now on."""
        if vhost is None:
            self.taps += (tap,)
        for tapped in self._tapped(vhost):
            self._set_taps(tapped, (*tapped.taps, tap))

    def untap(self, tap: Tap, vhost: Vhost | None = None) -> None:
        """Remove an observer that `tap` added with the same arguments."""
        if vhost is None:
            self.taps = tuple([each for each in self.taps if each is not tap])
        for tapped in self._tapped(vhost):
            self._set_taps(tapped, tuple([each for each in tapped.taps if each is not tap]))

    def publish_pending(self) -> None:
        """Publish the events and traces that would be published in the next event loop iteration."""
        self.events.publish_pending()
        self.tracing.publish_pending()

    def _tapped(self, vhost: Vhost | None) -> list[Vhost]:
        return list(self.vhosts.values()) if vhost is None else [vhost]

    def _set_taps(self, vhost: Vhost, taps: tuple[Tap, ...]) -> None:
        vhost.taps = taps
        # Channels publish along cached routes without calling taps, so the caches are cleared.
        vhost.routes_changed()

    # --- effects of changes -------------------------------------------------------------------------------------------

    def _on_permissions(self, vhost: str) -> None:
        """Invalidate the permissions that channels cache for this vhost, because they have changed."""
        if vhost in self.vhosts:
            self.vhosts[vhost].routes_changed()

    def _on_user_deleted(self, name: str) -> None:
        for session in list(self.sessions):
            if session.user.name == name:
                session.force_close(errors.user_deleted(name))

    def _on_alarms(self) -> None:
        for session in list(self.sessions):
            session.alarms_changed()

    def _on_synced(self) -> None:
        waiting, self.awaiting_sync = self.awaiting_sync, {}
        for session in waiting:
            session.synced()

    def discard(self) -> None:
        """Discard all vhosts and messages from memory, without changing the store, after the broker has ended.

        A test that still refers to the broker then holds little memory, and the reference cycles between messages and
        their queues are broken.
        """
        for vhost in self.vhosts.values():
            vhost.discard()
        self.vhosts.clear()
        self._batches.clear()
        self._jobs.clear()
        self.awaiting_sync.clear()

    def sync(self) -> None:
        """End an event loop iteration: appended records become durable, now or soon."""
        self.slices.renew()
        self.store.sync()


def _checked_queue_type(name: str) -> str:
    """Return a default queue type as it is stored: empty for the configured one. Raises ValueError."""
    if name not in (*KINDS, "undefined", ""):
        raise ValueError(f"Unsupported queue type '{name}'")
    return "" if name == "undefined" else name


def generated_name(prefix: str) -> str:
    """Return a server-generated name, such as `amq.gen-` and 22 characters (rabbit_guid:string/2)."""
    return prefix + base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
