"""Messages that expire anywhere in their queue.

- A confirmed message with a TTL is acked, or arrives among the dead letters, once, and not before its deadline.
- Messages without a TTL are no dead letters.
- When the queue is drained, every deadline has passed: no message with a TTL is left.
"""

import random
import time
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.crash.clients import RawConsumer, RawPublisher, SlowConsumer, Workload
from tests.crash.dead_letters import DeadLetters
from tests.crash.ledger import SMALL_BACKLOG, Ledger

#: TTLs in ms. Most messages wait longer behind others.
TTLS_MS = (0, 1, 10, 100, 1_000)
#: The broker counts whole milliseconds, and its times of the wall clock continue after a restart.
TOLERANCE_S = 0.005


class ExpiringLedger(Ledger):
    """A queue with the TTL mode any. deadlines: the earliest time when each message with a TTL may expire."""

    backlog = SMALL_BACKLOG

    def __init__(self, chance: random.Random, queue: str, **arguments: object) -> None:
        super().__init__(queue, **{"x-message-ttl-mode": longstr("any")}, **arguments)
        self._chance = chance
        self.ttls_ms: dict[int, int] = {}
        self.deadlines: dict[int, float] = {}

    def publish(self) -> tuple[int, bytes]:
        number, data = super().publish()
        if self._chance.random() < 0.7:
            ttl_ms = self.ttls_ms[number] = self._chance.choice(TTLS_MS)
            self.deadlines[number] = time.time() + ttl_ms / 1000
        return number, data

    def properties(self, number: int) -> dict[str, Any]:
        return {"expiration": str(self.ttls_ms[number])} if number in self.ttls_ms else {}

    def must_live(self, number: int) -> str:
        if number not in self.deadlines:
            return "it has no TTL"
        early_s = self.deadlines[number] - time.time()
        return f"it had {early_s:.3f} s left" if early_s > TOLERANCE_S else ""

    def settle_accounts(self) -> None:
        super().settle_accounts()
        for number in sorted(self.drained & self.ttls_ms.keys()):
            self.complain(number, "has not expired")


def workloads(chance: random.Random) -> list[Workload]:
    """Return a queue of each type."""
    quorum = {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("l", -1)}
    made = []
    for ledger in (ExpiringLedger(chance, "expiring"), ExpiringLedger(chance, "expiring quorum", **quorum)):
        dead = DeadLetters(ledger)
        slow = SlowConsumer(chance, ledger)
        made.append(Workload([RawPublisher(chance, ledger), slow, RawConsumer(chance, dead)], [ledger, dead]))
    return made
