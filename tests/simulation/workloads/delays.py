"""Messages through a delayed exchange: none early, no confirmed one lost, none twice."""

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

DELAYS_MS = (0, 1, 50, 1_000, 20_000)
HOUR_MS = 3_600_000


class Delays(Workload):
    """An exchange of type x-delayed-message, a queue, a publisher, a consumer."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._longest_ms: int = plan["longest_ms"]
        #: Message -> when it was published, and its delay in milliseconds.
        self._delays: dict[str, tuple[int, int]] = {}
        self._confirmed: dict[str, bool] = {}
        self._received: dict[str, int] = {}
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self._on_confirmed)
        self.consumer = DelayConsumer(self)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {"longest_ms": chance.choice(DELAYS_MS[1:])}

    @staticmethod
    def slowed(settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "longest_ms": max(settings["longest_ms"], HOUR_MS)}

    @property
    def rest_ms(self) -> int:
        return self._longest_ms + REST_MS

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice((1, 10, 100)),))
            for _ in range(chance.choice((1, 5, 20)))
        ]
        return steps + troubles(chance, end_ms, [f"{name}p", f"{name}c"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, self.consumer

    def is_done(self) -> bool:
        return self.publisher.idle and self.consumer.consumes and self._is_empty()

    def _is_empty(self) -> bool:
        """Return whether the exchange holds nothing, and nothing is in the queue."""
        process = self.world.process
        if process is None:
            return False
        vhost = process.broker.vhosts["/"]
        exchange, queue = vhost.exchanges.get(self.name), vhost.queues.get(self.name)
        if exchange is None or queue is None:
            return False
        return exchange.type.held.count + queue.ready_count + queue.unacked_count == 0

    def check(self) -> None:
        for message, confirmed in self._confirmed.items():
            if confirmed and message not in self._received:
                raise self.world.broken(f"{self.name}: {message} was confirmed, and is lost")

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the exchange, the queue and the binding."""
        delayed = {"x-delayed-type": longstr("direct")}
        client.call(
            lambda _: None,
            "exchange.declare-ok",
            1,
            "exchange.declare",
            exchange=self.name,
            exchange_type="x-delayed-message",
            durable=True,
            arguments=delayed,
        )
        client.call(lambda _: None, "queue.declare-ok", 1, "queue.declare", queue=self.name, durable=True)
        client.call(
            lambda _: then(), "queue.bind-ok", 1, "queue.bind", queue=self.name, exchange=self.name, routing_key="k"
        )

    def _made(self, message: str) -> bytes:
        delay_ms = self.publisher.chance.randint(0, self._longest_ms)
        self._delays[message] = self.world.scheduler.now, delay_ms
        self._confirmed[message] = False
        return published("k", message.encode(), self.name, delivery_mode=2, headers={"x-delay": Field("I", delay_ms)})

    def _on_confirmed(self, message: str) -> None:
        self._confirmed[message] = True

    def delivered(self, message: str, redelivered: bool) -> None:
        """Check one delivery. Raises BrokenError."""
        if message not in self._delays:
            raise self.world.broken(f"{self.name}: {message!r} is delivered, but was never published")
        published, delay_ms = self._delays[message]
        # The broker's clock counts whole milliseconds.
        if self.world.time.rise(published) < (delay_ms - 1) * MS:
            raise self.world.broken(f"{self.name}: {message} is delivered early")
        if self._received.get(message) == self.world.life and not redelivered:
            raise self.world.broken(f"{self.name}: {message} is delivered twice")
        self._received[message] = self.world.life


class DelayConsumer(Client):
    """Acknowledges all messages."""

    def __init__(self, delays: Delays) -> None:
        super().__init__(delays.world, f"{delays.name}c")
        self._delays = delays
        self.consumes = False

    def opened(self) -> None:
        self._delays.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=self._delays.name, consumer_tag="c")

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def received(self, got: Received) -> None:
        assert got.body is not None
        self._delays.delivered(got.body.decode(), got.arguments["redelivered"])
        self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])

    def disconnected(self) -> None:
        self.consumes = False
