"""The cluster interface: the brokers that use one database, for the management API."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import NamedTuple


class Member(NamedTuple):
    """A broker that uses the database.

    name: of its node, with the address if several have the same name. node: its configured name. process: unique to
    the process. address: where its clients connect. drained: it may not lead. lag_s: time since it had read all
    messages of the leader, None if that is not known. Times are milliseconds since the Unix epoch.
    """

    name: str
    node: str
    process: str
    address: str
    version: str
    running: bool
    leader: bool
    drained: bool
    started_ms: int
    seen_ms: int
    lag_s: float | None


class Change(NamedTuple):
    """The effect of an operator's request.

    name: of the broker, empty if another one is to lead that is not known yet. hands_over: the leader hands over.
    """

    name: str
    hands_over: bool


class RefusedError(Exception):
    """A request that the present state does not allow. The text says what to do."""


class UnknownBrokerError(Exception):
    """There is no broker with this name."""


class Cluster(ABC):
    """The brokers of one database, on the leader. Its methods raise OSError if the database does not answer.

    A name is that of a member, its address, or a configured name that only one of them has.
    """

    @abstractmethod
    def members(self) -> Awaitable[list[Member]]:
        """Return all brokers, the leader first."""

    @abstractmethod
    def transfer(self, name: str) -> Awaitable[Change]:
        """Hand the leadership over, if the name is empty, to the broker that is behind least.

        Raises RefusedError, UnknownBrokerError.
        """

    @abstractmethod
    def drain(self, name: str, through: str) -> Awaitable[Change]:
        """Drain a broker, which does not lead until it is revived.

        through: if the name is empty, the process of the broker; empty for the leader. Raises RefusedError if no broker
        could lead then, UnknownBrokerError.
        """

    @abstractmethod
    def revive(self, name: str, through: str) -> Awaitable[Change]:
        """Revive a broker, which may lead again. Raises UnknownBrokerError."""

    @abstractmethod
    def watch(self, on_hand_over: Callable[[], None]) -> None:
        """Call a function when the leadership is to be handed over."""
