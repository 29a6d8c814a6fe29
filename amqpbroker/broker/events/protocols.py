"""Attributes that events report of the objects that they are about.

The classes themselves import this package, so that events describe them by structure.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from amqpbroker.broker.infos import ChannelInfo, ConnectionInfo, ConsumerInfo
from amqpbroker.wire.values import Table


class Named(Protocol):
    """An object with a name."""

    @property
    def name(self) -> str: ...


class KindLike(Protocol):
    """A kind of queue.

    module: its name in events. owner_in_events: events name the owner of an exclusive queue. exclusive_in_events:
    events show whether a queue is exclusive.
    """

    @property
    def module(self) -> str: ...
    @property
    def owner_in_events(self) -> bool: ...
    @property
    def exclusive_in_events(self) -> bool: ...


class QueueLike(Named, Protocol):
    """A queue. owner: the connection that an exclusive queue belongs to."""

    @property
    def kind(self) -> KindLike: ...
    @property
    def arguments(self) -> Table: ...
    @property
    def auto_delete(self) -> bool: ...
    @property
    def durable(self) -> bool: ...
    @property
    def owner(self) -> object | None: ...


class ExchangeLike(Named, Protocol):
    """An exchange."""

    @property
    def type(self) -> Named: ...
    @property
    def arguments(self) -> Table: ...
    @property
    def auto_delete(self) -> bool: ...
    @property
    def durable(self) -> bool: ...
    @property
    def internal(self) -> bool: ...
    @property
    def policy(self) -> Named | None: ...


class BindingLike(Protocol):
    """A binding. Its destination is an exchange or a queue."""

    @property
    def source(self) -> Named: ...
    @property
    def destination(self) -> Named: ...
    @property
    def routing_key(self) -> bytes: ...
    @property
    def arguments(self) -> Table: ...


class ConsumerLike(Protocol):
    """A consumer."""

    def info(self, active: bool, activity_status: str) -> ConsumerInfo: ...


class ConnectionLike(Protocol):
    """A connection that is open, or was."""

    @property
    def user(self) -> Named: ...
    def info(self) -> ConnectionInfo: ...


class ChannelLike(Named, Protocol):
    """A channel."""

    @property
    def connection(self) -> ConnectionLike: ...
    def info(self) -> ChannelInfo: ...


class PeerLike(Named, Protocol):
    """The two ends of a connection that may not be open yet. tls: None if it is not encrypted."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def local_host(self) -> str: ...
    @property
    def tls(self) -> object | None: ...


class VhostLike(Named, Protocol):
    """A virtual host."""

    @property
    def description(self) -> str: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def default_queue_type(self) -> str: ...


class UserLike(Named, Protocol):
    """A user."""

    @property
    def password_hash(self) -> bytes: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def limits(self) -> Mapping[str, int]: ...


class PolicyLike(Named, Protocol):
    """A policy, or an operator policy."""

    @property
    def vhost(self) -> str: ...
    @property
    def operator(self) -> bool: ...
    @property
    def value(self) -> dict[str, Any]: ...
