"""A work queue whose rejected messages wait in a queue with a TTL, and return unchanged, with correct counts."""

import random
from collections.abc import Callable
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.scheduler import MS
from tests.simulation.steps import REST_MS, Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher
from tests.simulation.world import World

TTLS_MS = (0, 1, 100, 3_000)
#: Factor of the time that messages wait in a world of hours.
SLOWER = 1200


class Retries(Workload):
    """Two queues that dead-letter to each other, a publisher, a consumer that rejects each message `tries` times."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._kind: str = plan["kind"]
        self._ttl_ms: int = plan["ttl_ms"]
        self._tries: int = plan["tries"]
        self._confirmed: dict[str, bool] = {}
        self._deaths: dict[str, int] = {}
        self._lives: dict[str, int] = {}
        self._rejected: dict[str, tuple[int, int]] = {}
        self._finished: dict[str, None] = {}
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self._on_confirmed)
        self.consumer = Rejecter(self)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "kind": chance.choice(("classic", "quorum")),
            "ttl_ms": chance.choice(TTLS_MS),
            "tries": chance.choice((1, 2, 4)),
        }

    @staticmethod
    def slowed(settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "ttl_ms": settings["ttl_ms"] * SLOWER}

    @property
    def rest_ms(self) -> int:
        return (self._tries + 1) * self._ttl_ms + REST_MS

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice((1, 10, 50)),))
            for _ in range(chance.choice((1, 5, 10)))
        ]
        return steps + troubles(chance, end_ms, [f"{name}p", f"{name}c"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, self.consumer

    def is_done(self) -> bool:
        return self.publisher.idle and self.consumer.consumes and self.world.are_empty(self.name, f"{self.name}-wait")

    def check(self) -> None:
        for message, confirmed in self._confirmed.items():
            if confirmed and message not in self._finished:
                raise self.world.broken(f"{self.name}: {message} was confirmed, and is lost")

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare both queues."""
        for name, other, ttl_ms in (
            (f"{self.name}-wait", self.name, self._ttl_ms),
            (self.name, f"{self.name}-wait", None),
        ):
            arguments: dict[str, Any] = {
                "x-queue-type": longstr(self._kind),
                "x-dead-letter-exchange": longstr(""),
                "x-dead-letter-routing-key": longstr(other),
            }
            if ttl_ms is not None:
                arguments["x-message-ttl"] = Field("I", ttl_ms)
            done: Callable[[Received], None] = (lambda _: None) if ttl_ms is not None else (lambda _: then())
            client.call(done, "queue.declare-ok", 1, "queue.declare", queue=name, durable=True, arguments=arguments)

    def _made(self, message: str) -> bytes:
        self._confirmed[message] = False
        return published(self.name, message.encode(), delivery_mode=2)

    def _on_confirmed(self, message: str) -> None:
        self._confirmed[message] = True

    def delivered(self, message: str, headers: dict[str, Any]) -> bool:
        """Check one delivery, and return whether it should be rejected. Raises BrokenError."""
        if message not in self._confirmed:
            raise self.world.broken(f"{self.name}: {message!r} is delivered, but was never published")
        deaths = _count(headers, self.name, "rejected")
        waits = _count(headers, f"{self.name}-wait", "expired")
        if deaths != waits:
            raise self.world.broken(f"{self.name}: {message} was rejected {deaths} times, and expired {waits} times")
        before = self._deaths.get(message, 0)
        rejection = self._rejected.get(message)
        crashed = self._lives.get(message, self.world.life) != self.world.life
        self._lives[message] = self.world.life
        if self.world.tore_groups:  # then a message may exist twice
            pass
        elif deaths > before or (deaths < before and not crashed):  # a crash undoes changes that were not stored
            if rejection is None or deaths != rejection[0] + 1:
                raise self.world.broken(f"{self.name}: {message} died {deaths} times, {before} before")
            if self.world.time.rise(rejection[1]) < (self._ttl_ms - 1) * MS:
                raise self.world.broken(f"{self.name}: {message} comes back early")
        self._deaths[message] = deaths
        if deaths >= self._tries:
            self._finished[message] = None
            return False
        self._rejected[message] = (deaths, self.world.scheduler.now)
        return True


class Rejecter(Client):
    """Rejects or acknowledges messages, as the workload determines."""

    def __init__(self, retries: Retries) -> None:
        super().__init__(retries.world, f"{retries.name}c")
        self._retries = retries
        self.consumes = False

    def opened(self) -> None:
        self._retries.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=self._retries.name, consumer_tag="c")

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def received(self, got: Received) -> None:
        assert got.body is not None
        assert got.properties is not None
        tag = got.arguments["delivery_tag"]
        if self._retries.delivered(got.body.decode(), got.properties.get("headers", {})):
            self.send(1, "basic.reject", delivery_tag=tag, requeue=False)
        else:
            self.send(1, "basic.ack", delivery_tag=tag)

    def disconnected(self) -> None:
        self.consumes = False


def _count(headers: dict[str, Any], queue: str, reason: str) -> int:
    """Return the number of times that the message has left a queue for a reason, by x-death."""
    deaths = headers["x-death"].value if "x-death" in headers else []
    for death in deaths:
        fields = death.value
        if fields["queue"].value == queue.encode() and fields["reason"].value == reason.encode():
            return int(fields["count"].value)
    return 0
