"""Steps of a world, as a list that can be printed, shortened and run again."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from tests.simulation.client import Client


#: Time for a workload to complete, in addition to the times that messages wait for.
REST_MS = 600_000


class Step(NamedTuple):
    """One step of an actor. at_ms: since the world began. verb: calls the actor's method `do_<verb>`."""

    at_ms: int
    actor: str
    verb: str
    arguments: tuple[Any, ...] = ()


class Workload(ABC):
    """Clients and the checks of their results. name: prefix of the names of its clients and objects."""

    name: str
    #: Steps of the machine that the checks do not support; no world with such a workload has them.
    unbearable: ClassVar[frozenset[str]] = frozenset()

    @staticmethod
    def slowed(settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings for a world of hours, with longer times."""
        return settings

    @property
    def rest_ms(self) -> int:
        """Return the time that a world needs to complete after its faults have stopped."""
        return REST_MS

    @property
    @abstractmethod
    def clients(self) -> "Sequence[Client]":
        """Return the clients that steps name."""

    @property
    def actors(self) -> "dict[str, Client]":
        """Return the clients by their names."""
        return {client.name: client for client in self.clients}

    @property
    def connections(self) -> int:
        """Return the number of connections without which the workload does not come to rest."""
        return len(self.clients)

    def begin(self) -> None:
        """Connect all clients, before the first step."""
        for client in self.clients:
            client.connect()

    def rest(self) -> None:  # noqa: B027 - most have nothing to end
        """Start nothing new, because the faults are over."""

    @abstractmethod
    def is_done(self) -> bool:
        """Return whether everything expected has arrived."""

    @abstractmethod
    def check(self) -> None:
        """Raise BrokenError if something expected is missing, or something is left over, at the end."""
