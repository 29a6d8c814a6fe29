"""Locks that run out because their consumer hangs, with each action.

- A message whose lock certainly lasts is not delivered again in the same session: a lock lasts for the timeout from the
  delivery on, and from a confirmed renewal on that was not returned. An earlier delivery time than that of the broker
  is assumed: the time of the publish, or of the session's begin, or when the lock before ran out.
- An ack whose lock lasts at least until it is synced is never undone. A later ack may have had no effect.
- When the clients have ended, a consumer that hangs with all that it receives gets each message again, or its cancel
  or close. So a lock that runs out has consequences, also if the queue was recovered.
"""

import math
import random
import time
from collections.abc import Iterator

from amqpbroker.wire.values import Field, longstr
from tests.crash.clients import Awaited, Consumer, Event, LedgerClient, RawPublisher, Workload, events_of
from tests.crash.ledger import Ledger, Session
from tests.harness import published
from tests.load.client import request

TIMEOUT_S = 0.25
#: The broker counts whole milliseconds.
TOLERANCE_S = 0.005
#: The time in which the broker must notice that a lock has run out.
PATIENCE_S = 20.0


class LockLedger(Ledger):
    """A queue whose locks run out. ran_out: the number of locks for which the client noticed that."""

    in_order = False
    #: Few, so that the client knows when most deliveries were made.
    backlog = 20

    def __init__(self, queue: str, action: str, **arguments: object) -> None:
        own = {"x-consumer-timeout": Field("I", int(TIMEOUT_S * 1000)), "x-consumer-timeout-action": longstr(action)}
        super().__init__(queue, **own, **arguments)
        self.action = action
        self.ran_out: int = 0
        self.renewed: int = 0
        self.published_at: dict[int, float] = {}

    def publish(self) -> tuple[int, bytes]:
        number, data = super().publish()
        self.published_at[number] = time.monotonic()
        return number, data

    def session(self) -> "LockSession":
        return LockSession(self)

    def is_tested(self) -> bool:
        return super().is_tested() and self.ran_out > 0 and self.renewed > 0

    def details(self) -> str:
        return f", locks ran out {self.ran_out}, renewed {self.renewed}"


class LockSession(Session):
    """One consumer of a queue whose locks run out."""

    ledger: LockLedger

    def __init__(self, ledger: LockLedger) -> None:
        super().__init__(ledger)
        self._began = time.monotonic()
        #: The time until which each lock lasts at least.
        self._lasts: dict[int, float] = {}

    def check(self, number: int) -> None:
        if number not in self.held:
            self._lasts[number] = max(self._began, self.ledger.published_at[number]) + TIMEOUT_S

    def came_twice(self, number: int) -> None:
        self.ledger.ran_out += 1
        left_s = self._lasts[number] - time.monotonic()
        if left_s > TOLERANCE_S:
            self.ledger.complain(number, f"is delivered again {left_s:.3f} s before its lock runs out")
        self._lasts[number] += TIMEOUT_S

    def renewed(self, number: int, at: float) -> None:
        """Record that the lock was renewed at this time or later."""
        self.ledger.renewed += 1
        self._lasts[number] = max(self._lasts[number], at + TIMEOUT_S)

    def ack(self, number: int, until: float = math.inf) -> None:
        super().ack(number, min(until, self._lasts[number]))


class Renewal:
    """A request to renew the lock of a delivery. `confirmed` appends it to `confirmed_ones`, unless it was returned."""

    def __init__(self, session: LockSession, tag: int, number: int, confirmed_ones: "list[Renewal]") -> None:
        self.tag = tag
        self.number = number
        self.returned = False
        self._session = session
        self._at = time.monotonic()
        self._confirmed = confirmed_ones

    def frames(self) -> bytes:
        headers = {"x-delivery-tag": Field("l", self.tag)}
        return published("amq.renew-lock", b"%d" % self.tag, mandatory=True, headers=headers)

    def confirmed(self) -> None:
        if not self.returned:
            self._session.renewed(self.number, self._at)
            self._confirmed.append(self)


class ChannelClosedError(Exception):
    """The broker has closed the channel because a lock ran out."""


class HangingConsumer(Consumer[LockSession]):
    """Acks most messages, hangs with some, and renews the locks of some before it acks them or hangs."""

    marked = 0.2
    prefetch = 20
    capabilities = ("consumer_cancel_notify",)

    def __init__(self, chance: random.Random, ledger: LockLedger) -> None:
        super().__init__(chance, ledger)
        self._locks = ledger
        #: The tag of each message that it has not acked.
        self._hung: dict[int, int] = {}
        self._renewals: dict[int, Renewal] = {}
        self._unsent: list[Renewal] = []
        self._renewed: list[Renewal] = []
        self._session: LockSession | None = None

    def work(self) -> None:
        while True:
            try:
                super().work()
            except ChannelClosedError:
                self._locks.ran_out += 1

    def session(self) -> LockSession:
        for each in (self._hung, self._renewals, self._unsent, self._renewed):
            each.clear()
        self._session = self._locks.session()
        return self._session

    def react(self, session: LockSession, tag: int, number: int) -> bytes:
        acked = []
        self._hung[number] = tag
        choice = self.chance.random()
        if choice < 0.8:
            acked.append(number)
        elif choice < 0.9:
            self._unsent.append(Renewal(session, tag, number, self._renewed))
        while self._renewed:
            renewal = self._renewed.pop()
            if self._hung.get(renewal.number) == renewal.tag and self.chance.random() < 0.7:
                acked.append(renewal.number)
        for each in acked:
            session.ack(each)
        return b"".join(request("basic.ack", delivery_tag=self._hung.pop(each)) for each in acked)

    def publishes(self) -> Iterator[tuple[Awaited, bytes]]:
        for renewal in self._unsent:
            self._renewals[renewal.tag] = renewal
            yield renewal, renewal.frames()
        self._unsent.clear()

    def happened(self, event: Event) -> bytes:
        if event.name == "basic.return":
            # The delivery is no longer the consumer's.
            self._renewals[int(event.body)].returned = True
            return b""
        if event.name == "basic.cancel" and self._locks.action == "cancel":
            return self._return_all()
        if event.name == "channel.close" and self._locks.action == "close":
            raise ChannelClosedError
        return super().happened(event)

    def _return_all(self) -> bytes:
        """Return the messages that it hangs with: the consumer gets nothing before it has settled the overdue ones."""
        assert self._session is not None
        self._locks.ran_out += 1
        for number in self._hung:
            self._session.give_back(number)
        frames = b"".join(request("basic.reject", delivery_tag=tag, requeue=True) for tag in self._hung.values())
        self._hung.clear()
        return frames


class HungConsumer(LedgerClient):
    """Hangs with all messages that it receives, until the broker notices one. It publishes one message before."""

    prefetch = 10

    def __init__(self, chance: random.Random, ledger: LockLedger) -> None:
        super().__init__(chance, ledger)
        self._locks = ledger

    def work(self) -> None:
        ledger = self._locks
        with self.connect(HangingConsumer.capabilities) as client:
            client.socket.settimeout(PATIENCE_S)
            client.call("confirm.select", "confirm.select-ok")
            number, data = ledger.publish()
            client.send(published(ledger.queue, data, delivery_mode=2))
            client.expect("basic.ack")
            ledger.confirm(number)
            client.call("basic.qos", "basic.qos-ok", prefetch_count=self.prefetch)
            session = ledger.session()
            client.send(request("basic.consume", queue=ledger.queue, consumer_tag="c"))
            ran_out = ledger.ran_out
            events = events_of(client)
            while ledger.ran_out == ran_out:
                event = next(events)
                if event.name == "basic.deliver":
                    number = session.delivered(event.body, event.arguments["redelivered"])
                ledger.ran_out += event.name in ("basic.cancel", "channel.close")
            client.send(request("connection.close", 0, reply_code=200, class_id=0, method_id=0))
            while next(events).name != "connection.close-ok":
                pass


def ledgers() -> list[LockLedger]:
    """Return a queue of each type for each action."""
    # Returned messages precede the others if there is a delivery limit, which no message reaches here.
    quorum = {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("l", 1_000_000)}
    return [
        LockLedger(f"locks {action} {kind}", action, **arguments)
        for action in ("return", "cancel", "close")
        for kind, arguments in (("classic", {}), ("quorum", quorum))
    ]


def workload(chance: random.Random, ledger: LockLedger) -> Workload:
    """Return the clients of a queue."""
    return Workload([RawPublisher(chance, ledger), HangingConsumer(chance, ledger)], [ledger])
