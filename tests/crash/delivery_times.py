"""Messages with a delivery time, which the queue or the exchange holds: none is delivered before it, by the wall clock.

The same is true after a kill, because the time is stored. The times of some messages are after the test.
"""

import random
import time
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.crash.clients import RawConsumer, RawPublisher, Workload
from tests.crash.ledger import SMALL_BACKLOG, Ledger, Session
from tests.crash.returns import ROUNDING_S
from tests.load.client import LoadClient

#: Longest time for which a message is held, in ms: longer than most lives of the broker, and shorter than the drain
#: waits.
LONGEST_MS = 1_400
#: Delay of messages that do not come within the test, even if the machine takes seconds to start a broker.
AFTERWARDS_MS = 3_600_000
HEADER = "due"


class TimedLedger(Ledger):
    """A queue of messages with a delivery time in ms, which it holds. held: the number that came after their time.

    never: messages whose time does not come within the test.
    """

    header = HEADER
    in_order = False
    backlog = SMALL_BACKLOG

    def __init__(self, chance: random.Random, queue: str, **arguments: object) -> None:
        super().__init__(queue, **arguments)
        self._chance = chance
        self.due_ms: dict[int, int] = {}
        self.never: set[int] = set()
        self.held: int = 0

    def publish(self) -> tuple[int, bytes]:
        number, data = super().publish()
        choice = self._chance.random()
        if choice < 0.5:
            delay_ms = AFTERWARDS_MS if choice < 0.1 else self._chance.randrange(LONGEST_MS)
            self.due_ms[number] = int(time.time() * 1000) + delay_ms
            if delay_ms == AFTERWARDS_MS:
                self.never.add(number)
        return number, data

    @property
    def awaited(self) -> set[int]:
        return super().awaited - self.never

    def properties(self, number: int) -> dict[str, Any]:
        return {"headers": {self.header: Field("l", self.due_ms[number])}} if number in self.due_ms else {}

    def session(self) -> "TimedSession":
        return TimedSession(self)

    def is_tested(self) -> bool:
        return super().is_tested() and self.held > 0

    def details(self) -> str:
        return f", held {self.held}"


class TimedSession(Session):
    """One consumer of messages with a delivery time."""

    ledger: TimedLedger

    def check(self, number: int) -> None:
        due_ms = self.ledger.due_ms.get(number)
        if due_ms is not None:
            self.ledger.held += 1
            early_ms = due_ms - time.time() * 1000
            if early_ms > ROUNDING_S * 1000:
                self.ledger.complain(number, f"is delivered {early_ms:.1f} ms before its time")


class ExchangeLedger(TimedLedger):
    """A queue behind an exchange that holds the messages."""

    exchange = "held"
    header = "x-opt-delivery-time"

    def declare(self, client: LoadClient) -> None:
        super().declare(client)
        exchange = {
            "exchange": self.exchange,
            "exchange_type": "x-delayed-message",
            "durable": True,
            "arguments": {"x-delayed-type": longstr("direct")},
        }
        client.call("exchange.declare", "exchange.declare-ok", **exchange)
        client.call("queue.bind", "queue.bind-ok", queue=self.queue, exchange=self.exchange, routing_key=self.queue)


def workloads(chance: random.Random) -> list[Workload]:
    """Return queues of each type, and one behind an exchange."""
    holding = {"x-delivery-time-header": longstr(HEADER)}
    quorum = {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("l", -1)}
    ledgers = (
        TimedLedger(chance, "timed", **holding),
        TimedLedger(chance, "timed quorum", **holding, **quorum),
        ExchangeLedger(chance, "behind the holding exchange"),
    )
    return [Workload([RawPublisher(chance, each), RawConsumer(chance, each)], [each]) for each in ledgers]
