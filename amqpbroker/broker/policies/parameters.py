"""Parameters: settings at run time, by component, vhost and name (rabbit_runtime_parameters.erl); and global ones."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, final

from amqpbroker.broker.events.events import UNHEARD, Events
from amqpbroker.store.definitions.definitions import Definitions, GlobalParameterDefinition

if TYPE_CHECKING:
    from amqpbroker.broker.users.users import User


class Parameter(NamedTuple):
    """value: decoded JSON."""

    component: str
    vhost: str
    name: str
    value: Any


class GlobalParameter(NamedTuple):
    """value: decoded JSON."""

    name: str
    value: Any


class Component(ABC):
    """What one component's parameters are and do. The component keeps them, each change safe before it is made.

    Raises LookupError for what is not there, ValueError for a value that is none, AmqpError 506.
    """

    @abstractmethod
    def check(self, name: str, value: object) -> None:
        """Raises ValueError for what `put` would refuse."""

    def authorise(self, name: str, value: object, user: "User") -> None:  # noqa: B027 - most leave it to the vhost
        """Raises ValueError for a value that this user may not set."""

    @abstractmethod
    def put(self, vhost: str, name: str, value: object) -> None:
        """Set, and put in force."""

    @abstractmethod
    def delete(self, vhost: str, name: str) -> None:
        """Take out of force."""

    @abstractmethod
    def values(self, vhost: str | None) -> list[tuple[str, str, object]]:
        """(vhost, name, value) of one vhost or of all."""


def validation_failed(*problems: str) -> ValueError:
    """As RabbitMQ says that a value is none."""
    return ValueError("\n".join(("Validation failed\n", *problems, "")))


@final
class Parameters:
    """The parameters of all components. `list` without a component leaves policies out, as RabbitMQ does."""

    def __init__(self, components: Mapping[str, Component]) -> None:
        self._components = dict(components)

    def put(self, component: str, vhost: str, name: str, value: object) -> None:
        """Raises ValueError for a component that there is not, or a value that it does not take."""
        self.check(component, name, value)
        self._components[component].put(vhost, name, value)

    def check(self, component: str, name: str, value: object) -> None:
        """Raises ValueError for what `put` would refuse."""
        if component not in self._components:
            raise validation_failed(f"component {component} not found")
        self._components[component].check(name, value)

    def authorise(self, component: str, name: str, value: object, user: "User") -> None:
        """Raises ValueError for a value that this user may not set, or nobody."""
        self.check(component, name, value)
        self._components[component].authorise(name, value, user)

    def has(self, component: str) -> bool:
        return component in self._components

    def delete(self, component: str, vhost: str, name: str) -> None:
        """Raises LookupError."""
        self.get(component, vhost, name)
        self._components[component].delete(vhost, name)

    def get(self, component: str, vhost: str, name: str) -> Parameter:
        """Raises LookupError."""
        for parameter in self.list(component, vhost):
            if parameter.name == name:
                return parameter
        raise LookupError(f"parameter '{name}' of component '{component}' in vhost '{vhost}' does not exist")

    def list(self, component: str | None = None, vhost: str | None = None) -> list[Parameter]:
        """Those of one component or of all, in one vhost or in all; none of a component that there is not."""
        return [
            Parameter(name, *value)
            for name, each in self._components.items()
            if name == component or (component is None and name != "policy")
            for value in each.values(vhost)
        ]


@final
class GlobalParameters:
    """Parameters that belong to no vhost, of any name and value. Nothing but `cluster_name` means anything here.

    AmqpError 506 is raised for a change that cannot be stored; then nothing has changed.
    """

    def __init__(self, definitions: Definitions, events: Events = UNHEARD) -> None:
        self._definitions = definitions
        self._events = events
        self._values: dict[str, Any] = {}

    def put(self, name: str, value: object) -> None:
        """Set; any JSON will do."""
        self._definitions.put(GlobalParameterDefinition(name, value))
        self._values[name] = value
        self._events.parameter_set("global", name, value=value)

    def delete(self, name: str) -> None:
        """Raises LookupError."""
        self._definitions.remove(GlobalParameterDefinition(*self.get(name)))
        del self._values[name]
        self._events.parameter_cleared("global", name)

    def get(self, name: str) -> GlobalParameter:
        """Raises LookupError."""
        if name not in self._values:
            raise LookupError(f"global parameter '{name}' does not exist")
        return GlobalParameter(name, self._values[name])

    def value(self, name: str, otherwise: object) -> Any:
        """That of the parameter, if there is one."""
        return self._values.get(name, otherwise)

    def list(self) -> list[GlobalParameter]:
        """All, by name."""
        return [GlobalParameter(name, self._values[name]) for name in sorted(self._values)]

    def restore(self, stored: GlobalParameterDefinition) -> None:
        """From definitions that have it."""
        self._values[stored.name] = stored.value
