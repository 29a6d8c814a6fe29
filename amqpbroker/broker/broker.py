"""The broker: its vhosts, its users, and the state that all of them share."""

import base64
import logging
import secrets
from collections.abc import Iterable
from typing import ClassVar

from amqpbroker import errors
from amqpbroker.broker.alarms import Alarms
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
from amqpbroker.broker.events.tap import Tap
from amqpbroker.broker.policies.limits import MAX_CONNECTIONS, MAX_QUEUES, VHOST_LIMITS, Limits, VhostLimitParameters
from amqpbroker.broker.policies.parameters import GlobalParameters, Parameters
from amqpbroker.broker.policies.policies import OPERATOR_POLICY, POLICY, Policies, Policy, PolicyParameters
from amqpbroker.broker.publishing.interceptors import interceptor
from amqpbroker.broker.queues.direct_reply import DirectReplies
from amqpbroker.broker.queues.kinds import KINDS, policy_keys
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.restore import restore, restore_objects
from amqpbroker.broker.session import Session
from amqpbroker.broker.shovels.shovels import SHOVEL, Shovels
from amqpbroker.broker.slices import Slices
from amqpbroker.broker.storage import Storage
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
from amqpbroker.store.recovered import Recovered
from amqpbroker.store.spill import NO_SPILL, Spill
from amqpbroker.store.store import Store

log = logging.getLogger(__name__)

#: Bytes of a content header frame other than its properties: frame header and end, class, weight and body size.
CONTENT_HEAD = 20


class Broker:
    """One broker node.

    Its caller feeds connections, runs the clock, and calls `sync` at the end of each loop iteration.

    A broker restores the content of `definitions`. If they are blank, it creates the vhost and the users of the
    configuration, unless definitions are to be imported and the configuration names neither. totals: counters of the
    whole broker. taps: observers of all vhosts. vhosts: those that this broker serves, by name. defined_vhosts: all.
    shares_vhosts: other brokers serve vhosts, too. storage: of all vhosts that have none of their own. storages: all.
    written_definitions: storage of the definitions that this broker writes for the others, None if it does not.
    slices: time limits for the methods of each client.
    """

    counter_names: ClassVar[tuple[str, ...]] = BROKER_COUNTERS

    def __init__(
        self,
        config: Config,
        clock: Clock,
        store: Store,
        definitions: Definitions | None = None,
        spill: Spill = NO_SPILL,
        shares_vhosts: bool = False,
    ) -> None:
        """shares_vhosts: other brokers serve vhosts too, so this one serves only those that are opened."""
        self.sample: Sample | None = None
        self.config = config
        self.clock = clock
        self.slices = Slices()
        self._spill = spill
        self.definitions = definitions or MemoryDefinitions()
        self.storage = Storage(store, self.definitions, config.compat.extensions)
        self.storages = [self.storage]
        self.written_definitions: Storage | None = None
        #: Counters of storages that were discarded.
        self._gone_counters = (0, 0)
        self.vhosts: dict[str, Vhost] = {}
        self.defined_vhosts: dict[str, VhostDefinition] = {}
        self.shares_vhosts: bool = shares_vhosts
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
        self.policies = Policies(
            self.definitions, self.defined_vhosts, self.vhosts, policy_keys(config.compat), self.events
        )
        self.limits = Limits(
            self.definitions, self.users, config.cluster_name, config.channel_max_per_node, self.events
        )
        self.shovels = Shovels(
            self.definitions, self.users, self.defined_vhosts, self.vhosts, config.shovel_predeclared, self.events
        )
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
        self.totals = BrokerTotals([kind.name for kind in KINDS.values()])
        self.logins = Logins(self.users, clock, self.totals.auth_attempts, config.bounds.guesses)
        self.rates = Rates(self, config.collect_statistics_interval_ms, config.bounds)
        self.alarms = Alarms(config.cluster_name, self._on_alarms, self.events)
        self.intercept = interceptor(config, clock)
        restore(self)
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
        return not self.defined_vhosts and not self.users.list_users()

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
                self.users.permit_default(user, self.defined_vhosts)

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
    ) -> Vhost | None:
        """Return the vhost of that name, None if this broker does not serve it; create it if it does not exist.

        default_queue_type: None for the configured type. maker: user who gets all permissions in a new vhost. A new
        vhost gets the limits and operator policies that are configured for it. Raises ValueError if the queue type is
        unknown or the maximum number of vhosts is reached, and AmqpError 506.
        """
        if name not in self.defined_vhosts:
            if 0 < self.config.vhost_max <= len(self.defined_vhosts):
                raise ValueError(f"cannot create vhost '{name}': vhost limit of {self.config.vhost_max} is reached")
            queue_type = self.config.default_queue_type if default_queue_type is None else default_queue_type
            definition = VhostDefinition(name, description, tuple(tags), _checked_queue_type(queue_type), protected)
            try:
                with self.definitions.transaction():
                    self.definitions.put(definition)
                    self.restore_vhost(definition)
                    self._add_vhost_defaults(name)
                    if maker is not None:
                        self.definitions.put(PermissionDefinition(maker, name, *EVERYTHING))
            except BaseException:
                self.vhosts.pop(name, None)
                self.defined_vhosts.pop(name, None)
                self.storage.remove(name)
                self._vhost_deleted(name)
                raise
            self.events.vhost_created(self._shown(definition), name in self.tracing)
            if maker is not None:
                self.users.permit_everything(maker, name)
        return self.vhosts.get(name)

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
        old = self._definition_of(name)
        definition = VhostDefinition(
            name,
            old.description if description is None else description,
            old.tags if tags is None else tuple(tags),
            old.default_queue_type if default_queue_type is None else _checked_queue_type(default_queue_type),
            old.protected if protected is None else protected,
        )
        self.put_vhost(definition)

    def put_vhost(self, definition: VhostDefinition) -> None:
        """Add a vhost without limits, policies and permissions, or replace its definition. Raises AmqpError 506."""
        name = definition.name
        self.definitions.put(definition)
        if name not in self.defined_vhosts:
            self.restore_vhost(definition)
            self.events.vhost_created(self._shown(definition), name in self.tracing)
            return
        self.defined_vhosts[name] = definition
        if name in self.vhosts:
            self.vhosts[name].definition = definition
        self.events.vhost_updated(self._shown(definition), name in self.tracing)

    def _shown(self, definition: VhostDefinition) -> VhostDefinition:
        """Return a definition with the queue type that applies."""
        queue_type = definition.default_queue_type or self.config.default_queue_type
        return definition._replace(default_queue_type=queue_type)

    def restore_vhost(self, definition: VhostDefinition) -> None:
        """Restore a vhost from its stored definition, without its objects."""
        self.defined_vhosts[definition.name] = definition
        if not self.shares_vhosts:
            self._restored_vhost(definition, self.storage)

    def _restored_vhost(self, definition: VhostDefinition, storage: Storage) -> Vhost:
        vhost = Vhost(
            definition,
            self.clock,
            storage,
            self.direct_replies,
            self.config,
            self.policies,
            self.limits,
            self.totals,
            self._count_exchanges,
            self.events,
            self._spill,
        )
        storage.add(vhost)
        vhost.taps = self.taps
        self.vhosts[definition.name] = vhost
        return vhost

    def open_vhost(self, definition: VhostDefinition, storage: Storage, found: Recovered) -> int:
        """Serve a vhost that has a storage of its own, with what the storage has; return the number of messages.

        found: the messages of the storage. Raises StoreError, after which the vhost is not served.
        """
        self.storages.append(storage)
        try:
            with self.events.restoring():
                self._restored_vhost(definition, storage)
                restore_objects(self, storage)
                count = storage.recover(found)
        except BaseException:
            self._discard_vhost(definition.name)
            raise
        self.shovels.open_vhost(definition.name)
        return count

    def close_vhost(self, name: str) -> Storage:
        """Serve a vhost with a storage of its own no longer, as another broker does; return the storage.

        Its clients are told to reconnect. Nothing stored is changed, except that messages which they had return to
        their queues. Raises LookupError.
        """
        vhost = self.vhosts.get(name)
        if vhost is None:
            raise LookupError(f"vhost '{name}' is not served")
        assert vhost.storage is not self.storage, name
        self.shovels.close_vhost(name)
        for session in list(self.sessions):
            if session.vhost is vhost:
                session.force_close(errors.vhost_led_elsewhere(name))
        return self._discard_vhost(name)

    def _discard_vhost(self, name: str) -> Storage:
        """Discard a vhost with its storage from memory."""
        storage = self.vhosts.pop(name).storage
        storage.close()
        self._remove_storage(storage)
        return storage

    def open_definitions(self, storage: Storage) -> None:
        """Write the definitions of all vhosts to a storage, for the brokers that share the vhosts."""
        self.storages.append(storage)
        self.written_definitions = storage

    def close_definitions(self, storage: Storage) -> None:
        """Write them no longer, as another broker does. Nobody waits any longer for changes that are not stored."""
        self.written_definitions = None
        storage.close()
        self._remove_storage(storage)

    def _remove_storage(self, storage: Storage) -> None:
        self.storages.remove(storage)
        loaded, stored = self._gone_counters
        self._gone_counters = loaded + storage.store.loaded, stored + storage.store.stored

    def is_elsewhere(self, vhost: str) -> bool:
        """Return whether the vhost exists and this broker does not serve it, but another one, or none at the moment."""
        return vhost not in self.vhosts and vhost in self.defined_vhosts

    def _count_exchanges(self) -> int:
        return sum(len(vhost.exchanges) for vhost in self.vhosts.values())

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost with its queues, exchanges, permissions, policies and limits, and close its connections.

        Raises LookupError, ValueError if the vhost is protected, and AmqpError 506, after which nothing has changed.
        """
        if self._definition_of(name).protected:
            raise ValueError(f"Refusing to delete virtual host '{name}' because it is protected from deletion")
        self.remove_vhost(name)

    def remove_vhost(self, name: str) -> None:
        """Delete a vhost, even if it is protected; see `delete_vhost`. Raises LookupError, AmqpError 506."""
        definition = self._definition_of(name)
        self.definitions.remove_vhost(name)
        del self.defined_vhosts[name]
        vhost = self.vhosts.pop(name, None)
        if vhost is not None:
            vhost.storage.remove(name)
            if vhost.storage is not self.storage:
                # Everything in it is removed when the deletion is safe; until then, it may be undone.
                vhost.storage.store.abandon()
        self._vhost_deleted(name)
        if vhost is not None:
            vhost.close()
        log.info("vhost '%s' is deleted", name)
        self.events.vhost_deleted(definition)
        for session in list(self.sessions):
            if session.vhost is vhost:
                session.force_close(errors.vhost_deleted(name))
        if vhost is not None and vhost.storage is not self.storage:
            vhost.storage.close()
            self._remove_storage(vhost.storage)

    def _vhost_deleted(self, name: str) -> None:
        for holder in (self.users, self.policies, self.limits, self.shovels, self.tracing):
            holder.vhost_deleted(name)

    def _definition_of(self, name: str) -> VhostDefinition:
        if name not in self.defined_vhosts:
            raise LookupError(f"vhost '{name}' does not exist")
        return self.defined_vhosts[name]

    def counters(self) -> tuple[int, ...]:
        totals = self.totals
        return (*totals.traffic.counters(), *totals.byte_totals.counters(), *self.gauges(), *self.store_counters())

    def store_counters(self) -> tuple[int, int]:
        """Return the number of copies of messages that were read back, and of those that were written."""
        loaded, stored = self._gone_counters
        for storage in self.storages:
            loaded, stored = loaded + storage.store.loaded, stored + storage.store.stored
        return loaded, stored

    def gauges(self) -> tuple[int, int]:
        """Return the number of ready and of unacknowledged messages in all queues."""
        ready, unacked = summed((0, 0), [vhost.gauges() for vhost in self.vhosts.values()])
        return ready, unacked

    def message_stats(self) -> MessageStats:
        totals = self.totals.traffic
        names = (*totals.counter_names, *STORE_COUNTERS)
        return message_stats(names, (*totals.counters(), *self.store_counters()))

    def queues(self) -> list[Queue]:
        return [queue for vhost in self.vhosts.values() for queue in vhost.queues.values()]

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

    def finish(self) -> None:
        """Record the departure of all messages that have left their queues, before the store is closed."""
        for vhost in self.vhosts.values():
            vhost.deferred_free.finish()

    def discard(self) -> None:
        """Discard all vhosts and messages from memory, without changing the store, after the broker has ended.

        A test that still refers to the broker then holds little memory, and the reference cycles between messages and
        their queues are broken.
        """
        for storage in self.storages:
            storage.discard()
        self.vhosts.clear()
        self.defined_vhosts.clear()

    def sync(self) -> None:
        """End an event loop iteration: appended records become durable, now or soon."""
        self.slices.renew()
        for storage in self.storages:
            storage.store.sync()


def _checked_queue_type(name: str) -> str:
    """Return a default queue type as it is stored: empty for the configured one. Raises ValueError."""
    if name not in (*KINDS, "undefined", ""):
        raise ValueError(f"Unsupported queue type '{name}'")
    return "" if name == "undefined" else name


def generated_name(prefix: str) -> str:
    """Return a server-generated name, such as `amq.gen-` and 22 characters (rabbit_guid:string/2)."""
    return prefix + base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
