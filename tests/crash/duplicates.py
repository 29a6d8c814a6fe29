"""Publishers that repeat ids, of confirmed and of unconfirmed messages, before and after a kill.

Each number is one attempt to publish a message with some id; the body tells the attempts apart.

- **One attempt in a session**: of the attempts with one id, the broker has accepted one, so a consumer gets only one.
  A kill may undo an attempt together with its id, but only before it is confirmed or seen on disk.
- **Late attempts** are dropped: an attempt that is published after one with its id was confirmed, or whose ack is
  synced, is never delivered.
- Nothing is lost: an attempt with each confirmed id is acked or drained, and this is the first one if it is confirmed.

If ids count only while their message is in the queue, an attempt is late if a stored message with its id is not acked
before the attempt is confirmed. A consumer does not hold two attempts with one id. An attempt must be acked or drained
itself if the acks of all earlier ones, except late ones, were synced before.
"""

import random
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.crash.clients import RawConsumer, RawPublisher, SlowConsumer, Workload
from tests.crash.ledger import SMALL_BACKLOG, Ledger, Session
from tests.load.client import LoadClient

HEADER = "x-deduplication-header"
ON = {"x-message-deduplication": Field("t", True)}
#: Longer than any run.
WINDOW = ON | {"x-cache-ttl": Field("l", 86_400_000)}
#: Some attempts have an id of these last attempts, whose confirms may be lost; some have any earlier id.
LAST = 60


class DuplicateLedger(Ledger):
    """A queue of messages with ids, which each are accepted once."""

    backlog = SMALL_BACKLOG

    def __init__(self, chance: random.Random, queue: str, **arguments: object) -> None:
        super().__init__(queue, **arguments)
        self._chance = chance
        #: The id of each attempt, which is the number of the first attempt with it, and the attempts of each id.
        self.ids: dict[int, int] = {}
        self.attempts: dict[int, list[int]] = {}
        self.confirmed_ids: set[int] = set()
        self.late: set[int] = set()
        #: Attempts that are certainly not duplicates.
        self.required: set[int] = set()

    def publish(self) -> tuple[int, bytes]:
        number, data = super().publish()
        choice = self._chance.random()
        if number == 1 or choice < 0.6:
            id_ = number
        else:
            id_ = self.ids[self._chance.randrange(max(number - LAST, 1) if choice < 0.8 else 1, number)]
        earlier = self.attempts.setdefault(id_, [])
        self.prepare(number, id_, earlier)
        self.ids[number] = id_
        earlier.append(number)
        return number, data

    def prepare(self, number: int, id_: int, earlier: list[int]) -> None:
        """Record what is known about an attempt before it is published."""
        if not earlier:
            self.required.add(number)
        if id_ in self.confirmed_ids or any(each in self.gone for each in earlier):
            self.late.add(number)

    def properties(self, number: int) -> dict[str, Any]:
        return {"headers": {HEADER: longstr(f"id {self.ids[number]}")}}

    def confirm(self, number: int) -> None:
        super().confirm(number)
        self.confirmed_ids.add(self.ids[number])

    def session(self) -> "DuplicateSession":
        return DuplicateSession(self)

    @property
    def awaited(self) -> set[int]:
        return self.confirmed & self.required

    def settle_accounts(self) -> None:
        super().settle_accounts()
        finished = {self.ids[number] for number in self.finished}
        for id_ in sorted(self.confirmed_ids - finished):
            self.complain(id_, "was confirmed, and no attempt with its id is left")

    def is_tested(self) -> bool:
        return super().is_tested() and bool(self.late & self.confirmed)

    def details(self) -> str:
        return f", ids {len(self.attempts)}, late attempts {len(self.late)}"


class DuplicateSession(Session):
    """One consumer of messages with ids."""

    ledger: DuplicateLedger

    def __init__(self, ledger: DuplicateLedger) -> None:
        super().__init__(ledger)
        self._came: dict[int, int] = {}

    def check(self, number: int) -> None:
        ledger = self.ledger
        id_ = ledger.ids[number]
        if number in ledger.late:
            ledger.complain(number, f"is delivered, and a message with its id {id_} was accepted before")
        other = self.same(number, id_)
        if other != number:
            ledger.complain(number, f"is delivered, and so was message {other} with the same id")

    def same(self, number: int, id_: int) -> int:
        """Return another message with the id that excludes this one, or the message itself."""
        return self._came.setdefault(id_, number)


class ExchangeLedger(DuplicateLedger):
    """A queue behind an exchange that drops duplicates."""

    exchange = "duplicates"

    def declare(self, client: LoadClient) -> None:
        super().declare(client)
        exchange = {"exchange": self.exchange, "exchange_type": "direct", "durable": True, "arguments": WINDOW}
        client.call("exchange.declare", "exchange.declare-ok", **exchange)
        client.call("queue.bind", "queue.bind-ok", queue=self.queue, exchange=self.exchange, routing_key=self.queue)


class QueuedIdLedger(DuplicateLedger):
    """A queue that drops a message while one with its id is in it."""

    def __init__(self, chance: random.Random, queue: str, **arguments: object) -> None:
        super().__init__(chance, queue, **arguments)
        self._came: set[int] = set()

    def prepare(self, number: int, id_: int, earlier: list[int]) -> None:
        if all(each in self.gone or each in self.late for each in earlier):
            self.required.add(number)

    def properties(self, number: int) -> dict[str, Any]:
        return {"message_id": f"id {self.ids[number]}"}

    def confirm(self, number: int) -> None:
        super().confirm(number)
        earlier = self.attempts[self.ids[number]]
        if any(each < number and self._is_stored(each) and each not in self.acked for each in earlier):
            self.late.add(number)
            if number in self._came:
                self.complain(number, "was delivered while a message with its id was in the queue")

    def _is_stored(self, number: int) -> bool:
        return number in self.seen or (number in self.required and number in self.confirmed)

    def session(self) -> "QueuedIdSession":
        return QueuedIdSession(self)

    def came(self, number: int) -> None:
        """Record a delivery."""
        self._came.add(number)


class QueuedIdSession(DuplicateSession):
    """One consumer of a queue whose ids count while their message is in it."""

    ledger: QueuedIdLedger

    def check(self, number: int) -> None:
        self.ledger.came(number)
        super().check(number)

    def same(self, number: int, id_: int) -> int:
        acked = self.ledger.acked
        others = (each for each in self.ledger.attempts[id_] if each in self.held and each not in acked)
        return next(others, number)


def workloads(chance: random.Random) -> list[Workload]:
    """Return queues of each type, and one behind an exchange."""
    quorum = {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("l", -1)}
    queued = ON | {"x-deduplication-property": longstr("message_id")}
    ledgers = (
        DuplicateLedger(chance, "window", **WINDOW),
        DuplicateLedger(chance, "window quorum", **WINDOW, **quorum),
        ExchangeLedger(chance, "behind an exchange"),
    )
    queues = (
        QueuedIdLedger(chance, "queued ids", **queued),
        QueuedIdLedger(chance, "queued ids quorum", **queued, **quorum),
    )
    return [
        *[Workload([RawPublisher(chance, each), RawConsumer(chance, each)], [each]) for each in ledgers],
        *[Workload([RawPublisher(chance, each), SlowConsumer(chance, each)], [each]) for each in queues],
    ]
