"""A listener to some events."""

from amqpbroker.broker.alarms import Alarms
from amqpbroker.broker.events.events import Events


class AlarmsSet(Events):
    """Records the alarms that were set, and ignores all other events."""

    def __init__(self) -> None:
        super().__init__()
        self.resources: list[str] = []

    def alarm_set(self, resource: str) -> None:
        self.resources.append(resource)


def test_event_listener_may_lack_methods_for_events_it_ignores() -> None:
    events = AlarmsSet()
    alarms = Alarms("node", lambda: None, events)
    alarms.set("disk")
    alarms.clear("disk")
    alarms.set("memory")
    assert events.resources == ["disk", "memory"]
