"""Definitions that a broker must have: one state, or one of several if the result of a change is unknown."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from tests.simulation.scheduler import SECOND
from tests.simulation.world import FAILED, POWER, STOPPED, World

State = TypeVar("State")

#: A change is synced within this time, regardless of faults of the disk, unless the processor was slow meanwhile.
SYNCED_NS = 30 * SECOND


class Knowledge(Generic[State]):
    """The expected states. possible: the states that the broker may be in; a single one is certain.

    survives(state, is_old): state after the broker's process ended; is_old: a power failure has undone later changes.
    """

    def __init__(self, world: World, initial: State, survives: Callable[[State, bool], State]) -> None:
        self.world = world
        self.possible: list[State] = [initial]
        self._survives = survives
        #: Earlier states, with the time at which their successor was answered.
        self._past: list[tuple[int, State]] = []
        self._deaths = len(world.deaths)
        self._watches: list[list[State]] = []

    def watch(self) -> list[State]:
        """Return the possible states, which includes states that become possible until `unwatch`."""
        self.outlive()
        self._watches.append(list(self.possible))
        return self._watches[-1]

    def unwatch(self, watch: list[State]) -> None:
        """Add the states that are possible by now to those of `watch`, for the last time."""
        self.outlive()
        self._watches = [each for each in self._watches if each is not watch]

    @property
    def is_certain(self) -> bool:
        return len(self.possible) == 1

    @property
    def state(self) -> State:
        """Return the only possible state."""
        (state,) = self.possible
        return state

    def became(self, states: Sequence[State]) -> None:
        """Replace the possible states by others, at least one."""
        now = self.world.scheduler.now
        after = unique(states)
        self._past += [(now, old) for old in self.possible if old not in after]
        self.possible = after
        for watch in self._watches:
            watch += [state for state in after if state not in watch]

    def may_have_become(self, states: Sequence[State]) -> None:
        """Add states to the possible ones."""
        self.became([*self.possible, *states])

    @property
    def is_outdated(self) -> bool:
        """Return whether the broker's process has ended since `outlive`."""
        return self._deaths < len(self.world.deaths)

    @property
    def has_closed_connections(self) -> bool:
        """Return whether the broker may have closed its connections at an end that `outlive` has not applied yet."""
        return any(death.kind in (STOPPED, FAILED) for death in self.world.deaths[self._deaths :])

    def outlive(self) -> None:
        """Apply ends of the broker's process that have not been applied."""
        deaths = self.world.deaths[self._deaths :]
        self._deaths += len(deaths)
        for death in deaths:
            states = [self._survives(state, False) for state in self.possible]
            if death.kind == POWER:
                oldest = death.synced_ns
                if death.troubled_ns < death.at_ns - SYNCED_NS:
                    oldest = max(oldest, death.at_ns - SYNCED_NS)
                states += [self._survives(old, True) for left, old in self._past if left >= oldest]
            self._past = [(left, old) for left, old in self._past if left >= death.synced_ns]
            self.became(states)


def unique(states: Sequence[State]) -> list[State]:
    """Return the states without repetitions, in their order."""
    found: list[State] = []
    for state in states:
        if state not in found:
            found.append(state)
    return found
