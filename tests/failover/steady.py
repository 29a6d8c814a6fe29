"""A client of one vhost that confirms one message after the other, and connects again when it must."""

import random
import time
from itertools import pairwise

from tests.crash.clients import CrashClient, StoppedError, events_of
from tests.crash.pairs import UnreadLedger
from tests.harness import published

#: Interval between two messages, and between two attempts to connect.
INTERVAL_S = 0.02
AGAIN_S = 0.25
#: Time after which it connects again.
ANSWER_S = 30.0


class SteadyPublisher(CrashClient):
    """Shows for how long a vhost confirms nothing.

    ledger: of its queue, which nobody reads before the drain. connections: number of connections of this run. confirms:
    times of the confirms of this run, in seconds of the monotonic clock.
    """

    def __init__(self, chance: random.Random, ledger: UnreadLedger) -> None:
        super().__init__(chance)
        self.ledger = ledger
        self.connections = 0
        self.confirms: list[float] = []

    def work(self) -> None:
        self.connections, self.confirms = 0, []
        while True:
            try:
                self._publish()
            except StoppedError:
                raise
            except (OSError, AssertionError):
                self.check()
                time.sleep(AGAIN_S)

    def _publish(self) -> None:
        ledger = self.ledger
        with self.connect(timeout_s=ANSWER_S) as client:
            self.connections += 1
            ledger.declare(client)
            client.call("confirm.select", "confirm.select-ok")
            self.working.set()
            events = events_of(client)
            while True:
                number, data = ledger.publish()
                client.send(published(ledger.queue, data, delivery_mode=2))
                event = next(events)
                assert event.name == "basic.ack", event
                ledger.confirm(number)
                self.confirms.append(time.monotonic())
                time.sleep(INTERVAL_S)

    def longest_pause_s(self, since: float) -> float:
        """Return the longest time without a confirm between a time and now."""
        confirms = list(self.confirms)
        last = max((at for at in confirms if at <= since), default=since)
        times = [last, *[at for at in confirms if at > since], time.monotonic()]
        return max(after - before for before, after in pairwise(times))
