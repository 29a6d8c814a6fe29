"""The users: their passwords, tags and permissions (rabbit_auth_backend_internal.erl)."""

import ipaddress
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import final

from amqpbroker import errors
from amqpbroker.broker.events.events import UNHEARD, Events
from amqpbroker.broker.users.passwords import NO_PASSWORD, SHA256, decode_hash, hash_password, matches
from amqpbroker.broker.users.permissions import Grant, Permissions, TopicGrant
from amqpbroker.config import DefaultUser
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.patterns import Pattern
from amqpbroker.store.definitions.definitions import (
    Definition,
    Definitions,
    MemoryDefinitions,
    PermissionDefinition,
    TopicPermissionDefinition,
    UserDefinition,
)


@final
@dataclass(frozen=True, slots=True)
class User:
    """A user, replaced when it changes. A connection keeps the object of its login.

    limits: see broker.limits. hashing: the algorithm of the password's hash, see broker.passwords.
    """

    name: str
    password_hash: bytes = field(default=NO_PASSWORD, repr=False)
    tags: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict, hash=False)
    hashing: str = SHA256


#: The broker as a client of itself: it may do everything, in every vhost, as any user.
BROKER = User("none", tags=("impersonator",))

#: All permissions in a vhost.
EVERYTHING = Grant(".*", ".*", ".*")

_NO_LIMITS: Mapping[str, int] = MappingProxyType({})


def _ignore(name: str) -> None:
    pass


@final
class Users:
    """All users and their permissions.

    Methods raise LookupError if a user does not exist, ValueError with a text for the client if a value is invalid, and
    AmqpError 506 if a change cannot be stored; then nothing has changed. The caller checks that a vhost exists.
    on_change: called with the name of a vhost after permissions in it changed, to invalidate caches. on_delete: called
    with the name of a user that was deleted. definitions: where changes are stored. events: receives the events.
    """

    def __init__(
        self,
        loopback_users: Collection[str] = ("guest",),
        on_change: Callable[[str], None] = _ignore,
        definitions: Definitions | None = None,
        on_delete: Callable[[str], None] = _ignore,
        events: Events = UNHEARD,
        permissions: int = BOUNDS.permissions,
    ) -> None:
        """permissions: see `Bounds`."""
        self.loopback_users = frozenset(loopback_users)
        self.on_change = on_change
        self.on_delete = on_delete
        self._definitions = definitions or MemoryDefinitions()
        self._events = events
        self._users: dict[str, User] = {}
        self._most_remembered: int = permissions
        self._permissions: dict[tuple[str, str], Permissions] = {}

    # --- logging in ---------------------------------------------------------------------------------------------------

    def authenticate(self, name: str, password: bytes) -> User | None:
        """Return the user of this password. An unknown name takes the same time. Empty passwords never match."""
        user = self._users.get(name)
        right = matches(password, user.password_hash, user.hashing) if user else matches(password, NO_PASSWORD)
        return user if right else None

    def has(self, name: str) -> bool:
        """Return whether there is a user of this name."""
        return name in self._users

    def may_log_in_from(self, name: str, host: str) -> bool:
        """Return whether the user may connect from that IP address; some may connect from this machine only."""
        return name not in self.loopback_users or is_loopback(host)

    def permissions(self, user: User, vhost: str) -> Permissions:
        """Return the user's permissions in the vhost. Raises AmqpError 530 if there are none."""
        if user is BROKER:
            everything = Permissions(user.name, vhost)
            everything.grant(EVERYTHING)
            return everything
        permissions = self._permissions.get((user.name, vhost))
        if permissions is None or permissions.grants is None:
            raise errors.vhost_access_refused(vhost, user.name)
        return permissions

    # --- users --------------------------------------------------------------------------------------------------------

    def user(self, name: str) -> User:
        user = self._users.get(name)
        if user is None:
            raise LookupError(f"user '{name}' does not exist")
        return user

    def list_users(self) -> list[User]:
        return list(self._users.values())

    def add_user(self, name: str, password: str | None = None, tags: Iterable[str] = ()) -> User:
        """Add a user. Without a password, the user cannot log in with one."""
        if not name:
            raise ValueError("a user needs a name")
        if name in self._users:
            raise ValueError(f"user '{name}' already exists")
        return self.put(User(name, NO_PASSWORD if password is None else hash_password(password), tuple(tags)))

    def put_user(self, name: str, password_hash: bytes, hashing: str, tags: Iterable[str]) -> bool:
        """Add a user, or change these properties of an existing one. Return whether the user is new."""
        if not name:
            raise ValueError("a user needs a name")
        old = self._users.get(name)
        limits = {} if old is None else old.limits
        self.put(User(name, password_hash, tuple(tags), limits, hashing))
        return old is None

    def permit_default(self, default: DefaultUser, vhosts: Iterable[str]) -> None:
        """Grant the permissions of a configured user in the vhosts that its pattern matches."""
        pattern = Pattern(default.vhost_pattern)
        for vhost in vhosts:
            if pattern.found_in(vhost):
                self.set_permissions(default.name, vhost, default.configure, default.write, default.read)

    def delete_user(self, name: str) -> None:
        """Delete a user with all permissions and limits."""
        user = self.user(name)
        forgotten = self._matching(name, None)
        self._definitions.remove(_user_definition(user), *_permission_definitions(forgotten))
        del self._users[name]
        self._delete(forgotten)
        self._events.user_deleted(name)
        self.on_delete(name)

    def change_password(self, name: str, password: str) -> None:
        self.put(replace(self.user(name), password_hash=hash_password(password), hashing=SHA256))

    def set_password_hash(self, name: str, encoded: str) -> None:
        """Set a hash that was made elsewhere by SHA256, in base64 (see `passwords`); "" for no password."""
        self.put(replace(self.user(name), password_hash=decode_hash(encoded), hashing=SHA256))

    def clear_password(self, name: str) -> None:
        self.put(replace(self.user(name), password_hash=NO_PASSWORD))

    def set_tags(self, name: str, tags: Iterable[str]) -> None:
        """Set the tags. They apply to the HTTP API, except impersonator, which applies to new connections."""
        self.put(replace(self.user(name), tags=tuple(tags)))

    def limits(self, name: str) -> Mapping[str, int]:
        """Return the limits of a user, none if the user does not exist (any more)."""
        user = self._users.get(name)
        return _NO_LIMITS if user is None else user.limits

    def set_limits(self, name: str, limits: Mapping[str, int]) -> None:
        """Set limits that `Limits` has checked."""
        self.put(replace(self.user(name), limits=dict(limits)))

    def put(self, user: User) -> User:
        """Add a user, or replace the user of the same name."""
        self._definitions.put(_user_definition(user))
        old = self._users.get(user.name)
        self._users[user.name] = user
        if old is None:
            self._events.user_created(user)
        else:
            self._events.user_changed(user, old)
        return user

    # --- permissions --------------------------------------------------------------------------------------------------

    def set_permissions(self, name: str, vhost: str, configure: str, write: str, read: str) -> None:
        """Set permissions. The patterns are regular expressions, as in `Grant`."""
        permissions = self._permissions_of(name, vhost)
        grants = Grant(configure, write, read)
        Permissions(name, vhost).grant(grants)  # a dry run, which raises the errors
        self._definitions.put(PermissionDefinition(name, vhost, *grants))
        self._grant(permissions, grants)

    def permit_everything(self, name: str, vhost: str) -> None:
        """Grant `EVERYTHING` in a vhost. The caller has stored the permissions."""
        self._grant(self._permissions_of(name, vhost), EVERYTHING)

    def _grant(self, permissions: Permissions, grants: Grant) -> None:
        permissions.grant(grants)
        self._events.permission_created(permissions.user, permissions.vhost, *grants)
        self.on_change(permissions.vhost)

    def clear_permissions(self, name: str, vhost: str) -> None:
        self.user(name)
        permissions = self._permissions.get((name, vhost))
        if permissions is not None and permissions.grants is not None:
            self._definitions.remove(PermissionDefinition(name, vhost, *permissions.grants))
            permissions.revoke()
            self._events.permission_deleted(name, vhost)
            self.on_change(vhost)

    def set_topic_permissions(self, name: str, vhost: str, exchange: str, write: str, read: str) -> None:
        """Set topic permissions. The patterns are regular expressions, as in `TopicGrant`."""
        permissions = self._permissions_of(name, vhost)
        grants = TopicGrant(write, read)
        Permissions(name, vhost).grant_topics(exchange, grants)  # a dry run, as above
        self._definitions.put(TopicPermissionDefinition(name, vhost, exchange, *grants))
        permissions.grant_topics(exchange, grants)
        self._events.topic_permission_created(name, vhost, exchange, *grants)
        self.on_change(vhost)

    def clear_topic_permissions(self, name: str, vhost: str, exchange: str | None = None) -> None:
        """Clear the topic permissions for one exchange, or for all."""
        self.user(name)
        permissions = self._permissions.get((name, vhost))
        if permissions is not None:
            cleared = {x: grants for x, grants in permissions.topic_grants.items() if exchange in (None, x)}
            self._definitions.remove(*(TopicPermissionDefinition(name, vhost, x, *cleared[x]) for x in cleared))
            for cleared_exchange in cleared:
                permissions.revoke_topics(cleared_exchange)
            self._events.topic_permission_deleted(name, vhost)
            self.on_change(vhost)

    def vhost_deleted(self, vhost: str) -> None:
        """Discard the permissions in a vhost that is deleted, also from the definitions."""
        self._delete(self._matching(None, vhost))

    def list_permissions(self, name: str | None = None, vhost: str | None = None) -> list[tuple[str, str, Grant]]:
        """Return (user, vhost, regular expressions) of all, or of one user, or of one vhost."""
        return [(p.user, p.vhost, p.grants) for p in self._matching(name, vhost) if p.grants is not None]

    def list_topic_permissions(
        self, name: str | None = None, vhost: str | None = None
    ) -> list[tuple[str, str, str, TopicGrant]]:
        """Return (user, vhost, exchange, regular expressions) of all, or of one user, or of one vhost."""
        return [(p.user, p.vhost, x, grant) for p in self._matching(name, vhost) for x, grant in p.topic_grants.items()]

    # --- restore of stored definitions --------------------------------------------------------------------------------

    def restore_user(self, stored: UserDefinition) -> None:
        self._users[stored.name] = User(*stored)

    def restore_permission(self, stored: PermissionDefinition) -> None:
        self._permissions_of(stored.user, stored.vhost).grant(Grant(stored.configure, stored.write, stored.read))

    def restore_topic_permission(self, stored: TopicPermissionDefinition) -> None:
        permissions = self._permissions_of(stored.user, stored.vhost)
        permissions.grant_topics(stored.exchange, TopicGrant(stored.write, stored.read))

    # --- all permissions ----------------------------------------------------------------------------------------------

    def _permissions_of(self, name: str, vhost: str) -> Permissions:
        """Return the only object of this user and vhost, so that open connections see changes."""
        self.user(name)
        return self._permissions.setdefault((name, vhost), Permissions(name, vhost, self._most_remembered))

    def _matching(self, name: str | None, vhost: str | None) -> list[Permissions]:
        return [
            permissions
            for permissions in self._permissions.values()
            if name in (None, permissions.user) and vhost in (None, permissions.vhost)
        ]

    def _delete(self, forgotten: Iterable[Permissions]) -> None:
        for permissions in forgotten:
            del self._permissions[permissions.user, permissions.vhost]
            permissions.revoke()
            self.on_change(permissions.vhost)


def _user_definition(user: User) -> UserDefinition:
    return UserDefinition(user.name, user.password_hash, user.tags, user.limits, user.hashing)


def _permission_definitions(several: Iterable[Permissions]) -> list[Definition]:
    """Return all stored definitions of these permissions."""
    stored: list[Definition] = []
    for permissions in several:
        user, vhost = permissions.user, permissions.vhost
        if permissions.grants is not None:
            stored.append(PermissionDefinition(user, vhost, *permissions.grants))
        stored += (TopicPermissionDefinition(user, vhost, x, *grant) for x, grant in permissions.topic_grants.items())
    return stored


def is_loopback(host: str) -> bool:
    """Return whether the host is in 127.0.0.0/8, also written as IPv6, or ::1 (rabbit_net:is_loopback/1)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback
