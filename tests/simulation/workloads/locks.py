"""Consumers that hang: their locks run out, and not before; they renew locks, and acknowledge too late."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Received, published
from tests.simulation.client import Client
from tests.simulation.ledger import Ledger
from tests.simulation.patience import Deadlines
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher
from tests.simulation.world import World

#: Tolerance of the broker's timers.
LATE_NS = 2 * SECOND
#: Maximum time of a delivery in transit: there are no stalls here, but two slow steps of a file may delay it.
ON_WAY_NS = 900 * MS
#: Maximum time for which a message is held.
LONGEST_NS = 60 * SECOND
#: Time for which a message is held, in percent of the timeout.
HELD_PERCENT = (0, 0, 20, 50, 90, 150, 300)
#: Deliveries after which a quorum queue may drop a message.
LIMIT = 20


@dataclass(slots=True)
class Held:
    """A delivery that its worker has not settled. least, most: the times between which its lock runs out.

    deliveries: of the message, with this one. cancels: that the worker had received when the lock began. renewals: sent
    ones of which it is not known whether the broker has read them; a broker with an alarm does not read them.
    """

    message: str
    least: int
    most: int
    deliveries: int
    cancels: int
    renewals: int = 0


class Locks(Workload):
    """A queue with a timeout and an action, a publisher, and two workers, which sometimes hang."""

    # The client cannot know when a broker that stands still made a delivery.
    unbearable = frozenset(("slow_down", "slow_reads", "stop_process", "suspend"))

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.kind: str = plan["kind"]
        self.action: str = plan["action"]
        self.timeout = plan["timeout_ms"] * MS
        self._arguments: Table = {
            "x-queue-type": longstr(self.kind),
            "x-consumer-timeout": Field("I", plan["timeout_ms"]),
            "x-consumer-timeout-action": longstr(self.action),
        }
        self.deadlines = Deadlines(world)
        self.ledger = Ledger(world, name)
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self.ledger.confirmed)
        self.workers = [Worker(self, f"{name}w{i}") for i in range(2)]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "kind": chance.choice(("classic", "quorum")),
            "action": chance.choice(("return", "return", "cancel", "close")),
            "timeout_ms": chance.choice((1_000, 3_000, 10_000)),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        return [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice((1, 3, 10)),))
            for _ in range(chance.choice((1, 5, 10)))
        ]

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, *self.workers

    def rest(self) -> None:
        for worker in self.workers:
            worker.hurries = True

    def is_done(self) -> bool:
        works = all(worker.consumes for worker in self.workers)
        return self.deadlines.are_over and self.publisher.idle and works and self.world.are_empty(self.name)

    def check(self) -> None:
        self.ledger.check()

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue."""
        arguments = self._arguments
        client.declare_queue(then, self.name, arguments)

    def check_free(self, message: str) -> None:
        """Raise BrokenError if a message is delivered while a worker certainly holds its lock."""
        for worker in self.workers:
            worker.check_free(message)

    def _made(self, message: str) -> bytes:
        self.ledger.published(message, persistent=True)
        return published(self.name, message.encode(), delivery_mode=2)


class Worker(Client):
    """Acknowledges each message after a while, which may be too long. hurries: it does not wait any more."""

    def __init__(self, workload: Locks, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._timeout = workload.timeout
        self.hurries = False
        self.consumes = False
        #: Deliveries by tag, and the life of the broker that made them.
        self._held: dict[int, Held] = {}
        #: Settled deliveries that the broker may still wait for.
        self._settled: dict[int, Held] = {}
        self._life = 0
        self._cancels = 0

    def opened(self) -> None:
        self._held.clear()
        self._settled.clear()
        self._life = self.world.life
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=self._workload.name, consumer_tag="w")

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def disconnected(self) -> None:
        self.consumes = False
        self._held.clear()
        self._settled.clear()

    # --- messages -----------------------------------------------------------------------------------------------------

    def received(self, got: Received) -> None:
        now = self.world.scheduler.now
        if got.name == "basic.return":
            self._check_returned(got)
            return
        assert got.body is not None
        message, tag = got.body.decode(), got.arguments["delivery_tag"]
        self._workload.check_free(message)
        ledger = self._workload.ledger
        ledger.delivered(message, got.arguments["redelivered"], (self.name, self._incarnation))
        due = now + self._timeout
        self._held[tag] = Held(message, due - ON_WAY_NS, due, ledger.fates[message].delivered, self._cancels)
        percent = 0 if self.hurries else self.chance.choice(HELD_PERCENT)
        held = min(self._timeout * percent // 100, LONGEST_NS)
        renews = not self.hurries and self.chance.random() < 0.3
        if renews:
            self.world.scheduler.after(self._timeout // 4, partial(self._renew, self._incarnation, tag))
        self.world.scheduler.after(held, partial(self._finish, self._incarnation, tag))
        self._await_end(tag)

    def _finish(self, incarnation: int, tag: int) -> None:
        """Acknowledge the message, even if its lock has run out, which is allowed."""
        if incarnation != self._incarnation or not self.open:
            return
        held = self._settled[tag] = self._held.pop(tag)
        self._workload.ledger.dismissed(held.message)
        self.send(1, "basic.ack", delivery_tag=tag)

        def proven(_: Received) -> None:
            self._settled.pop(tag, None)
            if self.world.scheduler.now < held.least:
                self._workload.ledger.settled(held.message)

        self.call(proven, "channel.flow-ok", 1, "channel.flow", active=True)

    def _renew(self, incarnation: int, tag: int) -> None:
        """Renew a lock that certainly has not run out when the broker receives the message."""
        held = self._held.get(tag)
        if incarnation != self._incarnation or not self.open or held is None:
            return
        due = self.world.scheduler.now + self._timeout
        held.renewals += 1
        held.cancels = self._cancels
        headers: Table = {"x-delivery-tag": Field("l", tag)}
        self.write(published("amq.renew-lock", str(tag).encode(), mandatory=True, headers=headers))

        def proven(_: Received) -> None:
            held.renewals -= 1
            held.most = self.world.scheduler.now + self._timeout
            if self.world.scheduler.now < held.least:
                held.least = due

        self.call(proven, "channel.flow-ok", 1, "channel.flow", active=True)

    def _check_returned(self, got: Received) -> None:
        """Check that a renewal is returned only for a delivery that is settled, or whose lock may have run out."""
        assert got.body is not None
        held = self._held.get(int(got.body))
        if held is not None and self.world.scheduler.now < self._earliest(held):
            raise self.world.broken(f"{self.name}: the lock of {held.message} is not renewed, and lasts")

    # --- the timeout --------------------------------------------------------------------------------------------------

    def check_free(self, message: str) -> None:
        """Raise BrokenError if the worker certainly holds the lock of a message that is delivered now."""
        if not self.open or self._life != self.world.life or self.world.is_stopping:
            return
        for tag, held in self._held.items():
            if held.message == message and self.world.scheduler.now < self._earliest(held):
                raise self.world.broken(f"{self.name}: {message} is delivered again, while delivery {tag} is locked")

    def _earliest(self, held: Held) -> int:
        """Return the time when the lock may run out. A channel loses all messages if it is closed for one of them."""
        if self._workload.action == "close":
            return min(each.least for each in (*self._held.values(), *self._settled.values()))
        return held.least

    def _await_end(self, tag: int) -> None:
        held = self._held[tag]
        check = partial(self._check_end, self._incarnation, tag, held.most)
        self._workload.deadlines.after(max(held.most - self.world.scheduler.now, 0) + LATE_NS, check)

    def _check_end(self, incarnation: int, tag: int, due: int) -> None:
        """Check that the lock has run out by now, if the message is held and the lock was not renewed."""
        held = self._held.get(tag)
        if incarnation != self._incarnation or not self.open or held is None:
            return
        if held.most != due or held.renewals:
            self._await_end(tag)
            return
        if self._workload.action == "return":
            deliveries = self._workload.ledger.fates[held.message].delivered
            ended = deliveries > held.deliveries or (self._workload.kind == "quorum" and deliveries >= LIMIT)
        else:
            ended = self._workload.action == "cancel" and self._cancels > held.cancels
        if not ended:
            raise self.world.broken(f"{self.name}: the lock of {held.message} has run out, and nothing happens")

    def cancelled(self, got: Received) -> None:
        """Called when messages have returned. The consumer stays, and gets nothing until they are settled."""
        if self._workload.action != "cancel":
            raise self.world.broken(f"{self.name} received {got}")
        self._cancels += 1

    def _act_on(self, got: Received) -> None:
        if got.name == "channel.close":
            is_timeout = got.arguments["reply_code"] == 406 and "timed out" in got.arguments["reply_text"]
            if self._workload.action != "close" or not is_timeout:
                raise self.world.broken(f"{self.name} received {got}")
            if not any(
                self.world.scheduler.now >= held.least for held in (*self._held.values(), *self._settled.values())
            ):
                raise self.world.broken(f"{self.name}: the channel is closed, and every lock lasts")
        super()._act_on(got)
