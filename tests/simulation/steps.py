"""What happens in a world, as a list that can be printed, shortened and run again."""

from typing import Any, NamedTuple, Protocol


class Step(NamedTuple):
    """One thing that somebody does. at_ms: since the world began. verb: the actor's method `do_<verb>`."""

    at_ms: int
    actor: str
    verb: str
    arguments: tuple[Any, ...] = ()


class Workload(Protocol):
    """Clients that do something, and know what must come of it."""

    def begin(self) -> None:
        """Connect, before the first step."""

    def rest(self) -> None:
        """Do nothing new: the faults are over."""

    def is_done(self) -> bool:
        """Return whether everything has come that was to come."""

    def check(self) -> None:
        """Raise BrokenError if anything is missing that had to come, or is left over, at the end."""
