"""Events and traces: a listener gets those of another client once and in order while nothing fails."""

import random
from collections import deque
from functools import partial
from typing import Any

from tests.harness import Received
from tests.simulation.client import Client, troubles
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.operations import Operator
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

#: Pause before tracing is requested again.
AGAIN_NS = (50 * MS, 500 * MS)
CREATED, DELETED, TRACED = "queue.created", "queue.deleted", "publish"


class Events(Workload):
    """A client that declares queues, deletes them and publishes, and a listener to its events and traces."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.listener = Listener(self, f"{name}l")
        self.doer = Doer(self, f"{name}d")
        self.switch = HttpClient(world, f"{name}s")

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(
                chance.randint(0, end_ms),
                f"{name}d",
                chance.choice(("cycle", "cycle", "publish")),
                (chance.choice((1, 5)),),
            )
            for _ in range(chance.choice((2, 10, 40)))
        ]
        return steps + troubles(chance, end_ms, [f"{name}l", f"{name}d", f"{name}s"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.listener, self.doer

    @property
    def actors(self) -> dict[str, Any]:
        return {**super().actors, self.switch.name: self.switch}

    def is_done(self) -> bool:
        return self.doer.is_idle and self.listener.traces and not self.listener.expected

    def check(self) -> None:
        if self.listener.expected:
            event, name = next(iter(self.listener.expected))
            raise self.world.broken(f"{self.name}: the listener has not got {event} of {name}")


class Listener(Client):
    """Consumes events of queues, and traces of the exchange of the workload.

    listens, traces: events and traces arrive from now on. expected: events that must arrive on this connection.
    """

    def __init__(self, workload: Events, name: str) -> None:
        super().__init__(workload.world, name)
        self.listens = self.traces = False
        self.expected: dict[tuple[str, str], None] = {}
        self._workload = workload
        self._got: dict[tuple[str, str], None] = {}
        self._newest = -1

    @property
    def incarnation(self) -> int:
        """The number of its connection."""
        return self._incarnation

    def opened(self) -> None:
        for kind, key in ("event", "queue.*"), ("trace", f"publish.{self._workload.name}"):
            queue = f"{self.name}-{kind}"
            binding = {"queue": queue, "exchange": f"amq.rabbitmq.{kind}", "routing_key": key}
            self.call(_ignore, "queue.declare-ok", 1, "queue.declare", queue=queue, exclusive=True)
            self.call(_ignore, "queue.bind-ok", 1, "queue.bind", **binding)
            consuming = _ignore if kind == "event" else self._consuming
            self.call(consuming, "basic.consume-ok", 1, "basic.consume", queue=queue, consumer_tag=kind, no_ack=True)

    def _consuming(self, _: Received) -> None:
        self.listens = True
        self._trace(self._incarnation)

    def _trace(self, incarnation: int) -> None:
        if self.open and incarnation == self._incarnation:
            target = path("vhosts", "/", "tracing", f"{self.name}-trace")
            self._workload.switch.request("PUT", target, partial(self._traced, incarnation))

    def _traced(self, incarnation: int, answer: Answer | None) -> None:
        if not self.open or incarnation != self._incarnation:
            return
        if answer is None or answer.status == 503:
            self.world.scheduler.after(self.chance.randint(*AGAIN_NS), partial(self._trace, incarnation))
        elif answer.status == 204:
            self.traces = True
        else:
            raise self.world.broken(f"{self.name}: tracing is answered with {answer}")

    def disconnected(self) -> None:
        self.listens = self.traces = False
        self.expected.clear()
        self._got.clear()
        self._newest = -1

    def expect(self, event: str, name: str) -> None:
        """Expect an event that the broker has made, and that may have arrived."""
        if (event, name) not in self._got:
            self.expected[event, name] = None

    def received(self, got: Received) -> None:
        if got.name != "basic.deliver" or got.properties is None:
            raise self.world.broken(f"{self.name} received {got}")
        headers = got.properties["headers"]
        if got.arguments["consumer_tag"] == "trace":
            event, name = TRACED, (got.body or b"").decode()
            if int(name) <= self._newest:
                raise self.world.broken(f"{self.name} receives the trace of {name} after {self._newest}")
            self._newest = int(name)
        else:
            event, name = got.arguments["routing_key"], headers["name"].value.decode()
            if not name.startswith(self._workload.doer.name):
                return
        if (event, name) in self._got:
            raise self.world.broken(f"{self.name} receives {event} of {name} twice")
        if event == CREATED and (DELETED, name) in self._got:
            raise self.world.broken(f"{self.name} receives {event} of {name} after {DELETED}")
        self._got[event, name] = None
        self.expected.pop((event, name), None)


class Doer(Operator):
    """Declares and deletes queues of its own, and publishes messages to an exchange without queues, one by one."""

    def __init__(self, workload: Events, name: str) -> None:
        super().__init__(workload.world, name, lambda: None)
        self._workload = workload
        self._todo: deque[str] = deque()
        self._is_busy = False
        self._number = 0

    @property
    def is_idle(self) -> bool:
        """Return whether everything is done."""
        return self.open and not self._is_busy and not self._todo

    def do_cycle(self, count: int) -> None:
        """Declare and delete queues."""
        self._todo.extend([CREATED] * count)
        self._next()

    def do_publish(self, count: int) -> None:
        """Publish messages."""
        self._todo.extend([TRACED] * count)
        self._next()

    def _next(self) -> None:
        if self._is_busy or not self._todo:
            return
        self._is_busy = True
        self._number += 1
        number, name = str(self._number), f"{self.name}-{self._number}"
        listener = self._workload.listener
        since = listener.incarnation
        if self._todo.popleft() == CREATED:
            created = partial(self._created, name, since if listener.listens else 0)
            self.ask(created, "queue.declare", queue=name, exclusive=True)
        else:
            exchange = {"exchange": self._workload.name, "exchange_type": "fanout", "durable": True}
            declared = partial(self._declared, number, since if listener.traces else 0)
            self.ask(declared, "exchange.declare", **exchange)

    def _created(self, name: str, since: int, outcome: str | None) -> None:
        if self._may_go_on(CREATED, name, since, outcome):
            self.ask(partial(self._deleted, name, since), "queue.delete", queue=name)

    def _deleted(self, name: str, since: int, outcome: str | None) -> None:
        if self._may_go_on(DELETED, name, since, outcome):
            self._done()

    def _declared(self, number: str, since: int, outcome: str | None) -> None:
        if outcome == "ok":
            # The same routing key each time, so that the channel remembers its route.
            self.publish(partial(self._published, number, since), self._workload.name, "key", number.encode())
        else:
            self._done()

    def _published(self, number: str, since: int, outcome: str | None) -> None:
        if self._may_go_on(TRACED, number, since, "ok" if outcome == "returned" else outcome):
            self._done()

    def _may_go_on(self, event: str, name: str, since: int, outcome: str | None) -> bool:
        """Expect the event of an operation if it has succeeded. Otherwise go on with the next one; return False."""
        if outcome is None:
            self._done()
            return False
        if outcome != "ok":
            raise self.world.broken(f"{self.name}: {event} of {name} is answered with {outcome}")
        listener = self._workload.listener
        if since == listener.incarnation and listener.open:
            listener.expect(event, name)
        return True

    def _done(self) -> None:
        self._is_busy = False
        self._next()


def _ignore(_: Received) -> None:
    pass
