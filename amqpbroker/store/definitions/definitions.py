"""The definitions seam: what outlives the broker beside messages. docs/store-format.md, "Definitions".

One type a kind of thing, each a row of its table: names as str, `arguments` as the octets of an AMQP field table, so
that every value keeps its wire type.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeVar


class VhostDefinition(NamedTuple):
    """default_queue_type: of queues that are declared without one; empty for that of the configuration.

    protected: it must not be deleted.
    """

    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    default_queue_type: str = ""
    protected: bool = False


class UserDefinition(NamedTuple):
    """password_hash and hashing, its algorithm: as in broker.passwords; an empty hash is no password.

    limits: as in broker.limits.
    """

    name: str
    password_hash: bytes
    tags: tuple[str, ...]
    limits: Mapping[str, int] = {}
    hashing: str = "rabbit_password_hashing_sha256"


class PermissionDefinition(NamedTuple):
    user: str
    vhost: str
    configure: str
    write: str
    read: str


class TopicPermissionDefinition(NamedTuple):
    user: str
    vhost: str
    exchange: str
    write: str
    read: str


class ParameterDefinition(NamedTuple):
    """A parameter of a vhost; policies and the limits of vhosts are among them. value: decoded JSON."""

    component: str
    vhost: str
    name: str
    value: Any


class GlobalParameterDefinition(NamedTuple):
    """A parameter that belongs to no vhost. value: decoded JSON."""

    name: str
    value: Any


class ExchangeDefinition(NamedTuple):
    """A durable exchange, but none of those that every vhost has.

    id: its name in the journal if it keeps messages there, else 0; nothing else ever has the same.
    """

    vhost: str
    name: str
    id: int
    type: str
    auto_delete: bool
    internal: bool
    arguments: bytes


class QueueDefinition(NamedTuple):
    """A durable queue. id: its name in the journal; nothing else ever has the same."""

    vhost: str
    name: str
    id: int
    auto_delete: bool
    arguments: bytes


class BindingDefinition(NamedTuple):
    """A binding between durable things. to_exchange: whether `destination` is an exchange, else a queue."""

    vhost: str
    source: str
    to_exchange: bool
    destination: str
    routing_key: bytes
    arguments: bytes


Definition = (
    VhostDefinition
    | UserDefinition
    | PermissionDefinition
    | TopicPermissionDefinition
    | ParameterDefinition
    | GlobalParameterDefinition
    | ExchangeDefinition
    | QueueDefinition
    | BindingDefinition
)
D = TypeVar("D", bound=Definition)

#: Kind -> how many of the fields, the first, are its key.
KEYS: dict[type[Any], int] = {
    VhostDefinition: 1,
    UserDefinition: 1,
    PermissionDefinition: 2,
    TopicPermissionDefinition: 3,
    ParameterDefinition: 3,
    GlobalParameterDefinition: 1,
    ExchangeDefinition: 2,
    QueueDefinition: 2,
    BindingDefinition: 6,
}


def _nothing() -> None:
    pass


class Definitions(ABC):
    """Where definitions are kept. Called on the loop's thread, but for `sync`.

    What `put` and `remove` were given survives the end of the process, however it ends, when they (or the transaction
    around them) return, and the end of the machine after the next `sync`.
    """

    last_id: int = 0

    def __init__(self) -> None:
        self._on_change: Callable[[], None] = _nothing

    def watch(self, on_change: Callable[[], None]) -> None:
        """Have `on_change` called after each change. There is one who watches."""
        self._on_change = on_change

    def new_id(self) -> int:
        """From 1 on; never one that a stored queue or exchange has or ever had."""
        self.last_id += 1
        return self.last_id

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """All changes within it are made, or none. Within another it is part of that.

        An error that is raised within undoes them. Raises AmqpError 506 if they cannot be written.
        """

    @abstractmethod
    def put(self, *definitions: Definition) -> None:
        """Add all, each in place of the one with its key, or none. Raises AmqpError 506 if they cannot be written."""

    @abstractmethod
    def remove(self, *definitions: Definition) -> None:
        """Remove all, each by its key, or none. Raises AmqpError 506 if that cannot be written."""

    @abstractmethod
    def remove_bindings(self, vhost: str, is_exchange: bool, name: str) -> None:
        """Remove all bindings from or to an exchange, or to a queue, atomically. Raises AmqpError 506."""

    @abstractmethod
    def remove_vhost(self, name: str) -> None:
        """Remove the vhost and everything in it, or nothing. Raises AmqpError 506 if that cannot be written."""

    @abstractmethod
    def all(self, kind: type[D]) -> list[D]:
        """All of one kind, in the order in which they were put."""

    @abstractmethod
    def sync(self) -> None:
        """Make every change so far survive a power failure; nothing to do if there was none.

        May be called on one other thread, any time until `close`; a change counts once `put` or its transaction has
        returned. Raises OSError, after which nothing may be taken for safe any more.
        """

    @abstractmethod
    def close(self) -> None:
        """The end; nothing may be called any more."""


class MemoryDefinitions(Definitions):
    """Keeps nothing: what the broker has in memory is all there is."""

    def transaction(self) -> AbstractContextManager[None]:
        return nullcontext()

    def put(self, *definitions: Definition) -> None:
        pass

    def remove(self, *definitions: Definition) -> None:
        pass

    def remove_bindings(self, vhost: str, is_exchange: bool, name: str) -> None:
        pass

    def remove_vhost(self, name: str) -> None:
        pass

    def all(self, kind: type[D]) -> list[D]:
        return []

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass
