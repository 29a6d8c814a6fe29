"""Shovels: their definitions, stored as parameters, and the interface of the runner.

A shovel consumes messages from a queue of one broker and publishes them to another broker, or to the same one.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, final

from amqpbroker.broker.events.events import UNHEARD, Events
from amqpbroker.broker.policies.parameters import Component
from amqpbroker.broker.users.users import User, Users
from amqpbroker.errors import AmqpError
from amqpbroker.store.definitions.definitions import Definitions, ParameterDefinition

if TYPE_CHECKING:
    from amqpbroker.broker.shovels.definition import ShovelDefinition

SHOVEL = "shovel"

#: starting: the shovel connects. running, flow (the destination accepts no more at present) and blocked (the
#: destination is blocked, or refuses messages): the shovel is connected. terminated: the shovel has stopped, for a
#: reason, and may be tried again.
State = Literal["starting", "running", "flow", "blocked", "terminated"]


_NO_ENDS: Mapping[str, str] = {}


@final
class ShovelStatus(NamedTuple):
    """State of a shovel. since_ms: time when this state began, since the Unix epoch. reason: of its termination.

    ends: properties of both ends while it runs, under RabbitMQ's names, without credentials.
    """

    vhost: str
    name: str
    state: State
    since_ms: int
    reason: str = ""
    ends: Mapping[str, str] = _NO_ENDS


class ShovelRunner(ABC):
    """Runs shovels. No method blocks."""

    @abstractmethod
    def start(self, vhost: str, name: str, definition: "ShovelDefinition") -> None:
        """Run a shovel, in place of the one with the same name."""

    @abstractmethod
    def stop(self, vhost: str, name: str) -> None:
        """Stop a shovel."""

    @abstractmethod
    def status(self, vhost: str, name: str) -> ShovelStatus | None:
        """Return the state of a shovel; None if it does not run."""


@final
class Shovels(Component):
    """The component shovel. predeclared: shovels do not declare queues unless their definition says so.

    Events do not contain the values, because they may include passwords.
    """

    def __init__(
        self,
        definitions: Definitions,
        users: Users,
        defined: Container[str],
        vhosts: Container[str],
        predeclared: bool,
        events: Events = UNHEARD,
    ) -> None:
        """defined: names of all vhosts. vhosts: those that this broker serves."""
        self._definitions = definitions
        self._defined = defined
        self._events = events
        self._users = users
        self._vhosts = vhosts
        self._predeclared = predeclared
        self._values: dict[tuple[str, str], object] = {}
        self._runner: ShovelRunner | None = None
        self._finish: Callable[[str, str], None] | None = None

    # --- parameters ---------------------------------------------------------------------------------------------------

    def check(self, name: str, value: object) -> None:
        self._read(name, value)

    def authorise(self, name: str, value: object, user: User) -> None:
        """Check that the user may connect to the vhosts of this broker that the shovel uses.

        The shovel acts as the broker there.
        """
        definition = self._read(name, value)
        for uri in (*definition.source.uris, *definition.destination.uris):
            if uri.host is None and not self._may_enter(user, uri.vhost):
                raise ValueError(f'Validation failed\n\nuser "{user.name}" may not connect to vhost "{uri.vhost}"\n')

    def _may_enter(self, user: User, vhost: str) -> bool:
        try:
            self._users.permissions(user, vhost)
        except AmqpError:
            return False
        return vhost in self._defined

    def put(self, vhost: str, name: str, value: object) -> None:
        definition = self._read(name, value)
        self._definitions.put(ParameterDefinition(SHOVEL, vhost, name, value))
        self._values[vhost, name] = value
        self._events.parameter_set(SHOVEL, name, vhost)
        if self._runner is not None and vhost in self._vhosts:
            self._runner.start(vhost, name, definition)

    def delete(self, vhost: str, name: str) -> None:
        self._definitions.remove(ParameterDefinition(SHOVEL, vhost, name, self._values[vhost, name]))
        self._delete(vhost, name)

    def values(self, vhost: str | None) -> list[tuple[str, str, object]]:
        return [(each, name, value) for (each, name), value in self._values.items() if vhost in (None, each)]

    def restore(self, stored: ParameterDefinition) -> None:
        """Restore a shovel from its stored definition. Raises ValueError."""
        self._read(stored.name, stored.value)
        self._values[stored.vhost, stored.name] = stored.value

    def vhost_deleted(self, vhost: str) -> None:
        """Discard the shovels of a vhost that is deleted, also from the definitions."""
        for name in self._names(vhost):
            self._delete(vhost, name)

    def _delete(self, vhost: str, name: str) -> None:
        del self._values[vhost, name]
        self._events.parameter_cleared(SHOVEL, name, vhost)
        if self._runner is not None:
            self._runner.stop(vhost, name)

    # --- running ------------------------------------------------------------------------------------------------------

    def run(self, runner: ShovelRunner | None) -> None:
        """Run all present and future shovels by this runner; None: stop running them."""
        self._runner = runner
        if runner is not None:
            for vhost, name in self._values:
                if vhost in self._vhosts:
                    runner.start(vhost, name, self.definition(vhost, name))

    def open_vhost(self, vhost: str) -> None:
        """Run the shovels of a vhost, if this broker serves it."""
        if self._runner is not None and vhost in self._vhosts:
            for name in self._names(vhost):
                self._runner.start(vhost, name, self.definition(vhost, name))

    def close_vhost(self, vhost: str) -> None:
        """Stop the shovels of a vhost, whose definitions stay."""
        if self._runner is not None:
            for name in self._names(vhost):
                self._runner.stop(vhost, name)

    def finish(self, vhost: str, name: str) -> None:
        """Delete a shovel that has transferred all that it was defined for. Raises AmqpError, LookupError."""
        (self._finish or self.delete)(vhost, name)

    def finish_by(self, finish: Callable[[str, str], None]) -> None:
        """Delete finished shovels by `finish`, with vhost and name, since another broker may write the definitions."""
        self._finish = finish

    def _names(self, vhost: str) -> list[str]:
        return [name for each, name in self._values if each == vhost]

    def _read(self, name: str, value: Any) -> "ShovelDefinition":
        """Return a definition. Raises ValueError."""
        from amqpbroker.broker.shovels.definition import read  # most brokers have no shovel, and so need no URIs

        return read(name, value, self._predeclared)

    def definition(self, vhost: str, name: str) -> "ShovelDefinition":
        """Return the definition. Raises LookupError if the shovel does not exist."""
        if (vhost, name) not in self._values:
            raise LookupError(f"shovel '{name}' in vhost '{vhost}' does not exist")
        return self._read(name, self._values[vhost, name])

    def restart(self, vhost: str, name: str) -> None:
        """Restart a shovel. Raises LookupError if it does not exist."""
        definition = self.definition(vhost, name)
        if self._runner is not None:
            self._runner.start(vhost, name, definition)

    def statuses(self) -> list[ShovelStatus]:
        """Return the states of running shovels, by vhost and name."""
        runner = self._runner
        if runner is None:
            return []
        found = [runner.status(*key) for key in sorted(self._values)]
        return [status for status in found if status is not None]
