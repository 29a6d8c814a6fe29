"""Runtime parameters by component, vhost and name (rabbit_runtime_parameters.erl), and global parameters."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, final

from amqpbroker.broker.events.events import UNHEARD, Events
from amqpbroker.store.definitions.definitions import Definitions, GlobalParameterDefinition

if TYPE_CHECKING:
    from amqpbroker.broker.users.users import User


class Parameter(NamedTuple):
    """A runtime parameter. value: decoded JSON."""

    component: str
    vhost: str
    name: str
    value: Any


class GlobalParameter(NamedTuple):
    """A global parameter. value: decoded JSON."""

    name: str
    value: Any


class Component(ABC):
    """The parameters of one component. The component owns them, and stores each change before it takes effect.

    Methods raise LookupError if a parameter does not exist, ValueError if a value is invalid, and AmqpError 506.
    """

    @abstractmethod
    def check(self, name: str, value: object) -> None:
        """Check a value. Raises ValueError if `put` would refuse it."""

    def authorise(self, name: str, value: object, user: "User") -> None:  # noqa: B027 - most leave it to the vhost
        """Check permissions. Raises ValueError if this user may not set the value."""

    @abstractmethod
    def put(self, vhost: str, name: str, value: object) -> None:
        """Set a parameter and apply it."""

    @abstractmethod
    def delete(self, vhost: str, name: str) -> None:
        """Delete a parameter and revoke its effect."""

    @abstractmethod
    def values(self, vhost: str | None) -> list[tuple[str, str, object]]:
        """Return (vhost, name, value) of the parameters of one vhost or of all vhosts."""


def validation_failed(*problems: str) -> ValueError:
    """Return the error for an invalid value, in RabbitMQ's words."""
    return ValueError("\n".join(("Validation failed\n", *problems, "")))


@final
class Parameters:
    """The parameters of all components. `list` without a component omits policies, as RabbitMQ does."""

    def __init__(self, components: Mapping[str, Component]) -> None:
        self._components = dict(components)

    def put(self, component: str, vhost: str, name: str, value: object) -> None:
        """Set a parameter. Raises ValueError if the component does not exist or refuses the value."""
        self.check(component, name, value)
        self._components[component].put(vhost, name, value)

    def check(self, component: str, name: str, value: object) -> None:
        """Check a value. Raises ValueError if `put` would refuse it."""
        if component not in self._components:
            raise validation_failed(f"component {component} not found")
        self._components[component].check(name, value)

    def authorise(self, component: str, name: str, value: object, user: "User") -> None:
        """Check permissions. Raises ValueError if this user, or every user, may not set the value."""
        self.check(component, name, value)
        self._components[component].authorise(name, value, user)

    def has(self, component: str) -> bool:
        return component in self._components

    def delete(self, component: str, vhost: str, name: str) -> None:
        """Delete a parameter. Raises LookupError if it does not exist."""
        self.get(component, vhost, name)
        self._components[component].delete(vhost, name)

    def get(self, component: str, vhost: str, name: str) -> Parameter:
        """Return a parameter. Raises LookupError if it does not exist."""
        for parameter in self.list(component, vhost):
            if parameter.name == name:
                return parameter
        raise LookupError(f"parameter '{name}' of component '{component}' in vhost '{vhost}' does not exist")

    def list(self, component: str | None = None, vhost: str | None = None) -> list[Parameter]:
        """Return the parameters of one or all components in one or all vhosts; none if the component does not exist."""
        return [
            Parameter(name, *value)
            for name, each in self._components.items()
            if name == component or (component is None and name != "policy")
            for value in each.values(vhost)
        ]


@final
class GlobalParameters:
    """Parameters that belong to no vhost, with any name and value. Only `cluster_name` has an effect.

    Methods raise AmqpError 506 if a change cannot be stored; then nothing has changed.
    """

    def __init__(self, definitions: Definitions, events: Events = UNHEARD) -> None:
        self._definitions = definitions
        self._events = events
        self._values: dict[str, Any] = {}

    def put(self, name: str, value: object) -> None:
        """Set a parameter to any JSON value."""
        self._definitions.put(GlobalParameterDefinition(name, value))
        self._values[name] = value
        self._events.parameter_set("global", name, value=value)

    def delete(self, name: str) -> None:
        """Delete a parameter. Raises LookupError if it does not exist."""
        self._definitions.remove(GlobalParameterDefinition(*self.get(name)))
        del self._values[name]
        self._events.parameter_cleared("global", name)

    def get(self, name: str) -> GlobalParameter:
        """Return a parameter. Raises LookupError if it does not exist."""
        if name not in self._values:
            raise LookupError(f"global parameter '{name}' does not exist")
        return GlobalParameter(name, self._values[name])

    def value(self, name: str, otherwise: object) -> Any:
        """Return the value of the parameter, or `otherwise` if it does not exist."""
        return self._values.get(name, otherwise)

    def list(self) -> list[GlobalParameter]:
        """Return all parameters, sorted by name."""
        return [GlobalParameter(name, self._values[name]) for name in sorted(self._values)]

    def restore(self, stored: GlobalParameterDefinition) -> None:
        """Restore a parameter from its stored definition."""
        self._values[stored.name] = stored.value
