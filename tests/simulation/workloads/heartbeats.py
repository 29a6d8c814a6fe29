"""Publishers with heartbeats: neither end considers the other dead while bytes arrive."""

import random
from collections.abc import Callable
from typing import Any

from amqpbroker.wire.frames import HEARTBEAT_FRAME
from amqpbroker.wire.values import Field
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.scheduler import SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher
from tests.simulation.world import World

#: Time for which the broker may not read a publisher because of the disk; then it detects no silence.
FLOW_NS = 20 * SECOND
#: Duration of an iteration that began on a slow processor.
SLOWEST_NS = 3 * SECOND

#: Factor of an interval in a world of hours.
SLOWER = 60


class Heartbeats(Workload):
    """A queue of ten messages at most, and publishers with heartbeats.

    plan: their number, the interval, and the tenths of it after which they send one: the server waits for two.
    """

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._beaters = [
            Beater(world, f"{name}p{i}", self.declare, self._make, plan["interval_s"], plan["tenths"])
            for i in range(plan["clients"])
        ]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "clients": chance.choice((1, 3)),
            "interval_s": chance.choice((1, 2, 5)),
            "tenths": chance.choice((5, 15, 15)),
        }

    @staticmethod
    def slowed(settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "interval_s": settings["interval_s"] * SLOWER}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        names = [f"{name}p{i}" for i in range(settings["clients"])]
        steps = [
            Step(chance.randint(0, end_ms), chance.choice(names), "publish", (chance.choice((1, 10, 100)),))
            for _ in range(chance.choice((0, 5, 20)))
        ]
        steps += [
            Step(chance.randint(0, end_ms), chance.choice(names), "vanish") for _ in range(chance.choice((0, 1, 2)))
        ]
        return steps + troubles(chance, end_ms, names)

    @property
    def clients(self) -> "list[Beater]":
        return self._beaters

    def is_done(self) -> bool:
        return all(beater.idle for beater in self._beaters)

    def check(self) -> None:
        """Do nothing: everything is checked when it happens."""

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue."""
        arguments = {"x-max-length": Field("I", 10)}
        client.declare_queue(then, self.name, arguments)

    def _make(self, message: str) -> bytes:
        return published(self.name, message.encode(), delivery_mode=2)


class Beater(ConfirmingPublisher):
    """Sends a heartbeat twice in each interval. It ends a connection that has been silent for two intervals."""

    def __init__(
        self,
        world: World,
        name: str,
        declare: Callable[[Client, Callable[[], None]], None],
        make: Callable[[str], bytes],
        interval_s: int,
        tenths: int,
    ) -> None:
        super().__init__(world, name, declare, make, lambda _: None)
        self.heartbeat = interval_s
        self._interval = interval_s * SECOND
        self._pause = self._interval * tenths // 10
        self._heard_at = 0
        #: Time until which silence has a harmless cause.
        self._excused_until = 0
        self._leaves = False
        self._vanished = False

    def do_vanish(self) -> None:
        """Send nothing any more, like a machine without power. The broker must end the connection."""
        if not self.open or self._vanished:
            return
        self._vanished = True
        incarnation = self._incarnation
        self.world.scheduler.after(4 * self._interval + FLOW_NS, lambda: self._check_ended(incarnation))

    def _check_ended(self, incarnation: int) -> None:
        now = self.world.scheduler.now
        excused_until = max(self._excused_until, self.world.processor.troubled_until + FLOW_NS)
        if not self._vanished or incarnation != self._incarnation:
            return
        if now <= excused_until:
            self.world.scheduler.after(excused_until - now + FLOW_NS, lambda: self._check_ended(incarnation))
            return
        raise self.world.broken(f"{self.name} is silent, and the broker does not detect it")

    def write(self, data: bytes) -> None:
        if not self._vanished:
            super().write(data)

    # --- silence ------------------------------------------------------------------------------------------------------

    def opened(self) -> None:
        self._leaves = False
        self._beat(self._incarnation)
        super().opened()

    def received_bytes(self, data: bytes) -> None:
        self._heard_at = self.world.scheduler.now
        if not self._vanished:
            super().received_bytes(data)

    def _beat(self, incarnation: int) -> None:
        if not self.open or self._vanished or incarnation != self._incarnation:
            return
        now = self.world.scheduler.now
        silence = now - self._heard_at
        excused_until = max(self._excused_until, self.world.processor.troubled_until + SLOWEST_NS + 2 * self._interval)
        if silence > 2 * self._interval + SECOND and now > excused_until:
            raise self.world.broken(f"{self.name} has heard nothing for {silence / SECOND} s")
        self.write(HEARTBEAT_FRAME)
        self.world.scheduler.after(self._pause, lambda: self._beat(incarnation))

    # --- causes of an end or of silence -------------------------------------------------------------------------------

    def drop(self) -> None:
        self._leaves = True
        super().drop()

    def hang_up(self) -> None:
        self._leaves = True
        super().hang_up()

    def pause(self, duration: int) -> None:
        self._excuse(duration)
        super().pause(duration)

    def stall(self, upward: bool, duration: int) -> None:
        self._excuse(duration)
        super().stall(upward, duration)

    def _excuse(self, duration: int) -> None:
        until = self.world.scheduler.now + duration + 3 * self._interval
        self._excused_until = max(self._excused_until, until)

    def _act_on(self, got: Received) -> None:
        self._leaves |= got.name == "connection.close"
        super()._act_on(got)

    def ended(self) -> None:
        leaves = self._leaves or self._vanished or self.world.is_stopping
        processor, excused_until = self.world.processor, self._excused_until
        if processor.stopped_at <= excused_until:  # its bytes were late when the broker's process stopped
            excused_until = max(excused_until, processor.troubled_until + 3 * self._interval)
        if self.open and not leaves and self.world.scheduler.now > excused_until:
            raise self.world.broken(f"{self.name} is dropped by the broker")
        self._vanished = False
        super().ended()
