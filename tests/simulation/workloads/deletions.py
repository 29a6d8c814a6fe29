"""A queue that is deleted while consumers use it: all are notified, and its messages are removed for good."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from amqpbroker.wire.values import longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.patience import Deadlines
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

#: Time within which a notification has arrived, with any stalls.
TOLD_NS = 10 * SECOND
#: Pause before a cancelled consumer starts again.
BEGIN_AGAIN_NS = (0, 300 * MS)


class Deletions(Workload):
    """A client that fills and deletes the queue, and watchers that consume from it.

    deleted: when the deletion of each generation of the queue was answered, in the broker's present life. A power
    failure may undo a deletion that is not synced yet, which no answer waits for.
    """

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.kind: str = plan["kind"]
        self.deleted: dict[tuple[int, str], int] = {}
        self.deadlines = Deadlines(world)
        self.owner = Owner(self)
        self.watchers = [Watcher(self, f"{name}w{i}") for i in range(plan["watchers"])]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {"kind": chance.choice(("classic", "quorum")), "watchers": chance.randint(1, 3)}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}o", "publish", (chance.choice((1, 5, 20)),))
            for _ in range(chance.choice((3, 10, 30)))
        ]
        steps += [Step(chance.randint(0, end_ms), f"{name}o", "delete") for _ in range(chance.choice((1, 3, 10)))]
        return steps + troubles(chance, end_ms, [f"{name}o", *(f"{name}w{i}" for i in range(settings["watchers"]))])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.owner, *self.watchers

    def is_done(self) -> bool:
        consume = all(watcher.consumes for watcher in self.watchers)
        return self.deadlines.are_over and self.owner.open and consume and self.world.are_empty(self.name)

    def check(self) -> None:
        """Do nothing: deliveries and notifications are checked when they arrive."""

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue."""
        arguments = {"x-queue-type": longstr(self.kind)}
        client.declare_queue(then, self.name, arguments)


class Owner(Client):
    """Publishes to the queue and deletes it. Each connection and each deletion start a generation of messages."""

    def __init__(self, workload: Deletions) -> None:
        super().__init__(workload.world, f"{workload.name}o")
        self._workload = workload
        self._number = 0
        self._is_ready = False

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self._number += 1
        self._is_ready = True

    def do_publish(self, count: int) -> None:
        if self._is_ready:
            for _ in range(count):
                self.write(published(self._workload.name, self._generation.encode(), delivery_mode=2))

    @property
    def _generation(self) -> str:
        return f"{self.name}.{self._number}"

    def do_delete(self) -> None:
        """Delete the queue. All clients that certainly consume now must be notified."""
        if not self._is_ready:
            return
        self._is_ready = False
        generation = self._generation
        consuming = [(watcher, watcher.tag) for watcher in self._workload.watchers if watcher.consumes]

        def deleted(_: Received) -> None:
            self._workload.deleted[self.world.life, generation] = self.world.scheduler.now
            for watcher, tag in consuming:
                self._workload.deadlines.after(TOLD_NS, partial(watcher.check_told, tag))
            self._workload.declare(self, self._declared)

        self.call(deleted, "queue.delete-ok", 1, "queue.delete", queue=self._workload.name)

    def disconnected(self) -> None:
        self._is_ready = False


class Watcher(Client):
    """Consumes, and starts again when its consumer is cancelled. tag: of the present consumer, "" without one."""

    def __init__(self, workload: Deletions, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._number = 0
        self._asked = 0
        self.tag = ""
        self.consumes = False

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self._number += 1
        self._asked = self.world.scheduler.now
        self.tag = f"{self.name}.{self._number}"
        self.call(
            self._consuming,
            "basic.consume-ok channel.close",
            1,
            "basic.consume",
            queue=self._workload.name,
            consumer_tag=self.tag,
        )

    def _consuming(self, got: Received) -> None:
        if got.name == "channel.close":  # deleted in between
            self.drop()
        else:
            self.consumes = True

    def cancelled(self, got: Received) -> None:
        if self.world.config.compat.queues_have_timeouts:
            # It may be notified of an overdue message as well, and the consumer stays then.
            self.drop()
            return
        if got.arguments["consumer_tag"] != self.tag:
            raise self.world.broken(f"{self.name} received {got}")
        self.consumes = False
        self.tag = ""
        self.world.scheduler.after(self.chance.randint(*BEGIN_AGAIN_NS), partial(self._begin_again, self._incarnation))

    def _begin_again(self, incarnation: int) -> None:
        if self.open and incarnation == self._incarnation:
            self.opened()

    def check_told(self, tag: str) -> None:
        """Check a consumer that existed when its queue was deleted. Raises BrokenError if it was not notified."""
        if self.open and self.tag == tag:
            raise self.world.broken(f"{self.name}: {tag} was not told that its queue is deleted")

    def received(self, got: Received) -> None:
        assert got.body is not None
        if got.name != "basic.deliver" or got.arguments["consumer_tag"] != self.tag:
            raise self.world.broken(f"{self.name} received {got}")
        deleted_at = self._workload.deleted.get((self.world.life, got.body.decode()))
        if deleted_at is not None and deleted_at <= self._asked:
            raise self.world.broken(f"{self.name}: a message of {got.body.decode()} comes, which was deleted")
        self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])

    def disconnected(self) -> None:
        self.consumes = False
        self.tag = ""
