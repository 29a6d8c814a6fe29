"""The shovels: what each is to do, kept as parameters; and the seam for who has them do it.

A shovel takes messages from a queue of one broker and publishes them at another, or the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Literal, final

from amqpbroker.broker.events.events import UNHEARD, Events
from amqpbroker.broker.policies.parameters import Component
from amqpbroker.broker.shovels.definition import ShovelDefinition, read
from amqpbroker.broker.users.users import User, Users
from amqpbroker.errors import AmqpError
from amqpbroker.store.definitions.definitions import Definitions, ParameterDefinition

SHOVEL = "shovel"

#: starting: it connects. running, flow (the destination takes no more at present), blocked (it may be sent nothing, or
#: refuses what it is sent): it is there. terminated: it is not, for a reason, and may be tried again.
State = Literal["starting", "running", "flow", "blocked", "terminated"]


@dataclass(frozen=True, slots=True)
class ShovelStatus:
    """since_ms: when it began to start, to run or to be terminated, since the Unix epoch. reason: of its termination.

    ends: what is known of both ends while it runs, under RabbitMQ's names, without credentials.
    """

    vhost: str
    name: str
    state: State
    since_ms: int
    reason: str = ""
    ends: dict[str, str] = field(default_factory=dict)


class ShovelRunner(ABC):
    """Who runs shovels. Nothing here waits."""

    @abstractmethod
    def start(self, vhost: str, name: str, definition: ShovelDefinition) -> None:
        """Run it, in place of the one of that name."""

    @abstractmethod
    def stop(self, vhost: str, name: str) -> None:
        """Run it no more."""

    @abstractmethod
    def status(self, vhost: str, name: str) -> ShovelStatus | None:
        """None for one that is not run."""


@final
class Shovels(Component):
    """The component shovel. predeclared: whether queues are not to be declared by shovels that do not say so.

    Events do not tell the values: there may be passwords in them.
    """

    def __init__(
        self,
        definitions: Definitions,
        users: Users,
        vhosts: Container[str],
        predeclared: bool,
        events: Events = UNHEARD,
    ) -> None:
        self._definitions = definitions
        self._events = events
        self._users = users
        self._vhosts = vhosts
        self._predeclared = predeclared
        self._values: dict[tuple[str, str], object] = {}
        self._runner: ShovelRunner | None = None

    # --- parameters -------------------------------------------------------------------------------------------------

    def check(self, name: str, value: object) -> None:
        read(name, value, self._predeclared)

    def authorise(self, name: str, value: object, user: User) -> None:
        """What shovels do at this broker they do as the broker, in vhosts that who sets them may enter."""
        definition = read(name, value, self._predeclared)
        for uri in (*definition.source.uris, *definition.destination.uris):
            if uri.host is None and not self._may_enter(user, uri.vhost):
                raise ValueError(f'Validation failed\n\nuser "{user.name}" may not connect to vhost "{uri.vhost}"\n')

    def _may_enter(self, user: User, vhost: str) -> bool:
        try:
            self._users.permissions(user, vhost)
        except AmqpError:
            return False
        return vhost in self._vhosts

    def put(self, vhost: str, name: str, value: object) -> None:
        definition = read(name, value, self._predeclared)
        self._definitions.put(ParameterDefinition(SHOVEL, vhost, name, value))
        self._values[vhost, name] = value
        self._events.parameter_set(SHOVEL, name, vhost)
        if self._runner is not None:
            self._runner.start(vhost, name, definition)

    def delete(self, vhost: str, name: str) -> None:
        self._definitions.remove(ParameterDefinition(SHOVEL, vhost, name, self._values[vhost, name]))
        self._delete(vhost, name)

    def values(self, vhost: str | None) -> list[tuple[str, str, object]]:
        return [(each, name, value) for (each, name), value in self._values.items() if vhost in (None, each)]

    def restore(self, stored: ParameterDefinition) -> None:
        """From definitions that have it. Raises ValueError."""
        read(stored.name, stored.value, self._predeclared)
        self._values[stored.vhost, stored.name] = stored.value

    def vhost_deleted(self, vhost: str) -> None:
        """The vhost is deleted, also from the definitions."""
        for each, name in list(self._values):
            if each == vhost:
                self._delete(vhost, name)

    def _delete(self, vhost: str, name: str) -> None:
        del self._values[vhost, name]
        self._events.parameter_cleared(SHOVEL, name, vhost)
        if self._runner is not None:
            self._runner.stop(vhost, name)

    # --- running ----------------------------------------------------------------------------------------------------

    def run(self, runner: ShovelRunner | None) -> None:
        """Have all that there are, and those to come, run by it; None: by nobody any more."""
        self._runner = runner
        if runner is not None:
            for vhost, name in self._values:
                runner.start(vhost, name, self.definition(vhost, name))

    def definition(self, vhost: str, name: str) -> ShovelDefinition:
        """Raises LookupError."""
        if (vhost, name) not in self._values:
            raise LookupError(f"shovel '{name}' in vhost '{vhost}' does not exist")
        return read(name, self._values[vhost, name], self._predeclared)

    def restart(self, vhost: str, name: str) -> None:
        """Raises LookupError."""
        definition = self.definition(vhost, name)
        if self._runner is not None:
            self._runner.start(vhost, name, definition)

    def statuses(self) -> list[ShovelStatus]:
        """Of those that are run, by vhost and name."""
        runner = self._runner
        if runner is None:
            return []
        found = [runner.status(*key) for key in sorted(self._values)]
        return [status for status in found if status is not None]
