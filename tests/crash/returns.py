"""Returned messages that the queue delays, and gives up after a number of deliveries.

- **Returned and synced**: a message whose return is synced is not delivered again before its time, also if the broker
  was killed meanwhile. With a multiplier each further delay is longer: the delivery count is at least the number of
  synced returns.
- **Limit**: a message with more synced returns than the limit is not delivered again.
"""

import random
import time

from amqpbroker.wire.values import Field, longstr
from tests.crash.clients import Consumer, RawConsumer, RawPublisher, Workload
from tests.crash.dead_letters import DeadLetters
from tests.crash.ledger import SMALL_BACKLOG, Ledger, Mark, Session
from tests.load.client import request

#: The longest delay of returned messages in seconds, about the time of a round.
DELAY_S = 1.5
LIMIT = 3
#: The first delay of messages that have a limit, which they reach after a few rounds.
FIRST_S = 0.04
#: The broker counts in whole milliseconds, of its own clock and, over a restart, of the wall clock.
ROUNDING_S = 0.002
#: A delay that outlasts the test, also on a machine that takes seconds to start a broker.
LONG_S = 3600.0


class RetryLedger(Ledger):
    """A queue that delays returned messages by `first_s` seconds, then twice as long each time, up to DELAY_S."""

    in_order = False
    backlog = SMALL_BACKLOG

    def __init__(self, queue: str, first_s: float = DELAY_S, **arguments: object) -> None:
        delays = {"x-delayed-retry-type": longstr("all"), "x-delayed-retry-min": Field("I", int(first_s * 1000))}
        if first_s < DELAY_S:
            delays["x-delayed-retry-max"] = Field("I", int(DELAY_S * 1000))
            delays["x-delayed-retry-multiplier"] = Field("I", 2)
        super().__init__(queue, **delays, **arguments)
        self.first_s = first_s
        #: Number of synced returns of each message, and the time before which it must not be delivered.
        self.returns: dict[int, int] = {}
        self.not_before: dict[int, float] = {}
        self.waited: int = 0

    def delay_s(self, returns: int) -> float:
        """Return the delay after that number of returns."""
        return min(self.first_s * 2.0 ** (returns - 1), DELAY_S)

    def session(self) -> "RetrySession":
        return RetrySession(self)

    def is_tested(self) -> bool:
        return super().is_tested() and self.waited > 0

    def details(self) -> str:
        return f", waited {self.waited}"


class RetrySession(Session):
    """One consumer of a queue that delays returned messages."""

    ledger: RetryLedger

    def check(self, number: int) -> None:
        not_before = self.ledger.not_before.pop(number, None)
        if not_before is not None:
            self.ledger.waited += 1
            early_s = not_before - time.monotonic()
            if early_s > ROUNDING_S:
                self.ledger.complain(number, f"is back {early_s:.3f} s too early")

    def synced(self, mark: Mark) -> None:
        super().synced(mark)
        ledger = self.ledger
        for number, at in mark.returned.items():
            returns = ledger.returns[number] = ledger.returns.get(number, 0) + 1
            if number not in self.held:
                ledger.not_before[number] = at + ledger.delay_s(returns)


class LongDelayLedger(RetryLedger):
    """A queue whose returned messages do not come back within the test."""

    def __init__(self, queue: str, **arguments: object) -> None:
        super().__init__(queue, LONG_S, **arguments)
        self.returned: set[int] = set()

    def delay_s(self, returns: int) -> float:
        return LONG_S

    @property
    def awaited(self) -> set[int]:
        return super().awaited - self.returned

    def session(self) -> "LongDelaySession":
        return LongDelaySession(self)

    def is_tested(self) -> bool:
        return bool(self.gone and self.not_before)


class LongDelaySession(RetrySession):
    """One consumer of a queue whose returned messages do not come back."""

    ledger: LongDelayLedger

    def give_back(self, number: int) -> None:
        super().give_back(number)
        self.ledger.returned.add(number)


class LimitedLedger(RetryLedger):
    """A queue that dead-letters a message with more than LIMIT returns."""

    def __init__(self, queue: str, **arguments: object) -> None:
        super().__init__(queue, FIRST_S, **arguments | {"x-delivery-limit": Field("l", LIMIT)})

    def session(self) -> "LimitedSession":
        return LimitedSession(self)


class LimitedSession(RetrySession):
    """One consumer of a queue with a delivery limit."""

    ledger: LimitedLedger

    def check(self, number: int) -> None:
        super().check(number)
        returns = self.ledger.returns.get(number, 0)
        if returns > LIMIT:
            self.ledger.complain(number, f"is back after {returns} returns")


class ReturningConsumer(Consumer[RetrySession]):
    """Rejects some messages, and acks the others."""

    marked = 0.1

    def __init__(self, chance: random.Random, ledger: RetryLedger, rejected: float = 0.3) -> None:
        super().__init__(chance, ledger)
        self._retries = ledger
        self._rejected = rejected

    def session(self) -> RetrySession:
        return self._retries.session()

    def react(self, session: RetrySession, tag: int, number: int) -> bytes:
        if self.chance.random() < self._rejected:
            session.give_back(number)
            return request("basic.reject", delivery_tag=tag, requeue=True)
        session.ack(number)
        return request("basic.ack", delivery_tag=tag)


def workloads(chance: random.Random) -> list[Workload]:
    """Return queues of each type, with and without a limit."""
    quorum = {"x-queue-type": longstr("quorum")}
    unlimited = {"x-delivery-limit": Field("l", -1)}
    delaying = (
        LongDelayLedger("delayed for long"),
        LongDelayLedger("delayed for long quorum", **quorum, **unlimited),
        RetryLedger("retried"),
        RetryLedger("ranked", **{"x-max-priority": Field("I", 3)}),
        RetryLedger("replicated", **quorum, **unlimited),
    )
    made = [Workload([RawPublisher(chance, each), ReturningConsumer(chance, each)], [each]) for each in delaying]
    for ledger in (LimitedLedger("limited"), LimitedLedger("limited quorum", **quorum)):
        dead = DeadLetters(ledger)
        returning = ReturningConsumer(chance, ledger, 0.7)
        made.append(Workload([RawPublisher(chance, ledger), returning, RawConsumer(chance, dead)], [ledger, dead]))
    return made
