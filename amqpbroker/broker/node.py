"""The node seam: what the machine and the process around the broker are, for those who show it."""

from abc import ABC, abstractmethod
from typing import NamedTuple


class Listening(NamedTuple):
    """A listener that is open. protocol: as RabbitMQ names it, such as amqp, amqp/ssl, http, http/prometheus."""

    protocol: str
    host: str
    port: int


class Certificates(NamedTuple):
    """The certificates of a kind of listener: the files, and when each that is in them ends, since the Unix epoch."""

    certfile: str
    cacertfile: str
    certfile_expires_ms: tuple[int, ...]
    cacertfile_expires_ms: tuple[int, ...]


class Node(ABC):
    """Facts of this node. Sizes are in bytes.

    name: as RabbitMQ names nodes, such as rabbit@host. listeners: those open now. certificates: of those by TLS, by
    their protocol. started_ms: since the Unix epoch. settings: those in force, without secrets.
    token: what whoever can read the data directory may do everything with; empty where there is none.
    has_testing_api: whether the management API can advance the clock and inject faults.
    """

    name: str
    started_ms: int
    token: str = ""
    has_testing_api: bool = False

    def __init__(self) -> None:
        self.listeners: list[Listening] = []
        self.certificates: dict[str, Certificates] = {}
        self.settings: dict[str, str] = {}

    @abstractmethod
    def memory_bytes(self) -> int:
        """What this process takes; 0 where the system does not say."""

    @property
    @abstractmethod
    def memory_limit_bytes(self) -> int:
        """What it may take before publishers are blocked."""

    @abstractmethod
    def disk_free_bytes(self) -> int | None:
        """What is free where the data directory is; None if there is none."""

    @property
    @abstractmethod
    def disk_free_limit_bytes(self) -> int:
        """What must be free there, or publishers are blocked."""

    @abstractmethod
    def files(self) -> tuple[int, int]:
        """How many files are open, and how many may be."""

    @property
    @abstractmethod
    def data_directory(self) -> str:
        """Where what is kept is kept; empty if it is nowhere."""
