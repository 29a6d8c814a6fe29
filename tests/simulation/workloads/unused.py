"""A queue that expires when it is unused: not while it is used, not early, and finally it does."""

import random
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received
from tests.simulation.client import Client, troubles
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

EXPIRES_MS = (50, 300, 1_000, 10_000)
#: The broker's clock counts whole milliseconds.
GRAIN_NS = 2 * MS


class Unused(Workload):
    """A queue with x-expires, and a client that uses it now and then."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.kind: str = plan["kind"]
        self.durable: bool = plan["durable"]
        self.expires_ms: int = plan["expires_ms"]
        self.user = User(self)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        kind = chance.choice(("classic", "classic", "quorum"))
        return {
            "kind": kind,
            "durable": kind == "quorum" or chance.random() < 0.5,
            "expires_ms": chance.choice(EXPIRES_MS),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the client, often with pauses of about the expiry time of the queue."""
        steps = []
        at_ms = 0
        for _ in range(chance.choice((20, 50, 100))):
            at_ms += round(settings["expires_ms"] * chance.choice((0.1, 0.6, 0.6, 0.9, 1.2)))
            if at_ms > end_ms:
                break
            verb = chance.choice(("declare", "declare", "look", "look", "get", "consume", "cancel"))
            steps.append(Step(at_ms, f"{name}c", verb))
        return steps + troubles(chance, end_ms, [f"{name}c"])

    @property
    def clients(self) -> "tuple[User]":
        return (self.user,)

    def rest(self) -> None:
        self.user.stop()

    def is_done(self) -> bool:
        process = self.world.process
        return process is not None and self.name not in process.broker.vhosts["/"].queues

    def check(self) -> None:
        """Do nothing: the queue has expired; everything else is checked when it is answered."""


class User(Client):
    """Uses the queue in one way after the other, and records the earliest start of the unused time."""

    def __init__(self, unused: Unused) -> None:
        super().__init__(unused.world, f"{unused.name}c")
        self._unused = unused
        self._stopped = False
        self._busy = False
        self._consumes = False
        #: Time of a use that the queue has certainly seen, and the life of the broker; None if there is no queue.
        self._used: tuple[int, int] | None = None

    def do_declare(self) -> None:
        arguments = {"x-expires": Field("I", self._unused.expires_ms), "x-queue-type": longstr(self._unused.kind)}
        self._use("queue.declare", "queue.declare-ok", durable=self._unused.durable, arguments=arguments)

    def do_look(self) -> None:
        self._use("queue.declare", "queue.declare-ok", passive=True)

    def do_get(self) -> None:
        self._use("basic.get", "basic.get-empty", no_ack=True)

    def do_consume(self) -> None:
        if not self._consumes:
            self._use("basic.consume", "basic.consume-ok", consumer_tag="c")

    def do_cancel(self) -> None:
        if self._consumes and not self._busy:
            self._consumes = False
            self._busy = True
            sent = self.world.scheduler.now
            self.call(lambda _: self._answered(sent), "basic.cancel-ok", 1, "basic.cancel", consumer_tag="c")

    def stop(self) -> None:
        """Stop using the queue."""
        self._stopped = True
        self.do_cancel()

    def _use(self, name: str, answer: str, **arguments: Any) -> None:
        if not self.open or self._busy or self._stopped:
            return
        self._busy = True
        sent = self.world.scheduler.now

        def answered(got: Received) -> None:
            if got.name == "channel.close":
                self._gone(got)
                return
            self._consumes |= name == "basic.consume"
            self._answered(sent)

        self.call(answered, f"{answer} channel.close", 1, name, queue=self._unused.name, **arguments)

    def _answered(self, sent: int) -> None:
        """Note that the queue was used after that time."""
        self._used = sent, self.world.life
        self._busy = False
        if self._stopped:
            self.do_cancel()

    def _gone(self, got: Received) -> None:
        """Note that the queue does not exist. Raises BrokenError if that is too early."""
        name, code = self._unused.name, got.arguments["reply_code"]
        if code != 404:
            raise self.world.broken(f"{name}: a use is answered with {code} {got.arguments['reply_text']}")
        if self._used is not None and self._used[1] == self.world.life:
            unused = self.world.scheduler.now - self._used[0]
            if self._consumes or unused < self._unused.expires_ms * MS - GRAIN_NS:
                how = "has a consumer" if self._consumes else f"was used {unused / MS:.0f} ms ago"
                raise self.world.broken(f"{name}: the queue has expired, and {how}")
        self._used = None
        self._consumes = False
        self.drop()

    def received(self, got: Received) -> None:
        raise self.world.broken(f"{self.name} received {got}")

    def cancelled(self, got: Received) -> None:
        """Raise BrokenError, because a queue with a consumer does not expire."""
        self.received(got)

    def disconnected(self) -> None:
        if self._consumes:
            # The queue was used until the consumer was removed.
            self._used = self.world.scheduler.now, self.world.life
        self._consumes = self._busy = False
