"""The broker: the vhosts, the users, and what belongs to all of them."""

import base64
import secrets

from amqpbroker import errors
from amqpbroker.broker.alarms import Alarms
from amqpbroker.broker.direct_reply import DirectReplies
from amqpbroker.broker.holder import Holder
from amqpbroker.broker.persistence import Persistence
from amqpbroker.broker.queue import Queue
from amqpbroker.broker.restore import restore
from amqpbroker.broker.session import Session
from amqpbroker.broker.users import Users
from amqpbroker.broker.vhost import Vhost
from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.store.definitions import Definitions, MemoryDefinitions, VhostDefinition
from amqpbroker.store.store import Store


class Broker:
    """One broker node. Whoever runs it feeds connections, moves the clock, and calls `sync` at the end of each turn.

    It starts with what `definitions` tell or, where these are blank, with the vhost and the users of the configuration.
    lost_ids: of durable queues and exchanges that could not be restored; their messages are to be kept all the same.
    """

    def __init__(self, config: Config, clock: Clock, store: Store, definitions: Definitions | None = None) -> None:
        self.config = config
        self.clock = clock
        self.store = store
        self.definitions = definitions or MemoryDefinitions()
        self.users = Users(config.loopback_users, self._on_permissions, self.definitions)
        self.direct_replies = DirectReplies()
        self.vhosts: dict[str, Vhost] = {}
        self.sessions: dict[Session, None] = {}
        self.awaiting_sync: dict[Session, None] = {}
        self.alarms = Alarms(config.cluster_name, self._on_alarms)
        if isinstance(store, Persistence):
            store.on_synced = self._on_synced
        self.lost_ids: frozenset[int] = restore(self)
        if not self.vhosts and not self.users.list_users():
            self._add_defaults()

    def _add_defaults(self) -> None:
        """Once in the life of the definitions: what an administrator has deleted does not come back."""
        with self.definitions.transaction():
            self.add_vhost(self.config.default_vhost)
            for user in self.config.default_users:
                self.users.add_default(user, self.vhosts)

    def add_vhost(self, name: str, *, stored: bool = False) -> Vhost:
        """The vhost of that name, made if it is not there. Raises AmqpError 506.

        stored: it is being restored, from definitions that have it.
        """
        vhost = self.vhosts.get(name)
        if vhost is None:
            if not stored:
                self.definitions.put(VhostDefinition(name))
            vhost = Vhost(name, self.clock, self.store, self.definitions, self.direct_replies, self.config)
            self.vhosts[name] = vhost
        return vhost

    def queues(self) -> list[Queue]:
        return [queue for vhost in self.vhosts.values() for queue in vhost.queues.values()]

    def holders(self) -> dict[int, Holder]:
        """All that may have messages in the store, by id: durable queues, and durable exchanges that hold some back."""
        found: dict[int, Holder] = {}
        for vhost in self.vhosts.values():
            held = [exchange.type.held for exchange in vhost.exchanges.values()]
            for holder in (*vhost.queues.values(), *held):
                if holder is not None and holder.id:
                    found[holder.id] = holder
        return found

    def vhost(self, name: str) -> Vhost:
        """Raises AmqpError 530."""
        vhost = self.vhosts.get(name)
        if vhost is None:
            raise errors.vhost_not_found(name)
        return vhost

    def _on_permissions(self, vhost: str) -> None:
        """Permissions changed there: what channels remember of it is void."""
        if vhost in self.vhosts:
            self.vhosts[vhost].route_epoch += 1

    def _on_alarms(self) -> None:
        for session in list(self.sessions):
            session.alarms_changed()

    def _on_synced(self) -> None:
        waiting, self.awaiting_sync = self.awaiting_sync, {}
        for session in waiting:
            session.synced()

    def sync(self) -> None:
        """The end of a loop turn: what was appended becomes safe, now or soon."""
        self.store.sync()


def generated_name(prefix: str) -> str:
    """A server-made name such as `amq.gen-` and 22 characters (rabbit_guid:string/2)."""
    return prefix + base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
