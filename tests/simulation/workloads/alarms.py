"""Alarms for memory and disk: publishers wait during an alarm, consumers continue, and nothing waits forever."""

import random
from collections.abc import Callable
from typing import Any

from amqpbroker.broker.alarms import Resource
from tests.harness import Received, published
from tests.simulation.client import CAPABILITIES, Client, troubles
from tests.simulation.ledger import Ledger
from tests.simulation.scheduler import SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher, name_of
from tests.simulation.world import World

RESOURCES: tuple[Resource, ...] = ("disk", "memory")
REASONS = ("low on disk", "low on memory", "low on disk & memory")
SIZES = (0, 1000, 200_000)
#: Time within which a consumer has certainly received all waiting messages.
DRAINED_NS = 20 * SECOND
#: Maximum number of messages of a connection that the broker accepts during an alarm: the one that blocks it.
TAKEN = 1


class Alarms(Workload):
    """Publishers with and without blocked notifications, a consumer, and an actor that sets and clears alarms."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.ledger = Ledger(world, name)
        #: Start of the current alarm, and the broker's life; None without an alarm.
        self.alarmed: tuple[int, int] | None = None
        #: Active alarms in that life of the broker; the first of these workloads in a world holds them for all.
        self._on: tuple[Resource, ...] = ()
        self._life = 0
        self._sent_at: dict[str, int] = {}
        self._taken: dict[str, set[str]] = {}
        self.publishers = [BlockedPublisher(self, f"{name}p{i}") for i in range(plan["publishers"])]
        self.publishers[0].capabilities = CAPABILITIES if plan["told"] else CAPABILITIES[:-1]
        self.consumer = AlarmConsumer(self)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload. told: the first publisher is notified when it is blocked."""
        return {"publishers": chance.randint(1, 3), "told": chance.random() < 0.5}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients, and the alarms."""
        steps = []
        for i in range(settings["publishers"]):
            for _ in range(chance.choice((5, 20, 50))):
                count = chance.choice((1, 1, 10))
                arguments = (count, chance.choice(SIZES if count == 1 else SIZES[:-1]))
                steps.append(Step(chance.randint(0, end_ms), f"{name}p{i}", "publish", arguments))
        for _ in range(chance.choice((1, 3, 10))):
            resource, at_ms = chance.choice(RESOURCES), chance.randint(0, end_ms)
            steps.append(Step(at_ms, name, "set", (resource,)))
            for _ in range(chance.choice((0, 1, 1, 2))):
                at_ms += chance.choice((0, 1, 100, 2_000, 30_000))
                steps.append(Step(min(at_ms, end_ms), name, "clear", (resource,)))
        return steps + troubles(chance, end_ms, [f"{name}p{i}" for i in range(settings["publishers"])])

    @property
    def clients(self) -> tuple[Client, ...]:
        return *self.publishers, self.consumer

    @property
    def actors(self) -> dict[str, Any]:
        return super().actors | {self.name: self}

    def do_set(self, resource: Resource) -> None:
        """Set an alarm, as a monitor does."""
        self._change(resource, on=True)

    def do_clear(self, resource: Resource) -> None:
        """Clear an alarm."""
        self._change(resource, on=False)

    def rest(self) -> None:
        for resource in RESOURCES:
            self.do_clear(resource)

    def is_done(self) -> bool:
        process = self.world.process
        if process is None or not self.consumer.idle:
            return False
        queue = process.broker.vhosts["/"].queues.get(self.name)
        if queue is None or queue.ready_count + queue.unacked_count:
            return False
        return all(publisher.idle and publisher.reason is None for publisher in self.publishers)

    def check(self) -> None:
        self.ledger.check()

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue."""
        client.declare_queue(then, self.name)

    def _change(self, resource: Resource, on: bool) -> None:
        process, life = self.world.process, self.world.life
        if process is None:
            return

        def changed() -> None:
            alarms, workloads = process.broker.alarms, self._all()
            before, after = workloads[0].change(life, resource, on)
            (alarms.set if on else alarms.clear)(resource)
            self.world.note(self.name, after)
            if alarms.resources != after:
                raise self.world.broken(f"{self.name}: the broker is short of {alarms.resources}, not of {after}")
            for workload in workloads:
                if before and not after:
                    workload.cleared()
                elif after and not before:
                    workload.alarmed = self.world.scheduler.now, life

        process.loop.call_soon(changed)

    def change(self, life: int, resource: Resource, on: bool) -> tuple[tuple[Resource, ...], tuple[Resource, ...]]:
        """Set or clear an alarm in one life of the broker; return the alarms before and after it."""
        if life != self._life:  # a broker starts without alarms
            self._life, self._on = life, ()
        before = self._on
        self._on = tuple(one for one in RESOURCES if (on if one == resource else one in before))
        return before, self._on

    def _all(self) -> "list[Alarms]":
        """Return all such workloads of this world, which have common alarms."""
        return [client.alarms for client in self.world.clients if isinstance(client, AlarmConsumer)]

    def cleared(self) -> None:
        """Called when the last alarm is cleared. Raises BrokenError if a consumer was not served meanwhile."""
        self._check_drained()
        self.alarmed = None
        self._taken.clear()

    def _check_drained(self) -> None:
        process, now = self.world.process, self.world.scheduler.now
        since = self.consumer.since
        queue = None if process is None else process.broker.vhosts["/"].queues.get(self.name)
        if queue is None or since is None or self.alarmed is None:
            return
        began = max(since, self.alarmed[0], self.world.processor.troubled_until)
        if now - began > DRAINED_NS and queue.ready_count:
            raise self.world.broken(f"{self.name}: consumers wait for {queue.ready_count} messages during an alarm")

    # --- messages -----------------------------------------------------------------------------------------------------

    def made(self, message: str, size: int) -> bytes:
        """Return the frames of a message."""
        self._sent_at[message] = self.world.scheduler.now
        self.ledger.published(message, persistent=True)
        return published(self.name, message.encode() + b" " + bytes(size), delivery_mode=2)

    def confirmed(self, message: str) -> None:
        self.ledger.confirmed(message)
        self._took(message)

    def delivered(self, message: str, redelivered: bool, receiver: object) -> None:
        """Check one delivery. Raises BrokenError."""
        self.ledger.delivered(message, redelivered, receiver)
        self._took(message)

    def _took(self, message: str) -> None:
        """Raise BrokenError if the broker accepts a message during an alarm."""
        if self.alarmed is None or self.alarmed[1] != self.world.life or self._sent_at[message] <= self.alarmed[0]:
            return
        connection = message.rsplit("-", 1)[0]
        taken = self._taken.setdefault(connection, set())
        taken.add(message)
        if len(taken) > TAKEN:
            raise self.world.broken(f"{self.name}: {message} is accepted during an alarm")


class BlockedPublisher(ConfirmingPublisher):
    """A publisher. reason: why it is blocked, None if it is not."""

    def __init__(self, alarms: Alarms, name: str) -> None:
        super().__init__(alarms.world, name, alarms.declare, alarms.made, alarms.confirmed)
        self._alarms = alarms
        self.reason: str | None = None

    def blocked(self, reason: str | None) -> None:
        if "connection.blocked" not in self.capabilities:
            raise self.world.broken(f"{self.name} is told {reason}, and cannot know that")
        if (reason is None) is (self.reason is None):
            raise self.world.broken(f"{self.name} is told {reason} after {self.reason}")
        if reason is not None and reason not in REASONS:
            raise self.world.broken(f"{self.name} is blocked because of {reason!r}")
        self.reason = reason

    def disconnected(self) -> None:
        super().disconnected()
        self.reason = None


class AlarmConsumer(Client):
    """Acknowledges all messages. since: when its consumer began, None without one."""

    def __init__(self, alarms: Alarms) -> None:
        super().__init__(alarms.world, f"{alarms.name}c")
        self.alarms = alarms
        self.since: int | None = None

    @property
    def idle(self) -> bool:
        return self.since is not None

    def opened(self) -> None:
        self.alarms.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=self.alarms.name, consumer_tag="c")

    def _consuming(self, _: Received) -> None:
        self.since = self.world.scheduler.now

    def blocked(self, reason: str | None) -> None:
        raise self.world.broken(f"{self.name} is told {reason}, and publishes nothing")

    def received(self, got: Received) -> None:
        receiver = (self.name, self._incarnation)
        message = name_of(got.body)
        self.alarms.delivered(message, got.arguments["redelivered"], receiver)
        self.alarms.ledger.dismissed(message)
        self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])

    def disconnected(self) -> None:
        self.since = None
