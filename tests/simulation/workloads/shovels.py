"""A shovel between two queues: it loses nothing that is confirmed, and moves messages once and in order.

Exceptions are explained by links that are lost, and by ends of the broker.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher, name_of
from tests.simulation.world import World

SIZES = (0, 10, 10, 10, 300, 5_000, 140_000)
#: Time for which the consumer holds a message.
HELD_NS = (1 * MS, 200 * MS)
#: Number of messages at the end, after the shovel has connected again.
LAST = 3
#: Pause between two looks at the end.
LOOK_NS = 200 * MS
INSIDE = "amqp://"
#: The broker by the network, alone and beside a port at which nothing listens.
OUTSIDE = "amqp://guest:guest@127.0.0.1:5672"
SEVERAL = (OUTSIDE, "amqp://127.0.0.1:1")
#: Time in which a shovel ends, and in which one connects that tries again each second.
ENDS_NS = 20 * SECOND
RUNS_NS = 120 * SECOND
#: Time until connections are closed again.
CLOSED_NS = 10 * SECOND
#: States of a shovel that is connected.
CONNECTED = ("running", "flow", "blocked")


@dataclass(slots=True)
class Passage:
    """One message. seen: number of its deliveries.

    life, links: of the world when it was published; links is negative if the broker served a link that was lost.
    """

    life: int
    links: int
    persistent: bool
    confirmed: bool = False
    seen: int = 0


class Shovels(Workload):
    """The queues of one shovel, a publisher into the first, a consumer of the second, and who changes the shovel."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.kinds: dict[str, str] = {"from": plan["from"], "to": plan["to"]}
        self.modes: list[str] = plan["modes"]
        self.limit: int = plan["limit"]
        self.source, self.destination = f"{name}-from", f"{name}-to"
        self.passages: dict[str, Passage] = {}
        self._persistent: float = plan["persistent"]
        self._messages = world.chance(f"{name} messages")
        #: Publisher's connection -> number of the newest message that was delivered.
        self._newest: dict[str, int] = {}
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self._confirmed)
        self.consumer = Consumer(self, f"{name}c")
        self.operator = Operator(self, f"{name}o")
        self.wires = Wires(world, f"{name}w")

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "from": chance.choice(("classic", "quorum")),
            "to": chance.choice(("classic", "quorum")),
            "modes": chance.choice((["on-confirm"], ["on-confirm"], ["on-confirm", "on-publish", "no-ack"])),
            # Not fewer: a shovel publishes refused messages again once a second.
            "limit": chance.choice((0, 0, 20)),
            "persistent": chance.choice((0.5, 1.0, 1.0)),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [Step(0, f"{name}o", "put")]
        for _ in range(chance.choice((2, 5, 20))):
            count = chance.choice((1, 1, 10, 30))
            size = chance.choice(SIZES if count < 30 else SIZES[:-1])
            steps.append(Step(chance.randint(0, end_ms), f"{name}p", "publish", (count, size)))
        for verb in ("put", "delete", "restart", "close"):
            steps += [Step(chance.randint(0, end_ms), f"{name}o", verb) for _ in range(chance.choice((0, 1, 4)))]
        steps += [Step(chance.randint(0, end_ms), f"{name}w", "cut") for _ in range(chance.choice((0, 0, 2, 5)))]
        for _ in range(chance.choice((0, 1, 5))):
            how = (chance.random() < 0.5, chance.choice((50, 2000, 20_000)))
            steps.append(Step(chance.randint(0, end_ms), f"{name}w", "stall", how))
        return steps + troubles(chance, end_ms, [f"{name}p", f"{name}c", f"{name}o"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, self.consumer

    @property
    def connections(self) -> int:
        # A lost connection of the shovel may still be there when the next one comes.
        return len(self.clients) + 4

    @property
    def actors(self) -> dict[str, Any]:
        return {**super().actors, self.operator.name: self.operator, self.wires.name: self.wires}

    def rest(self) -> None:
        self.operator.finish()

    def is_done(self) -> bool:
        return self.operator.has_finished and self.is_quiet()

    def is_quiet(self) -> bool:
        """Return whether nobody waits for anything, and all messages have passed."""
        clients = self.publisher.idle and self.consumer.idle
        return clients and self.world.are_empty(self.source, self.destination)

    def check(self) -> None:
        for message, passage in self.passages.items():
            if passage.seen or not passage.confirmed or self.world.tore_groups:
                continue
            # Other modes lose what is on its way over a link that is lost; each later shovel makes new links.
            is_safe = self.modes == ["on-confirm"] or passage.links == self.world.links_made
            if is_safe and (passage.persistent or passage.life == self.world.life):
                raise self.world.broken(f"{self.name}: {message} was confirmed, and is lost")

    # --- objects and messages -----------------------------------------------------------------------------------------

    def arguments(self, end: str) -> dict[str, Any]:
        """Return the arguments of the queue at one end. A shovel that reconnects often returns messages often."""
        unlimited = {"x-delivery-limit": -1} if self.kinds[end] == "quorum" else {}
        limited = {"x-max-length": self.limit, "x-overflow": "reject-publish"} if end == "to" and self.limit else {}
        return {"x-queue-type": self.kinds[end], **unlimited, **limited}

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare both queues, which may have been lost with unsynced data."""
        source, destination = [
            {name: longstr(value) if isinstance(value, str) else Field("l", value) for name, value in given.items()}
            for given in (self.arguments("from"), self.arguments("to"))
        ]
        client.declare_queue(lambda: client.declare_queue(then, self.destination, destination), self.source, source)

    def _made(self, message: str, size: int) -> bytes:
        persistent = self._messages.random() < self._persistent
        process = self.world.process
        # The broker may still deliver the message to a lost link, and requeue it when it notices.
        is_alone = process is not None and not process.shovels.has_lost_links
        self.passages[message] = Passage(self.world.life, self.world.links_made if is_alone else -1, persistent)
        properties: dict[str, Any] = {"delivery_mode": 2} if persistent else {}
        return published(self.source, message.encode() + b" " + self._messages.randbytes(size), **properties)

    def _confirmed(self, message: str) -> None:
        self.passages[message].confirmed = True

    def delivered(self, message: str, redelivered: bool) -> None:
        """Record that the consumer has received a message. Raises BrokenError."""
        passage = self.passages.get(message)
        if passage is None:
            raise self.world.broken(f"{self.name}: {message!r} is delivered, which nobody has published")
        publisher, number = message.rsplit("-", 1)
        newest = self._newest.get(publisher, -1)
        self._newest[publisher] = max(newest, int(number))
        again, passage.seen = passage.seen, passage.seen + 1
        # The broker may have requeued what a consumer timeout has ended, and a shovel has new links after it.
        is_one_passage = passage.links == self.world.links_made and passage.life == self.world.life
        if not is_one_passage or redelivered:
            return
        if again:
            raise self.world.broken(f"{self.name}: {message} is moved twice over the same links")
        # A message that the destination has refused follows later ones.
        if int(number) < newest and not self.limit:
            raise self.world.broken(f"{self.name}: {message} is delivered after {publisher}-{newest}")


class Consumer(Client):
    """Acknowledges the messages at the destination, each after a while."""

    def __init__(self, workload: Shovels, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self.idle = False

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(self._limited, "basic.qos-ok", 1, "basic.qos", prefetch_count=self.chance.choice((3, 10, 300)))

    def _limited(self, _: Received) -> None:
        queue = self._workload.destination
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=queue, consumer_tag="c")

    def _consuming(self, _: Received) -> None:
        self.idle = True

    def disconnected(self) -> None:
        self.idle = False

    def received(self, got: Received) -> None:
        if got.name != "basic.deliver":
            raise self.world.broken(f"{self.name} received {got}")
        message, tag, incarnation = name_of(got.body), got.arguments["delivery_tag"], self._incarnation
        self._workload.delivered(message, got.arguments["redelivered"])
        self.world.scheduler.after(self.chance.randint(*HELD_NS), partial(self._acknowledge, tag, incarnation))

    def _acknowledge(self, tag: int, incarnation: int) -> None:
        if self.open and incarnation == self._incarnation:
            self.send(1, "basic.ack", delivery_tag=tag)


class Wires:
    """The network between the shovels and the broker: it does not affect connections within the process."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.chance = world.chance(name)

    def do_cut(self) -> None:
        """Cut one of the connections."""
        for each in self._some():
            each.cut()

    def do_stall(self, upward: bool, duration_ms: int) -> None:
        """Delay all bytes of one connection in one direction; upward: to the broker."""
        for each in self._some():
            each.stall(upward, duration_ms * MS)

    def _some(self) -> list[Any]:
        """Return one of the connections, or none if there is none."""
        links = () if self.world.process is None else self.world.process.shovels.links
        outside = [each for each in links if not each.is_inside and each.is_open]
        return [self.chance.choice(outside)] if outside else []


class Operator(HttpClient):
    """Defines, deletes and restarts the shovel, and closes its connections.

    At the end, it defines one that moves all messages, also after its connections are closed, and deletes it.
    """

    def __init__(self, workload: Shovels, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._path = path("parameters", "shovel", "/", workload.name)
        self._runs_since = 0
        #: Facts about both ends of the last shovel when its connections were closed.
        self._ends: dict[str, str] = {}
        self._closed_ns = 0
        self.has_finished = False

    def do_put(self) -> None:
        """Define the shovel, or change it."""
        self.request("PUT", self._path, self._on_changed, {"value": self._definition()})

    def do_delete(self) -> None:
        """Delete the shovel, if there is one."""
        self.request("DELETE", self._path, self._on_changed)

    def do_restart(self) -> None:
        """Restart the shovel, if there is one."""
        target = path("shovels", "vhost", "/", self._workload.name, "restart")
        self.request("DELETE", target, self._on_changed)

    def do_close(self) -> None:
        """Close the connections of the shovel."""
        self._close(lambda: None)

    def _close(self, then: Callable[[], None]) -> None:
        """Close the connections of the shovel, and call `then`."""
        self.request("GET", path("connections"), partial(self._on_connections, then))

    def _on_connections(self, then: Callable[[], None], answer: Answer | None) -> None:
        name = f"Shovel {self._workload.name}"
        for row in answer.json if answer is not None and answer.status == 200 else ():
            if row.get("client_properties", {}).get("connection_name") == name:
                self.request("DELETE", path("connections", row["name"]), self._on_changed)
        then()

    def _definition(self) -> dict[str, Any]:
        chance = self.chance
        mode = chance.choice(self._workload.modes)
        value = {
            "src-uri": self._uri(),
            "src-queue": self._workload.source,
            "src-queue-args": self._workload.arguments("from"),
            "src-prefetch-count": chance.choice((1, 3, 50, 1000)),
            "dest-uri": self._uri(),
            "dest-queue": self._workload.destination,
            "dest-queue-args": self._workload.arguments("to"),
            "dest-add-forward-headers": chance.random() < 0.3,
            "ack-mode": mode,
            "reconnect-delay": 1,
        }
        if chance.random() < 0.2:
            value["src-delete-after"] = "queue-length"
        return value

    def _uri(self) -> str | list[str]:
        return self.chance.choice((INSIDE, OUTSIDE, OUTSIDE, list(SEVERAL)))

    def _on_changed(self, answer: Answer | None) -> None:
        # 404: it has ended, or a crash has undone it. 503: the disk refuses the change.
        if answer is not None and answer.status not in (201, 204, 404, 503):
            raise self.world.broken(f"{self.name}: a change of the shovel is answered with {answer}")

    # --- the end ------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Define a shovel that moves all messages."""
        value = {**self._definition(), "src-delete-after": "never"}
        self.request("PUT", self._path, self._on_last_put, {"value": value})

    def _on_last_put(self, answer: Answer | None) -> None:
        self._on_changed(answer)
        if answer is None or answer.status not in (201, 204):
            self._later(self.finish)
            return
        self._runs_since = self.world.scheduler.now
        self._look()

    def _look(self) -> None:
        self.request("GET", path("shovels", "/"), self._on_look)

    def _on_look(self, answer: Answer | None) -> None:
        states = self._states(answer)
        if states is None:
            self._later(self._look)
            return
        late = self.world.scheduler.now - self._runs_since > RUNS_NS
        if states not in [[state] for state in CONNECTED]:
            if late:
                raise self.world.broken(f"{self.name}: the shovel does not run, its states are {states}")
            self._later(self._look)
        elif not self._ends:
            # It has to connect again, and then to move further messages.
            self._ends = self._current_ends()
            self._runs_since = self.world.scheduler.now
            self._close_all()
            self._workload.publisher.do_publish(LAST, 10)
        elif self._ends is self._current_ends():
            if late:
                raise self.world.broken(f"{self.name}: the shovel does not notice that its connections are closed")
            if self.world.scheduler.now - self._closed_ns > CLOSED_NS:
                self._close_all()
            else:
                self._later(self._look)
        elif not self._workload.is_quiet():
            self._runs_since = self.world.scheduler.now
            self._later(self._look)
        else:
            self._delete()

    def _close_all(self) -> None:
        """Close the connections of the last shovel, again if a request was lost."""
        self._closed_ns = self.world.scheduler.now
        self._close(lambda: self._later(self._look))

    def _delete(self) -> None:
        self.request("DELETE", self._path, self._on_last_deleted)

    def _on_last_deleted(self, answer: Answer | None) -> None:
        self._on_changed(answer)
        if answer is None or answer.status == 503:
            self._later(self._delete)
            return
        self._runs_since = self.world.scheduler.now
        self._look_for_none()

    def _look_for_none(self) -> None:
        self.request("GET", path("shovels", "/"), self._on_look_for_none)

    def _on_look_for_none(self, answer: Answer | None) -> None:
        states = self._states(answer)
        if states == []:
            self.has_finished = True
        elif states is None or self.world.scheduler.now - self._runs_since < ENDS_NS:
            self._later(self._look_for_none)
        else:
            raise self.world.broken(f"{self.name}: the deleted shovel has the states {states}")

    def _current_ends(self) -> dict[str, str]:
        """Return the facts about both ends, which are others after each connection."""
        process = self.world.process
        status = None if process is None else process.shovels.status("/", self._workload.name)
        return {} if status is None else status.ends

    def _states(self, answer: Answer | None) -> list[str] | None:
        """Return the states of the shovel, one or none. None: the broker has not answered."""
        if answer is None or answer.status != 200:
            return None
        return [row["state"] for row in answer.json if row["name"] == self._workload.name]

    def _later(self, call: Callable[[], None]) -> None:
        self.world.scheduler.after(LOOK_NS, call)
