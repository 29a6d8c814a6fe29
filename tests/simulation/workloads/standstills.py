"""Clients with heartbeats that stop for a while: dropped after two intervals, not before, with messages requeued."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from amqpbroker.server.ending import LINGER_MS
from amqpbroker.wire.frames import HEARTBEAT_FRAME
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
#: The broker's clock counts whole milliseconds.
GRAIN_NS = 2 * MS
#: Time for which a client works on a message.
WORK_NS = (0, 2 * SECOND)


class Standstills(Workload):
    """A queue with a publisher, and consumers that stop working now and then."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.rests = False
        self.deadlines = Deadlines(world)
        self.ledger = Ledger(world, name)
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self.ledger.confirmed)
        self.workers = [Worker(self, f"{name}w{i}", seconds) for i, seconds in enumerate(plan["intervals"])]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {"intervals": [chance.choice((1, 2, 5)) for _ in range(chance.randint(1, 3))]}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice((1, 10)),))
            for _ in range(chance.choice((1, 5, 10)))
        ]
        for i, seconds in enumerate(settings["intervals"]):
            steps += [
                Step(chance.randint(0, end_ms), f"{name}w{i}", "freeze", (chance.randint(0, 8000 * seconds),))
                for _ in range(chance.choice((1, 2, 5)))
            ]
        return steps

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, *self.workers

    def rest(self) -> None:
        self.rests = True

    def is_done(self) -> bool:
        works = all(worker.works for worker in self.workers)
        return self.deadlines.are_over and self.publisher.idle and works and self.world.are_empty(self.name)

    def check(self) -> None:
        self.ledger.check()

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue."""
        client.declare_queue(then, self.name)

    def _made(self, message: str) -> bytes:
        self.ledger.published(message, persistent=True)
        return published(self.name, message.encode(), delivery_mode=2)


class Worker(Client):
    """Works on messages, sends heartbeats, and freezes: it neither reads nor writes for a while.

    interval: between heartbeats, in nanoseconds.
    """

    def __init__(self, workload: Standstills, name: str, interval_s: int) -> None:
        super().__init__(workload.world, name, interval_s)
        self._workload = workload
        self._interval = interval_s * SECOND
        self._frozen_until = 0
        self._sent_at = 0
        #: Number of ended silences of two intervals for which the broker may still drop it: a broker that was stopped,
        #: or is slow, checks the time before it reads.
        self._silences = 0
        #: Number of received pieces of data.
        self._pieces = 0
        self._was_ended = False
        self._consumes = False

    @property
    def works(self) -> bool:
        return self._consumes and not self._is_frozen

    @property
    def _is_frozen(self) -> bool:
        return self.world.scheduler.now < self._frozen_until

    # --- work ---------------------------------------------------------------------------------------------------------

    def opened(self) -> None:
        self._was_ended = False
        self._silences = 0
        self._beat(self._incarnation)
        self._listen(self._incarnation, -1)
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(lambda _: None, "basic.qos-ok", 1, "basic.qos", prefetch_count=3)
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=self._workload.name, consumer_tag="w")

    def _consuming(self, _: Received) -> None:
        self._consumes = True

    def received(self, got: Received) -> None:
        assert got.body is not None
        message = got.body.decode()
        self._workload.ledger.delivered(message, got.arguments["redelivered"], (self.name, self._incarnation))
        self._finish_later(self._incarnation, got.arguments["delivery_tag"], message)

    def _finish_later(self, incarnation: int, tag: int, message: str) -> None:
        work = self.chance.randint(*WORK_NS)
        self.world.scheduler.after(work, partial(self._finish, incarnation, tag, message))

    def _finish(self, incarnation: int, tag: int, message: str) -> None:
        if incarnation != self._incarnation or not self.open:
            return
        if self._is_frozen:
            self.world.scheduler.after(
                self._frozen_until - self.world.scheduler.now, partial(self._finish, incarnation, tag, message)
            )
            return
        self._workload.ledger.dismissed(message)
        self.send(1, "basic.ack", delivery_tag=tag)
        settled = partial(self._workload.ledger.settled, message)
        self.call(lambda _: settled(), "channel.flow-ok", 1, "channel.flow", active=True)

    # --- heartbeats ---------------------------------------------------------------------------------------------------

    def do_freeze(self, duration_ms: int) -> None:
        """Do nothing for a while. After three intervals, and the time for unwritten output, nothing may wait for it."""
        now = self.world.scheduler.now
        self._frozen_until = max(self._frozen_until, now + duration_ms * MS)
        self.pause(duration_ms * MS)
        silence = 3 * self._interval + LINGER_MS * MS + LATE_NS
        if self._connection is not None and self.open and self._frozen_until > now + silence:
            self._workload.deadlines.after(silence, partial(self._check_dropped, self._connection.port, now))

    def _resume(self) -> None:
        if not self._is_frozen:
            super()._resume()

    def _beat(self, incarnation: int) -> None:
        """Send a heartbeat, if it is not frozen, and check for those of the broker."""
        if incarnation != self._incarnation or not self.open:
            return
        if not self._is_frozen:
            self.write(HEARTBEAT_FRAME)
        self.world.scheduler.after(self._interval // 2, partial(self._beat, incarnation))

    def _listen(self, incarnation: int, pieces: int) -> None:
        """Check that something arrives from the broker in each interval, unless nothing can."""
        if incarnation != self._incarnation or not self.open:
            return
        if pieces == self._pieces and not self._cannot_hear:
            raise self.world.broken(f"{self.name}: the broker is silent for an interval")
        if not self._workload.rests:
            listen = partial(self._listen, incarnation, self._pieces)
            self._workload.deadlines.after(self._interval + LATE_NS, listen)

    @property
    def _cannot_hear(self) -> bool:
        """Return whether nothing can arrive: output waits until the client reads, or the broker has closed."""
        connection = self._connection
        return connection is None or connection.is_full or connection.is_over

    def write(self, data: bytes) -> None:
        if self.open and self._is_long(self.world.scheduler.now - self._sent_at):
            self._silences += 1
            self._workload.deadlines.after(LATE_NS, partial(self._noticed, self._incarnation))
        self._sent_at = self.world.scheduler.now
        super().write(data)

    def _noticed(self, incarnation: int) -> None:
        """Note that the broker has read since the silence."""
        if incarnation == self._incarnation:
            self._silences -= 1

    def _is_long(self, silence: int) -> bool:
        """Return whether the broker may drop the client for it."""
        return silence >= 2 * self._interval - GRAIN_NS

    def received_bytes(self, data: bytes) -> None:
        self._pieces += 1
        super().received_bytes(data)

    # --- the end ------------------------------------------------------------------------------------------------------

    def drop(self) -> None:
        self._was_ended = True
        super().drop()

    def _act_on(self, got: Received) -> None:
        self._was_ended |= got.name == "connection.close"
        super()._act_on(got)

    def disconnected(self) -> None:
        self._consumes = False
        silence = self.world.scheduler.now - self._sent_at
        # A broker that stops waits for its clients for a limited time.
        ended = self._was_ended or self.world.is_stopping
        if not ended and not self._silences and not self._is_long(silence):
            raise self.world.broken(f"{self.name}: dropped after a silence of {silence // MS} ms")

    def _check_dropped(self, port: int, since: int) -> None:
        process = self.world.process
        if process is None or self._sent_at > since:
            return
        names = [client.name for client in process.service.clients.there()]
        names += [session.name.partition(" ")[0] for session in process.broker.sessions]
        if f"127.0.0.1:{port}" in names:
            raise self.world.broken(f"{self.name}: silent for three intervals, and still connected")
