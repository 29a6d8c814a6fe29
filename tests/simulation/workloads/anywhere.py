"""Messages that expire behind others that stay: each at its deadline, in order, across restarts."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.deaths import MANY_RETURNS, deaths_of
from tests.simulation.workloads.publisher import ConfirmingPublisher, name_of
from tests.simulation.world import World

#: The broker's clock counts whole milliseconds.
GRAIN_NS = 2 * MS
#: Time within which the broker handles everything that is due, if nothing disturbs it.
SLACK_NS = 30 * SECOND
LONGEST_MS = (1, 50, 1000, 20_000)


@dataclass
class Sent:
    """One published message. ttl_ms: None for a message that stays. confirmed_at: -1 before the confirm.

    finished: it arrived as a dead letter.
    """

    life: int
    at: int
    ttl_ms: int | None
    persistent: bool
    confirmed_at: int = -1
    finished: bool = False


class Anywhere(Workload):
    """A queue whose messages expire at any position, a publisher, and a consumer of the dead letters."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._kind: str = plan["kind"]
        self._longest_ms: int = plan["longest_ms"]
        self._stay: float = plan["stay"]
        self._persistent: float = plan["persistent"]
        self._sent: dict[str, Sent] = {}
        #: The message with the latest deadline among those that arrived, delivered for the first time.
        self._last: Sent | None = None
        self._rested_at: int | None = None
        self.queue = f"{name}-q"
        self.dead_queue = f"{name}-dead"
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self._on_confirmed)
        self.heir = Heir(self)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "kind": chance.choice(("classic", "priority", "quorum")),
            "longest_ms": chance.choice(LONGEST_MS),
            "stay": chance.choice((0.1, 0.5)),
            "persistent": chance.choice((0.5, 1.0)),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice((1, 10, 50)),))
            for _ in range(chance.choice((5, 20)))
        ]
        return steps + troubles(chance, end_ms, [f"{name}p", f"{name}h"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, self.heir

    def rest(self) -> None:
        self._rested_at = self.world.scheduler.now

    def is_done(self) -> bool:
        late = [name for name, sent in self._sent.items() if sent.ttl_ms is not None and self._is_there(sent)]
        if late and self._rested_at is not None:
            began = max(self._rested_at, self.world.processor.troubled_until)
            if self.world.scheduler.now > began + self._longest_ms * MS + SLACK_NS:
                raise self.world.broken(f"{self.name}: {late[0]} has not expired")
        return self.publisher.idle and self.heir.idle and not late

    def check(self) -> None:
        process = self.world.process
        queue = None if process is None else process.broker.vhosts["/"].queues.get(self.queue)
        stay = sum(sent.ttl_ms is None and self._is_there(sent) for sent in self._sent.values())
        if queue is not None and queue.ready_count < stay:
            raise self.world.broken(f"{self.name}: {queue.ready_count} of {stay} messages without a TTL are left")

    def _is_there(self, sent: Sent) -> bool:
        """Return whether a message is certainly in the queue, unless it has expired."""
        lives = sent.persistent or sent.life == self.world.life
        return sent.confirmed_at >= 0 and lives and not sent.finished

    # --- queues -------------------------------------------------------------------------------------------------------

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        arguments: dict[str, Any] = {
            "x-message-ttl-mode": longstr("any"),
            "x-dead-letter-exchange": longstr(""),
            "x-dead-letter-routing-key": longstr(self.dead_queue),
        }
        if self._kind == "quorum":
            arguments |= {"x-queue-type": longstr("quorum"), "x-delivery-limit": MANY_RETURNS}
        elif self._kind == "priority":
            arguments["x-max-priority"] = Field("I", 5)
        client.call(lambda _: None, "queue.declare-ok", 1, "queue.declare", queue=self.dead_queue, durable=True)
        client.call(
            lambda _: None, "queue.declare-ok", 1, "queue.declare", queue=self.queue, durable=True, arguments=arguments
        )
        client.call(lambda _: then(), "basic.qos-ok", 1, "basic.qos", prefetch_count=0)

    # --- messages -----------------------------------------------------------------------------------------------------

    def _made(self, message: str) -> bytes:
        chance = self.publisher.chance
        ttl_ms = None if chance.random() < self._stay else chance.randint(0, self._longest_ms)
        persistent = chance.random() < self._persistent
        self._sent[message] = Sent(self.world.life, self.world.scheduler.now, ttl_ms, persistent)
        properties: dict[str, Any] = {"delivery_mode": 2} if persistent else {}
        if ttl_ms is not None:
            properties["expiration"] = str(ttl_ms)
        return published(self.queue, message.encode(), priority=chance.randrange(6), **properties)

    def _on_confirmed(self, message: str) -> None:
        self._sent[message].confirmed_at = self.world.scheduler.now

    def came(self, got: Received) -> None:
        """Check a dead letter."""
        message = name_of(got.body)
        sent = self._sent.get(message)
        if sent is None or sent.ttl_ms is None:
            raise self.world.broken(f"{self.name}: {message!r} comes as a dead letter")
        reasons = [death.reason for death in deaths_of(got.properties)]
        if reasons != ["expired"]:
            raise self.world.broken(f"{self.name}: {message} is dead-lettered for {reasons}")
        if self.world.time.rise(sent.at) < sent.ttl_ms * MS - GRAIN_NS:
            raise self.world.broken(f"{self.name}: {message} expires too early")
        if not got.arguments["redelivered"] and not sent.finished:
            self._check_order(message, sent)
        sent.finished = True

    def _check_order(self, message: str, sent: Sent) -> None:
        """Check that no message with a later deadline came before."""
        assert sent.ttl_ms is not None
        last = self._last
        if last is not None and self.world.time.is_steady(min(sent.at, last.at)) and sent.confirmed_at >= 0:
            assert last.ttl_ms is not None
            if sent.confirmed_at + sent.ttl_ms * MS + GRAIN_NS < last.at + last.ttl_ms * MS:
                raise self.world.broken(f"{self.name}: {message} expires after a message with a later deadline")
        if last is None or last.ttl_ms is None or sent.at + sent.ttl_ms * MS > last.at + last.ttl_ms * MS:
            self._last = sent


class Heir(Client):
    """Acknowledges all dead letters."""

    def __init__(self, anywhere: Anywhere) -> None:
        super().__init__(anywhere.world, f"{anywhere.name}h")
        self._anywhere = anywhere
        self.idle = False

    def opened(self) -> None:
        self._anywhere.declare(self, self._declared)

    def _declared(self) -> None:
        queue = self._anywhere.dead_queue
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=queue, consumer_tag="h")

    def _consuming(self, _: Received) -> None:
        self.idle = True

    def received(self, got: Received) -> None:
        self._anywhere.came(got)
        self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])

    def disconnected(self) -> None:
        self.idle = False
