"""The cluster interface: the brokers that use one database, for the management API and `amqpbroker ctl`."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import NamedTuple


class Member(NamedTuple):
    """A broker that uses the database.

    name: of its node, with the address if several have the same name. node: its configured name. process: unique to
    the process. address: where its clients connect. leader: it writes the definitions of all vhosts. drained: it may
    not lead. lag_s: time since it had read all messages that it follows, None if that is not known. led: number of
    vhosts that it leads. Times are milliseconds since the Unix epoch.
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
    led: int


class Change(NamedTuple):
    """The effect of an operator's request.

    name: of the broker. hands_over: a leader hands over. vhosts: those that a broker has to hand over, sorted.
    """

    name: str
    hands_over: bool
    vhosts: tuple[str, ...] = ()


class Move(NamedTuple):
    """A vhost that its leader is to hand over. source, target: names of brokers."""

    vhost: str
    source: str
    target: str


class Leading(NamedTuple):
    """A vhost with its leader. vhost: empty for the definitions of all vhosts. log: what it stores, unlike an earlier
    vhost of its name. name, process: of the broker. epoch: number of takeovers of the log.
    """

    vhost: str
    log: str
    name: str
    process: str
    epoch: int


class RefusedError(Exception):
    """A request that the present state does not allow. The text says what to do."""


class UnknownBrokerError(Exception):
    """There is no broker with this name."""


class UnknownVhostError(Exception):
    """There is no vhost with this name."""


class Cluster(ABC):
    """The brokers of one database. Its methods raise OSError if the database does not answer.

    process: of the broker that has this object. A name of a broker is that of a member, its address, or a configured
    name that only one of them has.
    """

    process: str

    @property
    @abstractmethod
    def name(self) -> str:
        """Return the name of the broker that has this object, as it was a moment ago."""

    @abstractmethod
    def members(self) -> Awaitable[list[Member]]:
        """Return all brokers, the one that has this object first."""

    @abstractmethod
    def leader_of(self, vhost: str) -> str:
        """Return the name of the broker that led a vhost a moment ago, empty if none did."""

    @abstractmethod
    def leaders(self) -> list[Leading]:
        """Return the vhosts that have a leader, as this broker has last read. The database is not asked."""

    @abstractmethod
    def reaches_database(self) -> bool:
        """Return whether the database has answered in the time of a lease. If not, others may lead the vhosts here."""

    def leads_surely(self) -> bool:
        """Return whether no other broker can have taken over a vhost that this one serves."""
        return self.reaches_database()

    @abstractmethod
    def is_drained(self) -> bool:
        """Return whether the broker that has this object was drained a moment ago."""

    @abstractmethod
    def lag_s(self) -> float | None:
        """Return the lag of the broker that has this object as it is now: see `Member`. The database is not asked."""

    @abstractmethod
    def transfer(self, vhost: str, name: str) -> Awaitable[Change]:
        """Hand a vhost over to a broker; if the name is empty, to the broker that would take it if its leader ended.

        Raises RefusedError, UnknownBrokerError, UnknownVhostError.
        """

    @abstractmethod
    def rebalance(self) -> Awaitable[list[Move]]:
        """Ask leaders to hand vhosts over, also those with clients, until all brokers lead as many as each other.

        Returns the moves, which are not done yet.
        """

    @abstractmethod
    def drain(self, name: str) -> Awaitable[Change]:
        """Drain a broker, which does not lead until it is revived; if the name is empty, the one with this object.

        Raises RefusedError if no broker could lead then, UnknownBrokerError.
        """

    @abstractmethod
    def revive(self, name: str) -> Awaitable[Change]:
        """Revive a broker, which may lead again; if the name is empty, the one with this object.

        Raises UnknownBrokerError.
        """
