"""Queues with x-expires, which are deleted after a time without use: neither early nor late."""

import random
from typing import Any

from amqpbroker.wire.values import Field
from tests.simulation.client import Client, troubles
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.operations import Operator
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

EXPIRES_MS = (1, 100, 2_000, 20_000)
#: Number of queues.
NAMES = 3
#: Maximum delay of the deletion of a queue: an iteration of a slow event loop, and the time that blocks the loop.
LATE_NS = 2 * SECOND


class Use:
    """Last use of a queue. first_ns, last_ns: by the machine's monotonic clock, the time of the use lies between these.

    is_known: the broker has seen it, and neither the connection nor the broker has ended since. is_consumed: the use
    continues, because the queue has a consumer.
    """

    def __init__(self) -> None:
        self.first_ns = 0
        self.last_ns = 0
        self.is_known = False
        self.is_consumed = False


class Expiring(Workload):
    """A client that declares and consumes queues, and one that checks over HTTP whether they exist."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._expires_ns: int = plan["expires_ms"] * MS
        self.user = Operator(world, f"{name}a", self._disconnected)
        self.web = HttpClient(world, f"{name}h")
        self._uses = [Use() for _ in range(NAMES)]
        self._todo: list[tuple[str, int]] = []
        self._is_busy = False
        self._deaths = 0

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {"expires_ms": chance.choice(EXPIRES_MS)}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), name, "use", (kind, chance.randrange(NAMES)))
            for kind in chance.choices(("declare", "declare", "consume", "cancel"), k=chance.choice((5, 20, 60)))
        ]
        steps += [
            Step(chance.randint(0, end_ms + 20_000), name, "look", (chance.randrange(NAMES),))
            for _ in range(chance.choice((20, 100)))
        ]
        return steps + troubles(chance, end_ms, [f"{name}a", f"{name}h"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return (self.user,)

    @property
    def actors(self) -> dict[str, Any]:
        return {self.name: self, self.user.name: self.user, self.web.name: self.web}

    def do_use(self, kind: str, number: int) -> None:
        """Declare, consume or cancel when the previous step is complete."""
        self._todo.append((kind, number))
        self._go_on()

    def do_look(self, number: int) -> None:
        """Check over HTTP whether the queue exists, which is no use of it."""
        if not self.web.idle:
            return
        use, begun, deaths = self._uses[number], self._now_ns(), len(self.world.deaths)
        before = (use.first_ns, use.last_ns, use.is_known, use.is_consumed)

        def over(answer: Answer | None) -> None:
            after = (use.first_ns, use.last_ns, use.is_known, use.is_consumed)
            if answer is None or deaths != len(self.world.deaths) or before != after or self._is_outdated():
                return
            if not use.is_known or use.is_consumed or self._is_busy:
                return
            if answer.status == 200 and begun > use.last_ns + self._expires_ns + LATE_NS:
                raise self.world.broken(f"{self.name}: queue {number} exists, and was last used {use.last_ns}")
            if answer.status == 404 and self._now_ns() < use.first_ns + self._expires_ns - MS:
                raise self.world.broken(f"{self.name}: queue {number} has gone, and was used at {use.first_ns}")

        self.web.request("GET", path("queues", "/", f"{self.name}-{number}", columns="name"), over)

    def is_done(self) -> bool:
        if self._todo or self._is_busy or not self.web.idle or self.world.process is None:
            return False
        self.user.leave()
        queues = self.world.process.broker.vhosts["/"].queues
        return not any(f"{self.name}-{number}" in queues for number in range(NAMES))

    def check(self) -> None:
        """Do nothing: everything was checked earlier."""

    # ----------------------------------------------------------------------------------------------------------------

    def _now_ns(self) -> int:
        return self.world.time.monotonic_ns()

    def _is_outdated(self) -> bool:
        """Return whether the broker has ended since a use."""
        return self._deaths != len(self.world.deaths)

    def _outlive(self) -> None:
        """Take note of ends of the broker, and with it of all consumers."""
        if self._is_outdated():
            self._deaths = len(self.world.deaths)
            self._disconnected()

    def _disconnected(self) -> None:
        for use in self._uses:
            use.is_known = use.is_consumed = False

    def _go_on(self) -> None:
        if self._is_busy or not self._todo:
            return
        self._is_busy = True
        kind, number = self._todo.pop(0)
        queue, use = f"{self.name}-{number}", self._uses[number]
        self._outlive()
        begun = self._now_ns()
        deaths = self._deaths

        def over(outcome: str | None) -> None:
            self._is_busy = False
            self._outlive()
            if outcome == "ok" and deaths == len(self.world.deaths):
                if kind == "consume":
                    use.is_consumed = True
                elif kind == "cancel":
                    use.is_consumed = False
                use.first_ns, use.last_ns, use.is_known = begun, self._now_ns(), True
            elif kind == "consume":
                self._disconnected()  # its channel was closed, with all consumers
                use.is_consumed = outcome == "ok"  # on the next connection
            else:
                use.is_known = False
            self._go_on()

        if kind == "declare":
            arguments = {"x-expires": Field("I", self._expires_ns // MS)}
            self.user.ask(over, "queue.declare", queue=queue, durable=True, arguments=arguments)
        elif kind == "consume" and not use.is_consumed:
            self.user.consume(over, queue)
        elif kind == "cancel" and use.is_consumed:
            self.user.cancel(over, queue)
        else:
            self._is_busy = False
            self._go_on()
