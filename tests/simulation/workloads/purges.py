"""A deep queue that is purged, and deleted, during publishes: removed messages stay removed, all others arrive."""

import random
from collections.abc import Callable
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher
from tests.simulation.world import World

#: Number of messages of one publish. Several of the largest exceed the messages that a queue holds in memory.
COUNTS = (1, 10, 100, 600)


class Purges(Workload):
    """One queue, a publisher, and a client that gets, purges and deletes without consuming."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._kind: str = plan["kind"]
        self._priorities: int = plan["priorities"]
        self._persistent: bool = plan["persistent"]
        #: "sent"; "present": must be in the queue; "doubtful": may be in it; "gone": certainly removed.
        self._fates: dict[str, str] = {}
        #: Lives of the broker in which a message was last confirmed, removed and delivered.
        self._confirmed: dict[str, int] = {}
        self._removed: dict[str, int] = {}
        self._delivered: dict[str, int] = {}
        #: Life of the broker that may still handle a removal of an ended connection.
        self._haunted = 0
        self._confirmed_ns = -1
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self._on_confirmed)
        self.getter = Getter(self)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        kind = chance.choice(("classic", "quorum"))
        return {
            "kind": kind,
            "priorities": chance.choice((0, 0, 3)) if kind == "classic" else 0,
            "persistent": kind == "quorum" or chance.random() < 0.8,
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice(COUNTS),))
            for _ in range(chance.choice((1, 3, 8)))
        ]
        verbs = ("get", "get", "get", "got", "purge", "purge", "delete")
        steps += [
            Step(chance.randint(0, end_ms), f"{name}c", chance.choice(verbs)) for _ in range(chance.choice((2, 20)))
        ]
        return steps + troubles(chance, end_ms, [f"{name}p", f"{name}c"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, self.getter

    def rest(self) -> None:
        self.getter.empty()

    def is_done(self) -> bool:
        return self.publisher.idle and self.getter.is_done(self._confirmed_ns)

    def check(self) -> None:
        life = self.world.life
        for message, fate in self._fates.items():
            if fate == "present" and (self._persistent or self._confirmed[message] == life):
                raise self.world.broken(f"{self.name}: {message} was confirmed, and is lost")

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue."""
        arguments: dict[str, Any] = {"x-queue-type": longstr(self._kind)}
        if self._priorities:
            arguments["x-max-priority"] = Field("I", self._priorities)
        client.declare_queue(then, self.name, arguments)

    def _made(self, message: str) -> bytes:
        self._fates[message] = "sent"
        properties: dict[str, Any] = {"delivery_mode": 2} if self._persistent else {}
        if self._priorities:
            properties["priority"] = self.publisher.chance.randint(0, self._priorities)
        return published(self.name, message.encode(), **properties)

    def _on_confirmed(self, message: str) -> None:
        self._confirmed_ns = self.world.scheduler.now
        if self._fates[message] == "sent":
            self._fates[message] = "doubtful" if self._haunted == self.world.life else "present"
            self._confirmed[message] = self.world.life

    # --- knowledge of the getter --------------------------------------------------------------------------------------

    def present(self) -> list[str]:
        """Return the messages that must be in the queue now."""
        return [message for message, fate in self._fates.items() if fate == "present"]

    def doubt(self, haunted: bool = False) -> None:
        """Note a removal: everything sent until now may be removed. haunted: the removal may still be pending."""
        for message, fate in self._fates.items():
            if fate in ("sent", "present"):
                self._fates[message] = "doubtful"
        if haunted:
            self._haunted = self.world.life

    def removed(self, messages: list[str]) -> None:
        """Note that the broker has certainly removed these messages, in its present life."""
        for message in messages:
            self._fates[message] = "gone"
            self._removed[message] = self.world.life

    def delivered(self, message: str, redelivered: bool) -> None:
        """Check a message that a client has got. Raises BrokenError."""
        life = self.world.life
        if message not in self._fates:
            raise self.world.broken(f"{self.name}: {message!r} is delivered, but was never published")
        if self._fates[message] == "gone" and self._removed[message] == life:
            raise self.world.broken(f"{self.name}: {message} is delivered although it was removed")
        if self._delivered.get(message) == life and not redelivered:
            raise self.world.broken(f"{self.name}: {message} is delivered again without the redelivered flag")
        self._delivered[message] = life
        self._fates[message] = "doubtful"


class Getter(Client):
    """Gets single messages, purges and deletes, one method after the other.

    A step `get` acknowledges or requeues the message, `got` gets one without acknowledgement.
    """

    def __init__(self, purges: Purges) -> None:
        super().__init__(purges.world, f"{purges.name}c")
        self._purges = purges
        self._waiting: list[str] = []
        #: The current method, "" for none.
        self._verb = ""
        #: Messages whose acknowledgement the broker has seen when it answers the next method.
        self._acknowledged: list[str] = []
        self._ready = False
        self._empties = False
        self._is_empty = False
        #: Time of the latest request.
        self._requested_ns = 0

    def is_done(self, since: int) -> bool:
        """Return whether the queue was found empty by a request after that time, and all is answered."""
        is_empty = self._is_empty and self._requested_ns > since
        return self._ready and is_empty and not self._verb and not self._waiting

    def do_get(self) -> None:
        self._request("get")

    def do_got(self) -> None:
        self._request("got")

    def do_purge(self) -> None:
        self._request("purge")

    def do_delete(self) -> None:
        self._request("delete")

    def empty(self) -> None:
        """Get all messages, from now on."""
        self._empties = True
        self._next()

    def opened(self) -> None:
        self._purges.declare(self, self._declared)

    def _declared(self) -> None:
        self._ready = True
        self._next()

    def disconnected(self) -> None:
        if self._verb not in ("", "get"):
            self._purges.doubt(haunted=True)
        self._acknowledged.clear()
        self._verb = ""
        self._ready = self._is_empty = False

    def _request(self, verb: str) -> None:
        self._waiting.append(verb)
        self._next()

    def _next(self) -> None:
        if not self._ready or self._verb or not (self._waiting or self._empties):
            return
        self._verb = verb = self._waiting.pop(0) if self._waiting else "get"
        self._requested_ns = self.world.scheduler.now
        queue = self._purges.name
        if verb in ("get", "got"):
            answers = "basic.get-ok basic.get-empty"
            self.call(self._got, answers, 1, "basic.get", queue=queue, no_ack=verb == "got")
        else:
            present = self._purges.present()
            self.call(lambda _: self._gone(present), f"queue.{verb}-ok", 1, f"queue.{verb}", queue=queue)

    def _got(self, answer: Received) -> None:
        self._prove()
        self._is_empty = answer.name == "basic.get-empty"
        if not self._is_empty:
            assert answer.body is not None
            message, tag = answer.body.decode(), answer.arguments["delivery_tag"]
            self._purges.delivered(message, answer.arguments["redelivered"])
            if self._verb == "got":
                self._purges.removed([message])
            elif self._empties or self.chance.random() < 0.7:
                self.send(1, "basic.ack", delivery_tag=tag)
                self._acknowledged.append(message)
            else:
                self.send(1, "basic.nack", delivery_tag=tag, requeue=True)
        self._over()

    def _gone(self, present: list[str]) -> None:
        self._prove()
        self._purges.removed(present)
        if self._verb == "delete":
            self._purges.declare(self, self._redeclared)
        else:
            self._redeclared()

    def _redeclared(self) -> None:
        """Note that messages which arrived without a queue are confirmed and unroutable."""
        self._purges.doubt()
        self._over()

    def _prove(self) -> None:
        acknowledged, self._acknowledged = self._acknowledged, []
        self._purges.removed(acknowledged)

    def _over(self) -> None:
        self._verb = ""
        if self._empties and self._is_empty and not self._waiting:
            self.world.scheduler.after(100 * MS, self._next)
        else:
            self._next()
