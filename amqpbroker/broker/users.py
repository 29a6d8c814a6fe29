"""The users: who they are, how they log in, and what they may do where (rabbit_auth_backend_internal.erl)."""

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import final

from amqpbroker import errors
from amqpbroker.broker.access import Grant, Permissions, TopicGrant
from amqpbroker.broker.passwords import NO_PASSWORD, decode_hash, hash_password, matches
from amqpbroker.config import DefaultUser


@final
@dataclass(frozen=True, slots=True)
class User:
    """A user, replaced when something of it changes. A connection keeps the one that logged in."""

    name: str
    password_hash: bytes = field(default=NO_PASSWORD, repr=False)
    tags: tuple[str, ...] = ()


def _ignore(vhost: str) -> None:
    pass


@final
class Users:
    """All users and their permissions.

    Everything raises LookupError for a user that is not there and ValueError for a value that is none, with a text for
    the one who asked. Whether a vhost exists is the caller's business. on_change: called with the name of a vhost after
    permissions in it changed, for whoever remembers what was allowed.
    """

    def __init__(
        self, loopback_users: Collection[str] = ("guest",), on_change: Callable[[str], None] = _ignore
    ) -> None:
        self.loopback_users = frozenset(loopback_users)
        self.on_change = on_change
        self._users: dict[str, User] = {}
        self._permissions: dict[tuple[str, str], Permissions] = {}

    # --- logging in -------------------------------------------------------------------------------------------------

    def authenticate(self, name: str, password: bytes) -> User | None:
        """The user whose password this is. Takes as long for a name that is no user's. Empty passwords never match."""
        user = self._users.get(name)
        return user if matches(password, user.password_hash if user else NO_PASSWORD) else None

    def may_log_in_from(self, name: str, host: str) -> bool:
        """Whether that user may come from that IP address; some may from this machine only."""
        return name not in self.loopback_users or _is_loopback(host)

    def permissions(self, user: User, vhost: str) -> Permissions:
        """What the user may do in the vhost. Raises AmqpError 530 if the user has no permissions there."""
        permissions = self._permissions.get((user.name, vhost))
        if permissions is None or permissions.grants is None:
            raise errors.vhost_access_refused(vhost, user.name)
        return permissions

    # --- users ------------------------------------------------------------------------------------------------------

    def user(self, name: str) -> User:
        user = self._users.get(name)
        if user is None:
            raise LookupError(f"user '{name}' does not exist")
        return user

    def list_users(self) -> list[User]:
        return list(self._users.values())

    def add_user(self, name: str, password: str | None = None, tags: Iterable[str] = ()) -> User:
        """Without a password, the user cannot log in with one."""
        if not name:
            raise ValueError("a user needs a name")
        if name in self._users:
            raise ValueError(f"user '{name}' already exists")
        user = User(name, NO_PASSWORD if password is None else hash_password(password), tuple(tags))
        self._users[name] = user
        return user

    def add_default(self, default: DefaultUser, vhosts: Iterable[str]) -> User:
        """A user from the configuration, with its permissions in those of the vhosts that its pattern is found in."""
        user = self.add_user(default.name, default.password, default.tags)
        for vhost in vhosts:
            if re.search(default.vhost_pattern, vhost):
                self.set_permissions(default.name, vhost, default.configure, default.write, default.read)
        return user

    def delete_user(self, name: str) -> None:
        """Connections of the user stay, but may do nothing any more."""
        self.user(name)
        del self._users[name]
        for permissions in self._matching(name, None):
            self._forget(permissions)

    def change_password(self, name: str, password: str) -> None:
        self._users[name] = replace(self.user(name), password_hash=hash_password(password))

    def set_password_hash(self, name: str, encoded: str) -> None:
        """A hash made elsewhere, in base64 (see `passwords`); "" for no password."""
        self._users[name] = replace(self.user(name), password_hash=decode_hash(encoded))

    def clear_password(self, name: str) -> None:
        self._users[name] = replace(self.user(name), password_hash=NO_PASSWORD)

    def set_tags(self, name: str, tags: Iterable[str]) -> None:
        """Tags mean something to the HTTP API, but for impersonator, which counts from the next connection on."""
        self._users[name] = replace(self.user(name), tags=tuple(tags))

    # --- permissions ------------------------------------------------------------------------------------------------

    def set_permissions(self, name: str, vhost: str, configure: str, write: str, read: str) -> None:
        """Regular expressions, as in `Grant`."""
        self._permissions_of(name, vhost).grant(Grant(configure, write, read))
        self.on_change(vhost)

    def clear_permissions(self, name: str, vhost: str) -> None:
        self.user(name)
        permissions = self._permissions.get((name, vhost))
        if permissions is not None:
            permissions.revoke()
            self.on_change(vhost)

    def set_topic_permissions(self, name: str, vhost: str, exchange: str, write: str, read: str) -> None:
        """Regular expressions, as in `TopicGrant`."""
        self._permissions_of(name, vhost).grant_topics(exchange, TopicGrant(write, read))
        self.on_change(vhost)

    def clear_topic_permissions(self, name: str, vhost: str, exchange: str | None = None) -> None:
        """For one exchange, or for all."""
        self.user(name)
        permissions = self._permissions.get((name, vhost))
        if permissions is not None:
            for cleared in list(permissions.topic_grants) if exchange is None else [exchange]:
                permissions.revoke_topics(cleared)
            self.on_change(vhost)

    def forget_vhost(self, vhost: str) -> None:
        """The vhost is deleted: nobody has permissions there any more."""
        for permissions in self._matching(None, vhost):
            self._forget(permissions)

    def list_permissions(self, name: str | None = None, vhost: str | None = None) -> list[tuple[str, str, Grant]]:
        """(user, vhost, regular expressions) of all, or of one user, or of one vhost."""
        return [(p.user, p.vhost, p.grants) for p in self._matching(name, vhost) if p.grants is not None]

    def list_topic_permissions(
        self, name: str | None = None, vhost: str | None = None
    ) -> list[tuple[str, str, str, TopicGrant]]:
        """(user, vhost, exchange, regular expressions) of all, or of one user, or of one vhost."""
        return [(p.user, p.vhost, x, grant) for p in self._matching(name, vhost) for x, grant in p.topic_grants.items()]

    def _permissions_of(self, name: str, vhost: str) -> Permissions:
        """The one object of this user and vhost, so that connections that are open see what changes."""
        self.user(name)
        return self._permissions.setdefault((name, vhost), Permissions(name, vhost))

    def _matching(self, name: str | None, vhost: str | None) -> list[Permissions]:
        return [
            permissions
            for permissions in self._permissions.values()
            if name in (None, permissions.user) and vhost in (None, permissions.vhost)
        ]

    def _forget(self, permissions: Permissions) -> None:
        del self._permissions[permissions.user, permissions.vhost]
        permissions.revoke()
        self.on_change(permissions.vhost)


def _is_loopback(host: str) -> bool:
    """127.0.0.0/8, ::1, and the former written as IPv6 (rabbit_net:is_loopback/1)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback
