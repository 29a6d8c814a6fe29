"""A super stream: each message is in one partition, the same key leads to the same one, and no offset is left out."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher
from tests.simulation.workloads.streams import Streams
from tests.simulation.world import World

#: Pause before a request without an answer is repeated.
AGAIN_NS = (50 * MS, 500 * MS)
#: Routing keys of a hash exchange, which is bound to the partitions.
HASHED = [f"k{i}" for i in range(10)]


class SuperStreams(Workload):
    """A super stream with publishers, one reader for each partition, and a client that looks at its layout."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.is_hashed: bool = plan["hashed"]
        self.is_made_by_amqp: bool = plan["amqp"]
        is_modulus = plan["modulus"] and world.config.compat.modulus_hash
        self.hash_type = "x-modulus-hash" if is_modulus else "x-consistent-hash"
        self.keys = [str(i) for i in range(len(plan["readers"]))]
        self.partitions = [Partition(self, key, plan["readers"][i]) for i, key in enumerate(self.keys)]
        #: Message -> routing key, and the partition that has it.
        self.published: dict[str, str] = {}
        self.placed: dict[str, str] = {}
        #: Routing key -> partition.
        self.partition_of: dict[str, str] = {} if self.is_hashed else {key: f"{name}-{key}" for key in self.keys}
        self.confirmed: dict[str, None] = {}
        self.publishers = [
            ConfirmingPublisher(world, f"{name}p{i}", self.declare, self._made, self._confirmed)
            for i in range(plan["publishers"])
        ]
        self.maker = Maker(self, f"{name}m")

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "publishers": chance.randint(1, 2),
            "readers": [
                {
                    "prefetch": chance.choice((1, 3, 50)),
                    "filter": "",
                    "begins": chance.choice(("next", "first", "tracked")),
                }
                for _ in range(chance.randint(1, 4))
            ],
            "hashed": chance.random() < 0.5,
            "modulus": chance.random() < 0.5,
            "amqp": chance.random() < 0.3,
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        publishers = [f"{name}p{i}" for i in range(settings["publishers"])]
        steps = [
            Step(
                chance.randint(0, end_ms),
                chance.choice(publishers),
                "publish",
                (chance.choice((1, 5, 30)), chance.randrange(len(HASHED)), chance.choice((0, 900))),
            )
            for _ in range(chance.choice((2, 10, 40)))
        ]
        steps += [Step(chance.randint(0, end_ms), f"{name}m", "look") for _ in range(chance.choice((0, 2, 10)))]
        readers = [f"{name}-{i}r0" for i in range(len(settings["readers"]))]
        return steps + troubles(chance, end_ms, [*publishers, *readers, f"{name}m"])

    @property
    def clients(self) -> list[Client]:
        return [*self.publishers, *(reader for each in self.partitions for reader in each.readers)]

    @property
    def actors(self) -> dict[str, Any]:
        return {**super().actors, self.maker.name: self.maker}

    def rest(self) -> None:
        for each in self.partitions:
            each.rest()
        self.maker.do_look()

    def is_done(self) -> bool:
        return (
            self.maker.idle
            and all(publisher.open and publisher.idle for publisher in self.publishers)
            and all(each.is_done() for each in self.partitions)
        )

    def check(self) -> None:
        for each in self.partitions:
            each.check()
        lost = [message for message in self.confirmed if message not in self.placed]
        if lost:
            raise self.world.broken(f"{self.name}: {lost[0]} was confirmed, and is in no partition")

    # --- objects and messages -----------------------------------------------------------------------------------------

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Create the super stream, and the exchange that hashes routing keys, if there is one."""
        if self.is_made_by_amqp:
            exchange = {"exchange": self.name, "exchange_type": "direct", "durable": True}
            marked: Table = {"x-super-stream": Field("t", True)}
            client.call(_ignore, "exchange.declare-ok", 1, "exchange.declare", **exchange, arguments=marked)
            for order, each in enumerate(self.partitions):
                stream: Table = {"x-queue-type": longstr("stream")}
                queue = {"queue": each.name, "durable": True, "arguments": stream}
                client.call(_ignore, "queue.declare-ok", 1, "queue.declare", **queue)
                numbered: Table = {"x-stream-partition-order": Field("l", order)}
                binding = {"queue": each.name, "exchange": self.name, "routing_key": self.keys[order]}
                client.call(_ignore, "queue.bind-ok", 1, "queue.bind", **binding, arguments=numbered)
            self._hash(client, then)
        else:
            self.maker.make(partial(self._hash, client, then), client)

    def _hash(self, client: Client, then: Callable[[], None]) -> None:
        if self.is_hashed:
            name = f"{self.name}-hash"
            exchange = {"exchange": name, "exchange_type": self.hash_type, "durable": True}
            client.call(_ignore, "exchange.declare-ok", 1, "exchange.declare", **exchange)
            for each in self.partitions:
                binding = {"queue": each.name, "exchange": name, "routing_key": "1"}
                client.call(_ignore, "queue.bind-ok", 1, "queue.bind", **binding)
        client.call(lambda _: then(), "basic.qos-ok", 1, "basic.qos", prefetch_count=1)

    def _made(self, message: str, number: int, size: int) -> bytes:
        key = HASHED[number] if self.is_hashed else self.keys[number % len(self.keys)]
        self.published[message] = key
        exchange = f"{self.name}-hash" if self.is_hashed else self.name
        return published(key, message.encode() + b" " + bytes(size), exchange, mandatory=True)

    def _confirmed(self, message: str) -> None:
        self.confirmed[message] = None

    def delivered(self, partition: str, message: str) -> None:
        """Check that a message is where it belongs. Raises BrokenError."""
        key = self.published.get(message)
        if key is None:
            raise self.world.broken(f"{partition} delivers {message!r}, which nobody has published")
        known = self.placed.setdefault(message, partition)
        if known != partition:
            raise self.world.broken(f"{partition} delivers {message}, which is in {known}")
        expected = self.partition_of.setdefault(key, partition)
        if expected != partition:
            raise self.world.broken(f"{partition} delivers {message} with the key {key}, which leads to {expected}")


def _ignore(_: Received) -> None:
    pass


class Partition(Streams):
    """One stream of a super stream, with its reader."""

    def __init__(self, whole: SuperStreams, key: str, reader: dict[str, Any]) -> None:
        plan = {"publishers": 0, "readers": [reader], "segment_bytes": -1, "max_bytes": -1, "max_age_s": -1}
        super().__init__(whole.world, f"{whole.name}-{key}", plan)
        self._whole = whole

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Create the super stream."""
        self._whole.declare(client, then)

    def delivered(self, offset: int, body: str) -> None:
        """Check that an offset always has the same message, which belongs to this partition. Raises BrokenError."""
        super().delivered(offset, body)
        self._whole.delivered(self.name, body)


class Maker(HttpClient):
    """Creates the super stream in each life of the broker, in which it may exist already, and looks at it."""

    def __init__(self, workload: SuperStreams, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._path = path("super-streams", "/", workload.name)
        self._life = 0
        self._asked = False
        #: Clients that wait for the super stream: their connections, and what they do then.
        self._awaiting: list[tuple[Client, int, Callable[[], None]]] = []

    def do_look(self) -> None:
        """Look at the layout."""
        self.request("GET", self._path, self._on_look)

    def make(self, then: Callable[[], None], client: Client) -> None:
        """Call `then` when there is the super stream, unless the client's connection ends before."""
        if self._life == self.world.life:
            then()
            return
        self._awaiting.append((client, client._incarnation, then))
        self._put()

    def _put(self) -> None:
        if not self._asked and self._awaiting:
            self._asked = True
            self.request("PUT", self._path, self._on_put, {"partitions": len(self._workload.keys)})

    def _on_put(self, answer: Answer | None) -> None:
        self._asked = False
        # 400: it exists.
        if answer is None or answer.status == 503:
            self.world.scheduler.after(self.chance.randint(*AGAIN_NS), self._put)
            return
        if answer.status not in (201, 400):
            raise self.world.broken(f"{self.name}: the super stream is answered with {answer}")
        self._life = self.world.life
        awaiting, self._awaiting = self._awaiting, []
        for client, incarnation, then in awaiting:
            if client.open and client._incarnation == incarnation:
                then()

    def _on_look(self, answer: Answer | None) -> None:
        if answer is None or answer.status in (404, 503) or self._workload.is_made_by_amqp:
            return
        workload = self._workload
        expected = [{"stream": f"{workload.name}-{key}", "binding_key": key} for key in workload.keys]
        if answer.status != 200 or answer.json["partitions"] != expected:
            raise self.world.broken(f"{self.name}: the super stream is {answer}")
