"""Queues that keep the last message of each key.

- The last confirmed message of a key is acked or drained, or a newer one of the key is, which replaced it.
- A message is never delivered after a newer one of its key to the same consumer, nor after the ack of a newer one was
  synced, also if the broker was killed meanwhile.

Most keys change every few hundred messages, so that there are many last messages that nothing replaces. The others
remain, so that messages replace those of an earlier life of the broker.
"""

import random
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.crash.clients import RawConsumer, RawPublisher, Workload
from tests.crash.ledger import SMALL_BACKLOG, Ledger, Mark, Session

HEADER = "key"
KEYS = 30
#: The number of keys that remain, and of messages after which the others change.
REMAINING = 5
CHANGE = 300
PREFETCH = 3


class LastValueLedger(Ledger):
    """A queue of messages with keys."""

    in_order = False
    backlog = SMALL_BACKLOG

    def __init__(self, chance: random.Random, queue: str, position: str, **arguments: object) -> None:
        own = {"x-last-value-key": longstr(HEADER), "x-last-value-position": longstr(position)}
        super().__init__(queue, **own, **arguments)
        self._chance = chance
        self.keys: dict[int, str] = {}
        #: The newest message of each key whose ack is synced.
        self.newest_gone: dict[str, int] = {}
        self.came: set[int] = set()

    def publish(self) -> tuple[int, bytes]:
        number, data = super().publish()
        key = self._chance.randrange(KEYS)
        self.keys[number] = f"{key}" if key < REMAINING else f"{key} from {number // CHANGE}"
        return number, data

    def properties(self, number: int) -> dict[str, Any]:
        return {"headers": {HEADER: longstr(self.keys[number])}}

    def session(self) -> "LastValueSession":
        return LastValueSession(self)

    @property
    def awaited(self) -> set[int]:
        last = {self.keys[number]: number for number in sorted(self.confirmed)}
        newest = {self.keys[number]: number for number in sorted(self.finished)}
        return {number for key, number in last.items() if newest.get(key, 0) < number}

    def is_tested(self) -> bool:
        return super().is_tested() and bool(self.confirmed - self.came)

    def details(self) -> str:
        return f", keys {len(set(self.keys.values()))}, replaced {len(self.confirmed - self.came)}"


class LastValueSession(Session):
    """One consumer of messages with keys."""

    ledger: LastValueLedger

    def __init__(self, ledger: LastValueLedger) -> None:
        super().__init__(ledger)
        self._newest: dict[str, int] = {}

    def check(self, number: int) -> None:
        ledger = self.ledger
        key = ledger.keys[number]
        ledger.came.add(number)
        if number < self._newest.get(key, 0):
            ledger.complain(number, f"is delivered after message {self._newest[key]} with the same key")
        if number < ledger.newest_gone.get(key, 0):
            ledger.complain(number, f"is delivered after the ack of message {ledger.newest_gone[key]} was synced")
        self._newest[key] = number

    def synced(self, mark: Mark) -> None:
        super().synced(mark)
        newest = self.ledger.newest_gone
        for number in mark.acked:
            key = self.ledger.keys[number]
            newest[key] = max(newest.get(key, 0), number)


def workloads(chance: random.Random) -> list[Workload]:
    """Return a queue of each type and position."""
    quorum = {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("l", -1)}
    ledgers = [
        LastValueLedger(chance, f"last values {position} {kind}", position, **arguments)
        for position in ("old", "tail")
        for kind, arguments in (("classic", {}), ("quorum", quorum))
    ]
    return [Workload([RawPublisher(chance, each), RawConsumer(chance, each, PREFETCH)], [each]) for each in ledgers]
