"""Steps of a world, as a list that can be printed, shortened and run again."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from tests.simulation.client import Client


#: Time for a workload to come to rest, beside the times that messages have to wait for.
REST_MS = 600_000


class Step(NamedTuple):
    """One thing that somebody does. at_ms: since the world began. verb: the actor's method `do_<verb>`."""

    at_ms: int
    actor: str
    verb: str
    arguments: tuple[Any, ...] = ()


class Workload(ABC):
    """Clients that do something, and know what must come of it. name: begins the names of its clients and objects."""

    name: str
    #: Verbs of the machine that the checks do not allow for; no world with such a workload has them.
    unbearable: ClassVar[frozenset[str]] = frozenset()

    @staticmethod
    def slowed(settings: dict[str, Any]) -> dict[str, Any]:
        """Return the settings for a world of hours, with longer times in place of theirs."""
        return settings

    @property
    def rest_ms(self) -> int:
        """Return how long a world has until everything has come, once its faults have stopped."""
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
        """Do nothing new: the faults are over."""

    @abstractmethod
    def is_done(self) -> bool:
        """Return whether everything has come that was to come."""

    @abstractmethod
    def check(self) -> None:
        """Raise BrokenError if anything is missing that had to come, or is left over, at the end."""
