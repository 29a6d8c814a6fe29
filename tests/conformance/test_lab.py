from types import SimpleNamespace

from conformance.client import Timing
from conformance.lab import Lab


class Janitor:
    """Asks a broker that stood still, which writes what was due before it answers."""

    def __init__(self, *due):
        self.due = list(due)
        self.connection = SimpleNamespace(events=[], lost=True)
        self.asked = 0

    def ask(self):
        self.asked += 1
        if self.due:
            self.connection.events.append(self.due.pop())


def test_quiet_waits_until_the_broker_has_answered_all_requests():
    janitor = Janitor("one", "two")
    lab = Lab("area/name", None, Timing(quiet_s=0), janitor)
    lab.connections.append(janitor.connection)
    lab.quiet()
    assert (janitor.due, janitor.asked) == ([], 3)
