"""The definitions seam: durable data other than messages. See docs/store-format.md, "Definitions".

There is one type for each kind of definition, with a field for each column of its table. Names are str; `arguments` is
an encoded AMQP field table, so that every value keeps its wire type.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, NamedTuple, TypeVar


class VhostDefinition(NamedTuple):
    """A vhost. default_queue_type: of queues declared without a type; empty for the one in the configuration.

    protected: the vhost must not be deleted.
    """

    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    default_queue_type: str = ""
    protected: bool = False


class UserDefinition(NamedTuple):
    """A user. password_hash and hashing, its algorithm: as in broker.passwords; an empty hash means no password.

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
    """A parameter of a vhost, including policies and the limits of vhosts. value: decoded JSON."""

    component: str
    vhost: str
    name: str
    value: Any


class GlobalParameterDefinition(NamedTuple):
    """A parameter without a vhost. value: decoded JSON."""

    name: str
    value: Any


class ExchangeDefinition(NamedTuple):
    """A durable exchange, except for the predeclared ones of every vhost.

    id: its id in the journal if it stores messages there, else 0. Ids are never reused.
    """

    vhost: str
    name: str
    id: int
    type: str
    auto_delete: bool
    internal: bool
    arguments: bytes


class QueueDefinition(NamedTuple):
    """A durable queue. id: its id in the journal. Ids are never reused.

    segment_bytes: size of a stream's segments, which its last declaration determined; -1 for other queues.
    """

    vhost: str
    name: str
    id: int
    auto_delete: bool
    arguments: bytes
    segment_bytes: int = -1


class BindingDefinition(NamedTuple):
    """A binding between durable objects. to_exchange: True if `destination` is an exchange, False for a queue."""

    vhost: str
    source: str
    to_exchange: bool
    destination: str
    routing_key: bytes
    arguments: bytes


class StreamOffsetDefinition(NamedTuple):
    """Offset of a stream at which the next consumer with a tag begins. updated_ms: time of the last change (Unix)."""

    vhost: str
    queue: str
    consumer: str
    offset: int
    updated_ms: int


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
    | StreamOffsetDefinition
)
D = TypeVar("D", bound=Definition)

#: Kind -> number of its first fields that are the key.
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
    StreamOffsetDefinition: 3,
}

#: Kinds of definitions that are stored with the messages of their vhost.
OBJECTS: Final[tuple[type[Any], ...]] = (
    ExchangeDefinition,
    QueueDefinition,
    BindingDefinition,
    StreamOffsetDefinition,
)


def _nothing() -> None:
    pass


class Definitions(ABC):
    """Storage of definitions. All methods except `sync` are called on the event loop's thread.

    Changes survive the end of the process, however it ends, as soon as `put` or `remove` (or the transaction around
    them) returns. They survive a power failure after the next `sync`.
    """

    last_id: int = 0

    def __init__(self) -> None:
        self._on_change: Callable[[], None] = _nothing

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` after each change. There is only one watcher."""
        self._on_change = on_change

    def new_id(self) -> int:
        """Return a new id, from 1 on, which no stored queue or exchange has or ever had."""
        self.last_id += 1
        return self.last_id

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]:
        """Make all changes within the context, or none. A nested transaction is part of the outer one.

        An error that is raised within undoes the changes. Raises AmqpError 506 if they cannot be written.
        """

    @abstractmethod
    def put(self, *definitions: Definition) -> None:
        """Add all, each replacing the one with its key, or none. Raises AmqpError 506 if they cannot be written."""

    @abstractmethod
    def remove(self, *definitions: Definition) -> None:
        """Remove all by their keys, or none. Raises AmqpError 506 if that cannot be written."""

    @abstractmethod
    def remove_bindings(self, vhost: str, is_exchange: bool, name: str) -> None:
        """Remove all bindings from or to an exchange, or to a queue, atomically. Raises AmqpError 506."""

    @abstractmethod
    def remove_vhost(self, name: str) -> None:
        """Remove the vhost with all its definitions, or nothing. Raises AmqpError 506 if that cannot be written."""

    @abstractmethod
    def all(self, kind: type[D]) -> list[D]:
        """Return all definitions of one kind, in the order in which they were put."""

    @abstractmethod
    def sync(self) -> None:
        """Make every change so far survive a power failure; does nothing if there was none.

        May be called on one other thread, any time until `close`. It covers changes whose `put` or transaction has
        returned. Raises OSError, after which no change may be considered durable.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the storage; no method may be called any more."""


class MemoryDefinitions(Definitions):
    """Stores nothing: the definitions in the broker's memory are the only ones."""

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
