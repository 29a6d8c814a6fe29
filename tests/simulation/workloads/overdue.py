"""Consumers that acknowledge too late: they are notified after consumer_timeout, and the message is requeued."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from amqpbroker.wire.values import Field, longstr
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
#: Maximum time in transit; there are no stalls here.
ON_WAY_NS = 100 * MS
#: Maximum time for which a message is held.
LONGEST_NS = 60 * SECOND
#: Time for which a message is held, in percent of the timeout.
HELD_PERCENT = (0, 20, 20, 90, 150, 300)


class Overdue(Workload):
    """A queue with a publisher, and two consumers, which are sometimes slow."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.kind: str = plan["kind"]
        self.timeout_ms = world.config.consumer_timeout_ms
        self._arguments = {"x-queue-type": longstr(self.kind)}
        if world.config.compat.arguments_of_4_3 and self.kind == "quorum":
            self.timeout_ms = plan["timeout_ms"]
            self._arguments["x-consumer-timeout"] = Field("I", self.timeout_ms)
        self.deadlines = Deadlines(world)
        self.ledger = Ledger(world, name)
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self.ledger.confirmed)
        self.workers = [SlowWorker(self, f"{name}w{i}", plan["prefetch"]) for i in range(2)]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload. timeout_ms: for queues with their own timeout."""
        return {
            "kind": chance.choice(("classic", "quorum")),
            "prefetch": chance.choice((1, 3, 10)),
            "timeout_ms": chance.choice((300, 2_000, 10_000)),
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
        client.declare_queue(then, self.name, self._arguments)

    def _made(self, message: str) -> bytes:
        self.ledger.published(message, persistent=True)
        return published(self.name, message.encode(), delivery_mode=2)


class SlowWorker(Client):
    """Acknowledges each message after a while, which may be too long. hurries: it does not wait any more."""

    def __init__(self, workload: Overdue, name: str, prefetch: int) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._prefetch = prefetch
        self._timeout = workload.timeout_ms * MS
        #: Up to RabbitMQ 4.2 the channel is closed; in later releases the queue requeues the messages.
        self._takes_back = self.world.config.compat.queues_have_timeouts
        self._has_timeout = not self._takes_back or workload.kind == "quorum"
        self.hurries = False
        self.consumes = False
        #: Delivery tag of each message that it holds -> time of arrival.
        self._held: dict[int, int] = {}
        #: Delivery tag of each message that the broker may wait for -> earliest time of delivery.
        self._outstanding: dict[int, int] = {}
        #: Messages that the broker has certainly requeued, and that are not settled yet.
        self._taken_back: dict[int, None] = {}
        self._takings = 0

    def opened(self) -> None:
        self._held.clear()
        self._outstanding.clear()
        self._taken_back.clear()
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(lambda _: None, "basic.qos-ok", 1, "basic.qos", prefetch_count=self._prefetch)
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=self._workload.name, consumer_tag="w")

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def disconnected(self) -> None:
        self.consumes = False

    # --- messages -----------------------------------------------------------------------------------------------------

    def received(self, got: Received) -> None:
        assert got.body is not None
        message, tag, now = got.body.decode(), got.arguments["delivery_tag"], self.world.scheduler.now
        self._workload.ledger.delivered(message, got.arguments["redelivered"], (self.name, self._incarnation))
        if self._taken_back:
            raise self.world.broken(f"{self.name}: {message} comes, and {list(self._taken_back)} are not settled yet")
        self._held[tag] = now
        self._outstanding[tag] = self._sent()
        percent = 0 if self.hurries else self.chance.choice(HELD_PERCENT)
        held = min(self._timeout * percent // 100, LONGEST_NS)
        self.world.scheduler.after(held, partial(self._finish, self._incarnation, tag, message))
        if self._has_timeout and self._timeout <= LONGEST_NS:
            tick = 0 if self._takes_back else self.world.config.channel_tick_interval_ms * MS
            check = partial(self._check_told, self._incarnation, tag, self._takings)
            self._workload.deadlines.after(self._timeout + tick + LATE_NS, check)

    def _sent(self) -> int:
        """Return the earliest time at which the broker has decided to send what arrives now."""
        at, process = self.world.scheduler.now - ON_WAY_NS, self.world.process
        return at if process is None else process.loop.decided_since(at)

    def _finish(self, incarnation: int, tag: int, message: str) -> None:
        """Acknowledge the message, even if the broker has requeued it, which is allowed."""
        if incarnation != self._incarnation or not self.open:
            return
        del self._held[tag]
        self._taken_back.pop(tag, None)
        self._workload.ledger.dismissed(message)
        self.send(1, "basic.ack", delivery_tag=tag)
        takings = self._takings
        end = self._outstanding[tag] + self._timeout

        def proven(_: Received) -> None:
            self._outstanding.pop(tag, None)
            # Later it is unknown whether the acknowledgement was in time.
            in_time = not self._takes_back or self.world.scheduler.now < end
            if in_time and takings == self._takings:
                self._workload.ledger.settled(message)

        self.call(proven, "channel.flow-ok", 1, "channel.flow", active=True)

    # --- the timeout --------------------------------------------------------------------------------------------------

    def cancelled(self, got: Received) -> None:
        """Called when the queue has requeued messages. The consumer stays, and gets nothing until they are settled."""
        if not self._takes_back:
            raise self.world.broken(f"{self.name} received {got}")
        self._check_due()
        self._takings += 1
        sent = self._sent()
        self._taken_back = {tag: None for tag, since in self._held.items() if since + self._timeout < sent}

    def _act_on(self, got: Received) -> None:
        if got.name == "channel.close":
            if got.arguments["reply_code"] != 406 or "timed out" not in got.arguments["reply_text"]:
                raise self.world.broken(f"{self.name} received {got}")
            self._check_due()
        super()._act_on(got)

    def _check_due(self) -> None:
        """Check that a message is overdue."""
        now = self.world.scheduler.now
        if not self._has_timeout or now < min(self._outstanding.values(), default=now) + self._timeout:
            raise self.world.broken(f"{self.name}: nothing is overdue of {self._outstanding}")

    def _check_told(self, incarnation: int, tag: int, takings: int) -> None:
        """Check that the broker has reacted to the overdue message by now."""
        if incarnation != self._incarnation or not self.open or tag not in self._held:
            return
        if self._takings == takings:
            raise self.world.broken(f"{self.name}: delivery {tag} is overdue, and nothing happens")
