"""Permissions of a user in a vhost (rabbit_access_control.erl, rabbit_auth_backend_internal.erl)."""

import re
from typing import Literal, NamedTuple, final

from amqpbroker import errors
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.patterns import Pattern

Permission = Literal["configure", "write", "read"]
Kind = Literal["exchange", "queue"]


class Grant(NamedTuple):
    """Regular expressions for the names of queues and exchanges that the user may configure, write and read.

    They match anywhere in a name unless anchored. An empty one allows nothing.
    """

    configure: str
    write: str
    read: str


class TopicGrant(NamedTuple):
    """Regular expressions for the routing keys of a topic exchange, with the variables `{username}` and `{vhost}`."""

    write: str
    read: str


def _compiled(pattern: str) -> Pattern:
    """Compile a pattern; an empty one allows nothing. Raises PatternError."""
    return Pattern(pattern or "^$")


@final
class Permissions:
    """One user's permissions in one vhost, for all connections of that user to it.

    A change (grant, revoke, and the same for topics) takes effect with the next check. grants: None if the user has
    none.
    """

    def __init__(self, user: str, vhost: str, most_remembered: int = BOUNDS.permissions) -> None:
        """most_remembered: number of names for which a positive result is cached."""
        self.user = user
        self.vhost = vhost
        self.grants: Grant | None = None
        self.topic_grants: dict[str, TopicGrant] = {}
        self._patterns: dict[str, Pattern] = {}
        self._topic_patterns: dict[tuple[str, str], Pattern] = {}
        self._allowed: set[tuple[str, str]] = set()
        self._most_remembered: int = most_remembered

    def check(self, permission: Permission, kind: Kind, name: str) -> None:
        """Check a permission. Raises AmqpError 403 unless the user has it for that queue or exchange."""
        if (permission, name) in self._allowed:
            return
        shown = name or "amq.default"
        pattern = self._patterns.get(permission)
        if pattern is None or not pattern.found_in(shown):
            raise errors.access_refused_to(permission, kind, shown, self.vhost, self.user)
        if len(self._allowed) >= self._most_remembered:
            self._allowed.clear()
        self._allowed.add((permission, name))

    def check_any(self, kind: Kind, name: str) -> None:
        """Raise AmqpError 403, as `check` does for configure, if the user has no permission for the resource."""
        for permission in ("read", "write"):
            pattern = self._patterns.get(permission)
            if pattern is not None and pattern.found_in(name or "amq.default"):
                return
        self.check("configure", kind, name)

    def topic_pattern(self, permission: Literal["write", "read"], exchange: str) -> Pattern | None:
        """Return the pattern of routing keys that `check_topic` allows for the exchange, None if it allows all keys."""
        return self._topic_patterns.get((permission, exchange))

    def check_topic(self, permission: Literal["write", "read"], exchange: str, routing_key: str) -> None:
        """Check a routing key. Raises AmqpError 403 unless the user may use it with that topic exchange.

        If no topic permission is set, all keys are allowed.
        """
        if not self._topic_patterns:
            return
        pattern = self._topic_patterns.get((permission, exchange))
        if pattern is not None and not pattern.found_in(routing_key):
            raise errors.topic_access_refused(permission, routing_key, exchange, self.vhost, self.user)

    def grant(self, grants: Grant) -> None:
        """Set the permissions. If a regular expression is invalid, raises ValueError and changes nothing."""
        self._patterns = {permission: _compiled(pattern) for permission, pattern in grants._asdict().items()}
        self.grants = grants
        self._allowed.clear()

    def revoke(self) -> None:
        """Remove all permissions."""
        self.grants = None
        self._patterns = {}
        self._allowed.clear()

    def grant_topics(self, exchange: str, grants: TopicGrant) -> None:
        """Set topic permissions. If a regular expression is invalid, raises ValueError and changes nothing."""
        patterns = {
            (permission, exchange): _compiled(self._expanded(pattern))
            for permission, pattern in grants._asdict().items()
        }
        self.topic_grants[exchange] = grants
        self._topic_patterns.update(patterns)

    def revoke_topics(self, exchange: str) -> None:
        """Allow all routing keys of the exchange again."""
        self.topic_grants.pop(exchange, None)
        for permission in TopicGrant._fields:
            self._topic_patterns.pop((permission, exchange), None)

    def _expanded(self, pattern: str) -> str:
        """Replace the variables of a pattern.

        The names are escaped, so that a user called `.*` gains nothing by it; RabbitMQ does not escape them.
        """
        expanded = pattern.replace("{username}", re.escape(self.user))
        return expanded.replace("{vhost}", re.escape(self.vhost))
