"""Publishers that repeat messages after lost confirms: the broker accepts each message once."""

import random
from collections.abc import Callable
from typing import Any, Protocol

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

#: Duplicates are recognised by a queue or an exchange within a window, or by a queue while it has the message.
SCOPES = ("window", "exchange", "queue")
#: Longer than any world.
WINDOW_MS = 10**10
#: Time for which the consumer holds a message.
HELD_NS = (1 * MS, 400 * MS)
HEADER = "x-deduplication-header"


class Duplicates(Workload):
    """A queue with publishers that repeat their messages, and a consumer."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.kind: str = plan["kind"]
        self.scope: str = plan["scope"]
        self.confirmed: dict[str, None] = {}
        self._finished: dict[str, None] = {}
        #: Id -> attempts that were delivered, with the life of the broker.
        self._delivered: dict[str, dict[str, int]] = {}
        self.late: dict[str, None] = {}
        self.publishers = [RepeatingPublisher(self, f"{name}p{i}") for i in range(plan["publishers"])]
        self.consumer = HoldingConsumer(self, f"{name}c", plan["prefetch"])

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "kind": chance.choice(("classic", "quorum")),
            "scope": chance.choice(SCOPES),
            "publishers": chance.randint(1, 2),
            "prefetch": chance.choice((1, 3, 50)),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        clients = [f"{name}p{i}" for i in range(settings["publishers"])]
        steps = []
        for client in clients:
            steps += [
                Step(chance.randint(0, end_ms), client, "publish", (chance.choice((1, 5, 50)),))
                for _ in range(chance.choice((1, 5, 20)))
            ]
            for what, counts in (("repeat", (0, 5, 20)), ("drop", (0, 2, 5))):
                steps += [Step(chance.randint(0, end_ms), client, what) for _ in range(chance.choice(counts))]
        return steps + troubles(chance, end_ms, [*clients, f"{name}c"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return (*self.publishers, self.consumer)

    def is_done(self) -> bool:
        return (
            all(client.open and client.idle for client in self.publishers)
            and self.consumer.consumes
            and not self.consumer.held
            and self.world.are_empty(self.name)
        )

    def check(self) -> None:
        for id_ in self.confirmed:
            if id_ not in self._finished:
                raise self.world.broken(f"{self.name}: {id_} was confirmed, and is lost")

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue, and the exchange if it recognises the duplicates."""
        on: dict[str, Any] = {"x-message-deduplication": Field("t", True)}
        window = on | {"x-cache-ttl": Field("l", WINDOW_MS)}
        arguments: dict[str, Any] = {"x-queue-type": longstr(self.kind)}
        if self.scope != "exchange":
            arguments |= window if self.scope == "window" else on
        with_exchange = self.scope == "exchange"
        done: Callable[[Received], None] = (lambda _: None) if with_exchange else (lambda _: then())
        queue = self.name
        client.call(done, "queue.declare-ok", 1, "queue.declare", queue=queue, durable=True, arguments=arguments)
        if with_exchange:
            exchange = {"exchange": queue, "exchange_type": "fanout", "durable": True, "arguments": window}
            client.call(lambda _: None, "exchange.declare-ok", 1, "exchange.declare", **exchange)
            client.call(lambda _: then(), "queue.bind-ok", 1, "queue.bind", queue=queue, exchange=queue)

    def made(self, id_: str, attempt: int) -> bytes:
        """Return the frames of an attempt to publish the message."""
        body = f"{id_} {attempt}"
        if id_ in self.confirmed and self.scope != "queue":
            self.late[body] = None
        exchange = self.name if self.scope == "exchange" else ""
        return published(self.name, body.encode(), exchange, delivery_mode=2, headers={HEADER: longstr(id_)})

    def delivered(self, body: str) -> None:
        """Check one delivery. Raises BrokenError."""
        id_ = body.split(" ")[0]
        self._finished[id_] = None
        if self.world.tore_groups:  # then an id may be lost without its message
            return
        if body in self.late:
            raise self.world.broken(f"{self.name}: {body} is delivered, and {id_} was confirmed before")
        life = self.world.life
        if self.scope == "queue":
            twice = [each for each in self.consumer.held.values() if each != body and each.split(" ")[0] == id_]
        else:
            # A crash may undo a message that was delivered, with its id.
            attempts = self._delivered.setdefault(id_, {})
            twice = [each for each, when in attempts.items() if each != body and when == life]
            attempts[body] = life
        if twice:
            raise self.world.broken(f"{self.name}: {body} is delivered, and so was {twice[0]}")


class RepeatingPublisher(Client):
    """Publishes messages with confirms, and repeats those without one on each new connection."""

    def __init__(self, workload: Duplicates, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._number = 0
        self._attempts = 0
        self._tag = 0
        self._ready = False
        self._unconfirmed: dict[str, None] = {}
        self._by_tag: dict[int, str] = {}

    @property
    def idle(self) -> bool:
        return self._ready and not self._unconfirmed

    def do_publish(self, count: int) -> None:
        """Publish `count` new messages, now or when there is a connection again."""
        for _ in range(count):
            id_ = f"{self.name}-{self._number}"
            self._number += 1
            self._unconfirmed[id_] = None
            if self._ready:
                self._send(id_)

    def do_repeat(self) -> None:
        """Publish some messages again, confirmed or not."""
        if self._ready and self._number:
            for _ in range(5):
                self._send(f"{self.name}-{self.chance.randrange(self._number)}")

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(self._selected, "confirm.select-ok", 1, "confirm.select")

    def _selected(self, _: Received) -> None:
        self._tag = 0
        self._by_tag.clear()
        self._ready = True
        for id_ in list(self._unconfirmed):
            self._send(id_)

    def _send(self, id_: str) -> None:
        self._tag += 1
        self._attempts += 1
        self._by_tag[self._tag] = id_
        self._unconfirmed[id_] = None
        self.write(self._workload.made(id_, self._attempts))

    def received(self, got: Received) -> None:
        if got.name != "basic.ack":
            raise self.world.broken(f"{self.name} received {got}")
        tag = got.arguments["delivery_tag"]
        tags = [each for each in self._by_tag if each <= tag] if got.arguments["multiple"] else [tag]
        for each in tags:
            id_ = self._by_tag.pop(each)
            self._workload.confirmed[id_] = None
            if id_ not in self._by_tag.values():
                self._unconfirmed.pop(id_, None)

    def disconnected(self) -> None:
        self._ready = False


class Held(Protocol):
    """A workload with a consumer that holds its messages. name: of the queue."""

    world: World
    name: str

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue, then call `then`."""

    def delivered(self, body: str) -> None:
        """Check one delivery. Raises BrokenError."""


class HoldingConsumer(Client):
    """Holds each message for a while, and then acknowledges or rejects it. held: by delivery tag.

    returns: fraction of the rejected messages that it returns to the queue; the others are dropped.
    """

    def __init__(self, workload: Held, name: str, prefetch: int, returns: float = 0.0) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._prefetch = prefetch
        self._returns = returns
        self.consumes = False
        self.held: dict[int, str] = {}

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(self._limited, "basic.qos-ok", 1, "basic.qos", prefetch_count=self._prefetch)

    def _limited(self, _: Received) -> None:
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=self._workload.name, consumer_tag="c")

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def received(self, got: Received) -> None:
        if got.name != "basic.deliver" or got.body is None:
            raise self.world.broken(f"{self.name} received {got}")
        body = got.body.decode()
        self._workload.delivered(body)
        tag, incarnation = got.arguments["delivery_tag"], self._incarnation
        self.held[tag] = body
        self.world.scheduler.after(self.chance.randint(*HELD_NS), lambda: self._acknowledge(tag, incarnation))

    def _acknowledge(self, tag: int, incarnation: int) -> None:
        if self.open and incarnation == self._incarnation and tag in self.held:
            del self.held[tag]
            how = self.chance.choice(("basic.ack", "basic.ack", "basic.ack", "basic.nack"))
            if how == "basic.nack" and self._returns and self.chance.random() < self._returns:
                self.send(1, how, delivery_tag=tag, requeue=True)
            else:
                self.send(1, how, delivery_tag=tag)

    def disconnected(self) -> None:
        self.consumes = False
        self.held.clear()
