"""The node interface: facts about the machine and the broker's process, for the management API and metrics."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

from amqpbroker.broker.cluster import Cluster


class Listening(NamedTuple):
    """An open listener. protocol: RabbitMQ's name, such as amqp, amqp/ssl, http, http/prometheus."""

    protocol: str
    host: str
    port: int


class Certificates(NamedTuple):
    """The certificate files of one kind of listener, and the expiry time of each certificate, since the Unix epoch."""

    certfile: str
    cacertfile: str
    certfile_expires_ms: tuple[int, ...]
    cacertfile_expires_ms: tuple[int, ...]


@dataclass(slots=True)
class Database:
    """The database that has everything, instead of the data directory.

    url: without secrets. synchronous: a commit waits for a standby, as far as the settings of the server say; another
    thread may change it.
    """

    url: str
    synchronous: bool


class Node(ABC):
    """Facts of this node. Sizes are in bytes.

    name: in RabbitMQ's form, such as rabbit@host. listeners: the open listeners. certificates: those of TLS listeners,
    by protocol. started_ms: milliseconds since the Unix epoch. settings: the effective settings, without secrets.
    token: a token with all permissions, readable by users who can read the data directory; empty if there is none.
    has_testing_api: whether the management API can advance the clock and inject faults. database: None for a store in
    files or in memory. cluster: the brokers with the same database, None without one.
    """

    name: str
    started_ms: int
    token: str = ""
    has_testing_api: bool = False
    database: Database | None = None
    cluster: Cluster | None = None

    def __init__(self) -> None:
        self.listeners: list[Listening] = []
        self.certificates: dict[str, Certificates] = {}
        self.settings: dict[str, str] = {}

    @property
    def distinct_name(self) -> str:
        """Return the name, with an address if several brokers with one database have the same name."""
        return self.name if self.cluster is None else self.cluster.name

    def is_named(self, name: str) -> bool:
        """Return whether a user means this node by a name: with an address or without."""
        return name in (self.name, self.distinct_name)

    @abstractmethod
    def memory_bytes(self) -> int:
        """Return the memory that this process uses; 0 if the system does not report it."""

    @property
    @abstractmethod
    def memory_limit_bytes(self) -> int:
        """Return the memory use at which publishers are blocked."""

    @abstractmethod
    def disk_free_bytes(self) -> int | None:
        """Return the free disk space of the data directory; None if there is no data directory."""

    @property
    @abstractmethod
    def disk_free_limit_bytes(self) -> int:
        """Return the free disk space below which publishers are blocked."""

    @abstractmethod
    def files(self) -> tuple[int, int]:
        """Return the number of open files, and the maximum number."""

    @property
    @abstractmethod
    def data_directory(self) -> str:
        """Return the path of the data directory; empty if nothing is stored."""
