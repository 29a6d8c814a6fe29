"""Resource alarms, which block publishers while a resource of the broker is low (rabbit_alarm.erl)."""

import logging
from collections.abc import Callable
from typing import Literal

from amqpbroker.broker.events.events import UNHEARD, Events

log = logging.getLogger(__name__)

Resource = Literal["disk", "memory"]


class Alarms:
    """The active resource alarms. The monitor of a resource sets and clears its alarm; repeated calls have no effect.

    resources: names of the resources that are low, in alphabetical order. `on_change()` is called when they have
    changed.
    """

    def __init__(self, node: str, on_change: Callable[[], None], events: Events = UNHEARD) -> None:
        self.resources: tuple[Resource, ...] = ()
        self._node = node
        self._on_change = on_change
        self._events = events

    @property
    def reason(self) -> str:
        """Return the reason that publishers are told, such as `low on disk & memory`; empty while there is no alarm."""
        return f"low on {' & '.join(self.resources)}" if self.resources else ""

    def set(self, resource: Resource) -> None:
        if resource in self.resources:
            return
        log.warning(
            "%s resource limit alarm set on node %s.\n\n"
            "**********************************************************\n"
            "*** Publishers will be blocked until this alarm clears ***\n"
            "**********************************************************\n",
            resource,
            self._node,
        )
        self.resources = tuple(sorted({*self.resources, resource}))
        self._events.alarm_set(resource)
        self._on_change()

    def clear(self, resource: Resource) -> None:
        if resource not in self.resources:
            return
        log.warning("%s resource limit alarm cleared on node %s", resource, self._node)
        self.resources = tuple(one for one in self.resources if one != resource)
        self._events.alarm_cleared(resource)
        self._on_change()
