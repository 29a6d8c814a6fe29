"""Clients that ask for large answers over HTTP and do not read them: others are answered meanwhile."""

import random
from typing import Any

from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

#: Bytes of a message. One answer is more than a connection takes before it waits for its client.
SIZE = 100_000
#: Number of messages.
COUNT = 3
#: Clients that ask for them.
READERS = 4
#: Longest wait for an answer that is small, if nothing disturbs the broker.
ANSWERED_MS = 10_000


class Unread(Workload):
    """A queue of large messages, clients that get and return them at the same time, and a client that counts them."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.filler = Filler(world, name)
        self.readers = [HttpClient(world, f"{name}h{number}") for number in range(READERS)]
        self.bystander = HttpClient(world, f"{name}b")

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = []
        for _ in range(chance.choice((1, 3, 8))):
            at_ms = chance.randint(0, end_ms)
            for number in chance.sample(range(READERS), chance.randint(1, READERS)):
                wait_ms = chance.choice((0, 50, 1_000, 40_000))
                steps.append(Step(at_ms, f"{name}h{number}", "pause", (wait_ms,)))
                steps.append(Step(at_ms + chance.randint(0, 300), name, "ask", (number,)))
        steps += [Step(chance.randint(0, end_ms), name, "look") for _ in range(10)]
        return steps + troubles(chance, end_ms, [f"{name}h{number}" for number in range(READERS)])

    @property
    def clients(self) -> tuple[Client, ...]:
        return (self.filler,)

    @property
    def actors(self) -> dict[str, Any]:
        others = (self.filler, self.bystander, *self.readers)
        return {self.name: self, **{each.name: each for each in others}}

    def do_ask(self, number: int) -> None:
        """Get all messages and return them."""
        body = {"count": 10, "ackmode": "ack_requeue_true", "encoding": "auto"}
        reader = self.readers[number]
        if reader.idle:
            reader.request("POST", path("queues", "/", self.name, "get"), self._got, body)

    def do_look(self) -> None:
        """Ask for the queue, and check that the answer comes in time."""
        if not self.bystander.idle or self.world.process is None:
            return
        began, life = self.world.scheduler.now, self.world.life

        def over(answer: Answer | None) -> None:
            self._check_status(answer)
            troubled = max(began, self.world.processor.troubled_until)
            if life == self.world.life and self.world.scheduler.now > troubled + ANSWERED_MS * MS:
                raise self.world.broken(f"{self.name}: an answer took {self.world.scheduler.now - began} ns")

        self.bystander.request("GET", path("queues", "/", self.name, columns="messages"), over)

    def rest(self) -> None:
        self.filler.empty()

    def is_done(self) -> bool:
        return self.filler.is_empty and self.bystander.idle and all(each.idle for each in self.readers)

    def check(self) -> None:
        """Do nothing: everything was checked earlier."""

    def _got(self, answer: Answer | None) -> None:
        self._check_status(answer)
        if answer is not None and answer.status == 200:
            for row in answer.json:
                if len(row["payload"]) != SIZE or row["payload"] != row["payload"][0] * SIZE:
                    raise self.world.broken(f"{self.name}: got {row['payload_bytes']} bytes, and others than published")

    def _check_status(self, answer: Answer | None) -> None:
        """Check an answer. Before the filler's first connection and after its last one there is no queue."""
        if answer is not None and answer.status not in (200, 404):
            raise self.world.broken(f"{self.name}: a request is answered with {answer.status} {answer.json}")


class Filler(Client):
    """Fills a queue with large messages on each connection, and deletes it at the end. is_empty: it is deleted."""

    def __init__(self, world: World, queue: str) -> None:
        super().__init__(world, f"{queue}p")
        self._queue = queue
        self._empties = False
        self.is_empty = False

    def opened(self) -> None:
        self._go_on()

    def empty(self) -> None:
        """Delete the queue, and do not declare it again."""
        self._empties = True
        if self.open:
            self._go_on()

    def _go_on(self) -> None:
        name = self._queue
        if self._empties:
            self.call(self._deleted, "queue.delete-ok", 1, "queue.delete", queue=name)
        else:
            self.call(self._declared, "queue.declare-ok", 1, "queue.declare", queue=name, durable=True)

    def _declared(self, got: Received) -> None:
        for number in range(got.arguments["message_count"], COUNT):
            self.write(published(self._queue, b"abc"[number : number + 1] * SIZE))

    def _deleted(self, got: Received) -> None:
        self.is_empty = True
