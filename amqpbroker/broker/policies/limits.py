"""Limits: queues of a vhost, connections and channels of a vhost or a user (rabbit_vhost_limit.erl).

A negative limit is none.
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

#: The name of the one parameter of that component in each vhost.
LIMITS = "limits"

MAX_CONNECTIONS = "max-connections"
MAX_QUEUES = "max-queues"
MAX_CHANNELS = "max-channels"

_OF_VHOSTS = (MAX_CONNECTIONS, MAX_QUEUES)
_OF_USERS = (MAX_CONNECTIONS, MAX_CHANNELS)


@final
class Limits:
    """The limits of vhosts and users, and how much of them is taken.

    What changes limits raises ValueError with RabbitMQ's text for a limit that is none, LookupError for a user that is
    not there, and AmqpError 506 for a change that cannot be stored; then nothing has changed. Whether a vhost exists is
    the caller's business.
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

    # --- of vhosts --------------------------------------------------------------------------------------------------

    def vhost(self, vhost: str) -> dict[str, int]:
        """Its limits by name; nothing if it has none."""
        return dict(self._vhosts.get(vhost, {}))

    def vhosts(self) -> dict[str, dict[str, int]]:
        """The limits of all vhosts that have some."""
        return {vhost: dict(limits) for vhost, limits in self._vhosts.items()}

    def set_vhost(self, vhost: str, name: str, value: int) -> None:
        self.replace_vhost(vhost, {**self.vhost(vhost), name: value})

    def clear_vhost(self, vhost: str, name: str | None = None) -> None:
        """One limit, or all; nothing to do if there is none."""
        limits = self.vhost(vhost)
        left = {} if name is None else {each: limits[each] for each in limits if each != name}
        if left != limits:
            self.replace_vhost(vhost, left)

    def replace_vhost(self, vhost: str, limits: Mapping[str, int]) -> None:
        """These, and no others."""
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
        """Raises ValueError for limits that no vhost can have."""
        problems = _problems(limits, _OF_VHOSTS, "limits")
        if problems:
            raise validation_failed(*problems)

    def restore(self, stored: ParameterDefinition) -> None:
        """From definitions that have it."""
        self._vhosts[stored.vhost] = stored.value

    def vhost_deleted(self, vhost: str) -> None:
        """The vhost is deleted, also from the definitions."""
        self._vhosts.pop(vhost, None)

    # --- of users ---------------------------------------------------------------------------------------------------

    def user(self, name: str) -> dict[str, int]:
        """The user's limits by name."""
        return dict(self._users.user(name).limits)

    def set_user(self, user: str, name: str, value: int) -> None:
        self.replace_user(user, {**self.user(user), name: value})

    def clear_user(self, user: str, name: str | None = None) -> None:
        """One limit, or all; nothing to do if there is none."""
        limits = self.user(user)
        left = {} if name is None else {each: limits[each] for each in limits if each != name}
        if left != limits:
            self.replace_user(user, left)

    def replace_user(self, user: str, limits: Mapping[str, int]) -> None:
        """These, and no others."""
        self.check_user(limits)
        self._users.set_limits(user, limits)

    def check_user(self, limits: Mapping[str, object]) -> None:
        """Raises ValueError for limits that no user can have."""
        problems = _problems(limits, _OF_USERS, "user-limits")
        if problems:
            raise ValueError(problems[0])

    # --- in force ---------------------------------------------------------------------------------------------------

    def check_vhost_connections(self, vhost: str, user: str) -> None:
        """Raises AmqpError 530 if the vhost has all the connections that it may have."""
        limit = self._vhosts.get(vhost, {}).get(MAX_CONNECTIONS, -1)
        if 0 <= limit <= self._connections_of_vhosts[vhost]:
            raise errors.vhost_connection_limit(vhost, user, limit)

    def check_user_connections(self, user: str) -> None:
        """Raises AmqpError 530 if the user has all the connections that it may have."""
        limit = self._limit_of_user(user, MAX_CONNECTIONS)
        if 0 <= limit <= self._connections_of_users[user]:
            raise errors.user_connection_limit(user, limit)

    def check_channels(self, user: str) -> None:
        """Raises AmqpError 530 if the node or the user has all the channels that it may have."""
        if 0 < self._max_channels <= self._channels:
            raise errors.node_channel_limit(self._node, self._max_channels)
        limit = self._limit_of_user(user, MAX_CHANNELS)
        if 0 <= limit <= self._channels_of_users[user]:
            raise errors.user_channel_limit(self._node, limit)

    def check_queues(self, vhost: str, name: str, count: int) -> None:
        """Raises AmqpError 406 if the vhost may not have a queue of that name beside the `count` that it has."""
        limit = self._vhosts.get(vhost, {}).get(MAX_QUEUES, -1)
        if 0 <= limit <= count:
            raise errors.queue_limit(name, vhost, limit)

    def _limit_of_user(self, user: str, name: str) -> int:
        limits = self._users.limits(user)
        return limits.get(name, -1) if limits else -1

    # --- what is taken ----------------------------------------------------------------------------------------------

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
    """Raises ValueError if they are named or written as nothing of the kind is."""
    if name != LIMITS:
        raise validation_failed(f"{VHOST_LIMITS} of a vhost are named {LIMITS}, not {name}")
    if value == []:
        return {}  # as RabbitMQ writes an empty object in its definitions
    if not isinstance(value, dict):
        raise validation_failed(f"{name} not a list {erlang_json(value)}")
    return value


def _problems(limits: Mapping[str, object], names: tuple[str, ...], what: str) -> list[str]:
    """What is wrong with these limits, in RabbitMQ's words."""
    unknown = {name: limits[name] for name in limits if name not in names}
    problems = [f"Unrecognised terms {erlang_entries(unknown)} in {what}"] if unknown else []
    for name in names:
        value = limits.get(name, -1)
        if not isinstance(value, int) or isinstance(value, bool):
            problems.append(f"{name} should be a number, actually was {erlang_json(value)}")
    return problems


def _less(counter: "Counter[str]", key: str, count: int) -> None:
    """Count down; what is at 0 is not kept."""
    counter[key] -= count
    if not counter[key]:
        del counter[key]
