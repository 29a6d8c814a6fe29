"""The broker: the vhosts, the users, and what belongs to all of them."""

import base64
import secrets

from amqpbroker import errors
from amqpbroker.broker.direct_reply import DirectReplies
from amqpbroker.broker.persistence import Persistence
from amqpbroker.broker.session import Session
from amqpbroker.broker.users import Users
from amqpbroker.broker.vhost import Vhost
from amqpbroker.clock import Clock
from amqpbroker.config import Config
from amqpbroker.store.store import Store


class Broker:
    """One broker node. Whoever runs it feeds connections, moves the clock, and calls `sync` at the end of each turn."""

    def __init__(self, config: Config, clock: Clock, store: Store) -> None:
        self.config = config
        self.clock = clock
        self.store = store
        self.users = Users(config.loopback_users, self._on_permissions)
        self.direct_replies = DirectReplies()
        self.vhosts: dict[str, Vhost] = {}
        self.sessions: dict[Session, None] = {}
        self.awaiting_sync: dict[Session, None] = {}
        if isinstance(store, Persistence):
            store.on_synced = self._on_synced
        self.add_vhost(config.default_vhost)
        for user in config.default_users:
            self.users.add_default(user, self.vhosts)

    def add_vhost(self, name: str) -> Vhost:
        """The vhost of that name, made if it is not there."""
        vhost = self.vhosts.get(name)
        if vhost is None:
            vhost = Vhost(name, self.clock, self.store, self.direct_replies, self.config.default_queue_type)
            self.vhosts[name] = vhost
        return vhost

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
