"""A publisher of values by key, and a consumer: the last value of each key arrives, and none after a newer one."""

import random
from collections.abc import Callable
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.duplicates import HoldingConsumer
from tests.simulation.world import World

HEADER = "x-key"


class LastValues(Workload):
    """A queue in which messages replace others, with one publisher and one consumer.

    Messages are numbered in the order in which they are published. confirmed, arrived: key -> the highest number.
    """

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._plan = plan
        self.confirmed: dict[str, int] = {}
        self._arrived: dict[str, int] = {}
        self.publisher = ValuePublisher(self, f"{name}p", plan["keys"])
        self.consumer = HoldingConsumer(self, f"{name}c", plan["prefetch"], plan.get("returns", 0.0))

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "kind": chance.choice(("classic", "quorum")),
            "position": chance.choice(("old", "tail")),
            "keys": chance.choice((1, 3, 50)),
            "prefetch": chance.choice((1, 3, 50, 50)),
            "returns": 0.7,
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        publisher, consumer = f"{name}p", f"{name}c"
        steps = [
            Step(chance.randint(0, end_ms), publisher, "publish", (chance.choice((1, 5, 50)),))
            for _ in range(chance.choice((5, 20, 50)))
        ]
        drops = [(client, chance.choice((0, 2, 5))) for client in (publisher, consumer)]
        steps += [Step(chance.randint(0, end_ms), client, "drop") for client, count in drops for _ in range(count)]
        return steps + troubles(chance, end_ms, [publisher, consumer])

    @property
    def clients(self) -> tuple[Client, ...]:
        return (self.publisher, self.consumer)

    def is_done(self) -> bool:
        return (
            self.publisher.open
            and self.publisher.idle
            and self.consumer.consumes
            and not self.consumer.held
            and self.world.are_empty(self.name)
        )

    def check(self) -> None:
        for key, number in self.confirmed.items():
            arrived = self._arrived.get(key, 0)
            if arrived < number:
                raise self.world.broken(f"{self.name}: {key} {number} was confirmed, and the last is {arrived}")

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue."""
        arguments: dict[str, Field] = {
            "x-queue-type": longstr(self._plan["kind"]),
            "x-last-value-key": longstr(HEADER),
            "x-last-value-position": longstr(self._plan["position"]),
        }
        if self._plan["kind"] == "quorum":
            arguments["x-delivery-limit"] = Field("l", -1)
        client.declare_queue(then, self.name, arguments)

    def delivered(self, body: str) -> None:
        """Check one delivery. Raises BrokenError."""
        key, number = body.split(" ")
        self._arrived[key] = max(self._arrived.get(key, 0), int(number))
        if self.world.tore_groups:  # then a message may remain with the one that replaces it
            return
        for other in self.consumer.held.values():
            if other.split(" ")[0] == key and int(other.split(" ")[1]) > int(number):
                raise self.world.broken(f"{self.name}: {body} is delivered, and {other} before it")


class ValuePublisher(Client):
    """Publishes values with confirms. On a new connection, it publishes new values for keys without a confirm.

    Each connection has keys of its own, because the broker may read the rest of an old connection after a new one.
    """

    def __init__(self, workload: LastValues, name: str, keys: int) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._keys = keys
        self._number = 0
        self._tag = 0
        self._ready = False
        self._waiting: list[str] = []
        self._by_tag: dict[int, tuple[str, int]] = {}

    @property
    def idle(self) -> bool:
        return self._ready and not self._by_tag and not self._waiting

    def do_publish(self, count: int) -> None:
        """Publish `count` values, now or when there is a connection again."""
        for _ in range(count):
            key = f"k{self.chance.randrange(self._keys)}"
            if self._ready:
                self._send(key)
            else:
                self._waiting.append(key)

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(self._selected, "confirm.select-ok", 1, "confirm.select")

    def _selected(self, _: Received) -> None:
        self._tag = 0
        self._ready = True
        waiting, self._waiting = self._waiting, []
        for key in waiting:
            self._send(key)

    def _send(self, name: str) -> None:
        key = f"{name}.{self._incarnation}"
        self._tag += 1
        self._number += 1
        self._by_tag[self._tag] = key, self._number
        body = f"{key} {self._number}".encode()
        self.write(published(self._workload.name, body, delivery_mode=2, headers={HEADER: longstr(key)}))

    def received(self, got: Received) -> None:
        if got.name != "basic.ack":
            raise self.world.broken(f"{self.name} received {got}")
        tag = got.arguments["delivery_tag"]
        tags = [each for each in self._by_tag if each <= tag] if got.arguments["multiple"] else [tag]
        confirmed = self._workload.confirmed
        for each in tags:
            key, number = self._by_tag.pop(each)
            confirmed[key] = max(confirmed.get(key, 0), number)

    def disconnected(self) -> None:
        self._ready = False
        self._waiting += [key.split(".")[0] for key, _ in self._by_tag.values()]
        self._by_tag.clear()
