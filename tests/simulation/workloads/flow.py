"""Publishers and consumers of one queue: nothing confirmed is lost, nothing settled returns, the order is preserved."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.ledger import Ledger
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher, Publisher, UnconfirmedPublisher, name_of
from tests.simulation.world import World

SIZES = (0, 10, 10, 10, 300, 5_000, 140_000)
#: Settlings of a consumer: an acknowledgement of the oldest, of several, a requeue of the oldest, of all.
SETTLINGS = ("ack", "ack", "ack_multiple", "ack_multiple", "ack_newest", "requeue", "requeue_all")


class Flow(Workload):
    """One queue with its clients. plan: settings of the flow, as the scenario has them."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.kind: str = plan["kind"]
        self.priorities: int = plan["priorities"] if self.kind == "classic" else 0
        self.ledger = Ledger(world, name)
        self._persistent: float = plan["persistent"]
        self._unconfirmed: int = plan["unconfirmed"]
        self.publishers = [self._publisher(i) for i in range(plan["publishers"])]
        self.consumers = [Consumer(self, f"{name}c{i}", plan["prefetch"]) for i in range(plan["consumers"])]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of a flow."""
        return {
            "kind": chance.choice(("classic", "quorum")),
            "persistent": chance.choice((0.0, 0.5, 1.0, 1.0)),
            "publishers": chance.randint(1, 3),
            "unconfirmed": chance.choice((0, 0, 1)),
            "consumers": chance.randint(1, 3),
            "prefetch": chance.choice((0, 1, 3, 50)),
            "priorities": chance.choice((0, 0, 3)),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = []
        for i in range(settings["publishers"]):
            for _ in range(chance.choice((1, 5, 20))):
                count = chance.choice((1, 1, 10, 200))
                size = chance.choice(SIZES if count < 100 else SIZES[:-1])
                steps.append(Step(chance.randint(0, end_ms), f"{name}p{i}", "publish", (count, size)))
        for i in range(settings["consumers"]):
            steps += [
                Step(chance.randint(0, end_ms), f"{name}c{i}", "settle", (chance.choice(SETTLINGS),))
                for _ in range(chance.choice((3, 30, 200)))
            ]
            for _ in range(chance.choice((0, 0, 1, 4))):
                steps.append(Step(chance.randint(0, end_ms), f"{name}c{i}", "resubscribe"))
        clients = [f"{name}p{i}" for i in range(settings["publishers"])]
        clients += [f"{name}c{i}" for i in range(settings["consumers"])]
        return steps + troubles(chance, end_ms, clients)

    @property
    def clients(self) -> "Sequence[Publisher | Consumer]":
        return (*self.publishers, *self.consumers)

    def rest(self) -> None:
        for consumer in self.consumers:
            consumer.acknowledge_all()

    def is_done(self) -> bool:
        return (
            all(client.open and client.idle for client in self.clients)
            and not any(consumer.unsettled for consumer in self.consumers)
            and self.world.are_empty(self.name)
        )

    def check(self) -> None:
        self.ledger.check()

    def _publisher(self, i: int) -> Publisher:
        """Return a publisher, the first ones without confirms."""
        name = f"{self.name}p{i}"
        confirms = i >= self._unconfirmed
        kind = ConfirmingPublisher if confirms else UnconfirmedPublisher
        make = partial(self._made, self.world.chance(f"{name} messages"), confirms)
        return kind(self.world, name, self.declare, make, self.ledger.confirmed)

    def _made(self, chance: random.Random, confirms: bool, message: str, size: int) -> bytes:
        """Return the frames of a message. confirms: its publisher is notified when it survives a crash."""
        persistent = chance.random() < self._persistent
        properties: dict[str, Any] = {"delivery_mode": 2} if persistent else {}
        priority = chance.randint(0, self.priorities)
        if priority:
            properties["priority"] = priority
        self.ledger.published(message, confirms and (persistent or self.kind == "quorum"), priority)
        return published(self.name, message.encode() + b" " + chance.randbytes(size), **properties)

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue, which may have been lost with unsynced data."""
        arguments: dict[str, Any] = {"x-queue-type": longstr(self.kind)}
        if self.priorities:
            arguments["x-max-priority"] = Field("I", self.priorities)
        client.declare_queue(then, self.name, arguments)


class Consumer(Client):
    """Consumes messages, and settles them on request. prefetch: of its consumer."""

    def __init__(self, flow: Flow, name: str, prefetch: int) -> None:
        super().__init__(flow.world, name)
        self._flow = flow
        self._prefetch = prefetch
        self.unsettled: dict[int, str] = {}
        self._acknowledges_all = False
        self._consumes = False
        self._cancels = False

    @property
    def idle(self) -> bool:
        return self._consumes

    def opened(self) -> None:
        self._flow.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(self._limited, "basic.qos-ok", 1, "basic.qos", prefetch_count=self._prefetch)

    def _limited(self, _: Received) -> None:
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=self._flow.name, consumer_tag="c")

    def _consuming(self, _: Received) -> None:
        self._consumes = True

    def do_resubscribe(self) -> None:
        """Cancel the consumer and consume again."""
        if self.open and self._consumes:
            self._consumes = False
            self.call(self._limited, "basic.cancel-ok", 1, "basic.cancel", consumer_tag="c")

    def do_settle(self, how: str) -> None:
        if not self.open or not self.unsettled:
            return
        tags = list(self.unsettled)
        if how == "ack":
            self._settled("basic.ack", tags[:1], multiple=False)
        elif how == "ack_multiple":
            tags = tags[: self.chance.randint(1, len(tags))]
            self._settled("basic.ack", tags, multiple=True)
        elif how == "ack_newest":
            self._settled("basic.ack", tags[-1:], multiple=False)
        elif how == "requeue":
            self._settled("basic.nack", tags[:1], multiple=False)
        else:
            self._settled("basic.nack", tags, multiple=True)

    def acknowledge_all(self) -> None:
        """Acknowledge all held messages, and all later ones at once."""
        self._acknowledges_all = True
        if self.open and self.unsettled:
            self._settled("basic.ack", list(self.unsettled), multiple=True)

    def _settled(self, name: str, tags: list[int], multiple: bool) -> None:
        arguments = {"requeue": True} if name == "basic.nack" else {}
        self.send(1, name, delivery_tag=tags[-1], multiple=multiple, **arguments)
        messages = [self.unsettled.pop(tag) for tag in tags]
        if name == "basic.ack":
            for message in messages:
                self._flow.ledger.dismissed(message)
            # A later answer proves that the broker has seen it.
            self.call(
                lambda _: [self._flow.ledger.settled(message) for message in messages],
                "basic.qos-ok",
                1,
                "basic.qos",
                prefetch_count=self._prefetch,
            )

    def received(self, got: Received) -> None:
        if got.name != "basic.deliver":
            raise self.world.broken(f"{self.name} received {got}")
        message = name_of(got.body)
        tag = got.arguments["delivery_tag"]
        self._flow.ledger.delivered(message, got.arguments["redelivered"], (self.name, self._incarnation))
        self.unsettled[tag] = message
        if self._acknowledges_all:
            self._settled("basic.ack", [tag], multiple=False)

    def disconnected(self) -> None:
        self._consumes = False
        self.unsettled.clear()
