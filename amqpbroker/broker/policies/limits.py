"""Limits: queues of a vhost, connections and channels of a vhost or a user (rabbit_vhost_limit.erl).

A negative limit means no limit.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, final

from amqpbroker import errors
from amqpbroker.broker.events.events import UNHEARD, Events
from amqpbroker.broker.policies.parameters import Component, validation_failed
from amqpbroker.broker.users.users import Users
from amqpbroker.store.definitions.definitions import Definitions, ParameterDefinition
from amqpbroker.wire.erlang import erlang_entries, erlang_json

VHOST_LIMITS = "vhost-limits"

#: Name of the only parameter that the component has in each vhost.
LIMITS = "limits"

MAX_CONNECTIONS = "max-connections"
MAX_QUEUES = "max-queues"
MAX_CHANNELS = "max-channels"

_OF_VHOSTS = (MAX_CONNECTIONS, MAX_QUEUES)
_OF_USERS = (MAX_CONNECTIONS, MAX_CHANNELS)


@final
class Limits:
    """The limits of vhosts and users, and their current usage.

    A change of limits raises ValueError with RabbitMQ's text if a limit is invalid, LookupError if the user does not
    exist, and AmqpError 506 if the change cannot be stored; then nothing has changed. The caller checks that the vhost
    exists.
    """

    def __init__(
        self, definitions: Definitions, users: Users, node: str, max_channels: int = 0, events: Events = UNHEARD
    ) -> None:
        self._definitions = definitions
        self._events = events
        self._users = users
        self._node = node
        self._vhosts: dict[str, dict[str, int]] = {}
        self._connections_of_vhosts: Counter[str] = Counter()
        self._connections_of_users: Counter[str] = Counter()
        self._channels_of_users: Counter[str] = Counter()
        self._channels: int = 0
        self._max_channels = max_channels

    # --- of vhosts ----------------------------------------------------------------------------------------------------

    def vhost(self, vhost: str) -> dict[str, int]:
        """Return the limits of a vhost by name; empty if it has none."""
        return dict(self._vhosts.get(vhost, {}))

    def vhosts(self) -> dict[str, dict[str, int]]:
        """Return the limits of all vhosts that have any."""
        return {vhost: dict(limits) for vhost, limits in self._vhosts.items()}

    def set_vhost(self, vhost: str, name: str, value: int) -> None:
        self.replace_vhost(vhost, {**self.vhost(vhost), name: value})

    def clear_vhost(self, vhost: str, name: str | None = None) -> None:
        """Clear one limit of a vhost, or all of them. Does nothing if there is none."""
        limits = self.vhost(vhost)
        left = {} if name is None else {each: limits[each] for each in limits if each != name}
        if left != limits:
            self.replace_vhost(vhost, left)

    def replace_vhost(self, vhost: str, limits: Mapping[str, int]) -> None:
        """Replace all limits of a vhost."""
        self.check_vhost(limits)
        stored = ParameterDefinition(VHOST_LIMITS, vhost, LIMITS, dict(limits))
        if limits:
            self._definitions.put(stored)
            self._vhosts[vhost] = dict(limits)
            self._events.vhost_limits_set(vhost, limits)
        else:
            self._definitions.remove(stored)
            self._vhosts.pop(vhost, None)
            self._events.vhost_limits_cleared(vhost)

    def check_vhost(self, limits: Mapping[str, object]) -> None:
        """Check limits. Raises ValueError if they are invalid for a vhost."""
        problems = _problems(limits, _OF_VHOSTS, "limits")
        if problems:
            raise validation_failed(*problems)

    def restore(self, stored: ParameterDefinition) -> None:
        """Restore limits from their stored definition."""
        self._vhosts[stored.vhost] = stored.value

    def vhost_deleted(self, vhost: str) -> None:
        """Discard the limits of a vhost that is deleted, also from the definitions."""
        self._vhosts.pop(vhost, None)

    # --- of users -----------------------------------------------------------------------------------------------------

    def user(self, name: str) -> dict[str, int]:
        """Return the user's limits by name."""
        return dict(self._users.user(name).limits)

    def set_user(self, user: str, name: str, value: int) -> None:
        self.replace_user(user, {**self.user(user), name: value})

    def clear_user(self, user: str, name: str | None = None) -> None:
        """Clear one limit of a user, or all of them. Does nothing if there is none."""
        limits = self.user(user)
        left = {} if name is None else {each: limits[each] for each in limits if each != name}
        if left != limits:
            self.replace_user(user, left)

    def replace_user(self, user: str, limits: Mapping[str, int]) -> None:
        """Replace all limits of a user."""
        self.check_user(limits)
        self._users.set_limits(user, limits)

    def check_user(self, limits: Mapping[str, object]) -> None:
        """Check limits. Raises ValueError if they are invalid for a user."""
        problems = _problems(limits, _OF_USERS, "user-limits")
        if problems:
            raise ValueError(problems[0])

    # --- checks -------------------------------------------------------------------------------------------------------

    def check_vhost_connections(self, vhost: str, user: str) -> None:
        """Check the connection limit of a vhost. Raises AmqpError 530 if it is reached."""
        limit = self._vhosts.get(vhost, {}).get(MAX_CONNECTIONS, -1)
        if 0 <= limit <= self._connections_of_vhosts[vhost]:
            raise errors.vhost_connection_limit(vhost, user, limit)

    def check_user_connections(self, user: str) -> None:
        """Check the connection limit of a user. Raises AmqpError 530 if it is reached."""
        limit = self._limit_of_user(user, MAX_CONNECTIONS)
        if 0 <= limit <= self._connections_of_users[user]:
            raise errors.user_connection_limit(user, limit)

    def check_channels(self, user: str) -> None:
        """Check the channel limits of the node and the user. Raises AmqpError 530 if one is reached."""
        if 0 < self._max_channels <= self._channels:
            raise errors.node_channel_limit(self._node, self._max_channels)
        limit = self._limit_of_user(user, MAX_CHANNELS)
        if 0 <= limit <= self._channels_of_users[user]:
            raise errors.user_channel_limit(self._node, limit)

    def check_queues(self, vhost: str, name: str, count: int) -> None:
        """Check the queue limit of a vhost that has `count` queues.

        Raises AmqpError 406 if a queue of that name exceeds it.
        """
        limit = self._vhosts.get(vhost, {}).get(MAX_QUEUES, -1)
        if 0 <= limit <= count:
            raise errors.queue_limit(name, vhost, limit)

    def _limit_of_user(self, user: str, name: str) -> int:
        limits = self._users.limits(user)
        return limits.get(name, -1) if limits else -1

    # --- usage --------------------------------------------------------------------------------------------------------

    def connection_opened(self, vhost: str, user: str) -> None:
        self._connections_of_vhosts[vhost] += 1
        self._connections_of_users[user] += 1

    def connection_closed(self, vhost: str, user: str) -> None:
        _less(self._connections_of_vhosts, vhost, 1)
        _less(self._connections_of_users, user, 1)

    def channel_opened(self, user: str) -> None:
        self._channels_of_users[user] += 1
        self._channels += 1

    def channels_closed(self, user: str, count: int) -> None:
        _less(self._channels_of_users, user, count)
        self._channels -= count


class VhostLimitParameters(Component):
    """The limits of each vhost as one parameter, named limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def check(self, name: str, value: object) -> None:
        self._limits.check_vhost(_vhost_limits(name, value))

    def put(self, vhost: str, name: str, value: object) -> None:
        self._limits.replace_vhost(vhost, _vhost_limits(name, value))

    def delete(self, vhost: str, name: str) -> None:
        self._limits.clear_vhost(vhost)

    def values(self, vhost: str | None) -> list[tuple[str, str, object]]:
        limits = self._limits.vhosts()
        return [(each, LIMITS, limits[each]) for each in limits if vhost in (None, each)]


def _vhost_limits(name: str, value: object) -> dict[str, Any]:
    """Parse the parameter's name and value. Raises ValueError if they are invalid."""
    if name != LIMITS:
        raise validation_failed(f"{VHOST_LIMITS} of a vhost are named {LIMITS}, not {name}")
    if value == []:
        return {}  # as RabbitMQ writes an empty object in its definitions
    if not isinstance(value, dict):
        raise validation_failed(f"{name} not a list {erlang_json(value)}")
    return value


def _problems(limits: Mapping[str, object], names: tuple[str, ...], what: str) -> list[str]:
    """Return the errors in these limits, in RabbitMQ's words."""
    unknown = {name: limits[name] for name in limits if name not in names}
    problems = [f"Unrecognised terms {erlang_entries(unknown)} in {what}"] if unknown else []
    for name in names:
        value = limits.get(name, -1)
        if not isinstance(value, int) or isinstance(value, bool):
            problems.append(f"{name} should be a number, actually was {erlang_json(value)}")
    return problems


def _less(counter: "Counter[str]", key: str, count: int) -> None:
    """Subtract from a counter, and remove it when it reaches 0."""
    counter[key] -= count
    if not counter[key]:
        del counter[key]
