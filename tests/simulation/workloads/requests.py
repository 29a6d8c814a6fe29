"""Requests and replies by direct reply-to: each reply reaches only the connection that sent the request."""

import random
from collections.abc import Callable
from typing import Any

from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

REPLY_TO = "amq.rabbitmq.reply-to"
#: Maximum number of bytes of a delivery without its body.
ENVELOPE_BYTES = 500


class Requests(Workload):
    """A queue of requests, clients that send them, and servers that answer them.

    served: number of answers to a request. received: number of answers that have arrived.
    """

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.served: dict[str, int] = {}
        self.received: dict[str, int] = {}
        self.requesters = {f"{name}r{i}": Requester(self, f"{name}r{i}") for i in range(plan["requesters"])}
        self.servers = [Server(self, f"{name}s{i}", plan["size"]) for i in range(plan["servers"])]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "requesters": chance.randint(1, 4),
            "servers": chance.randint(1, 2),
            "size": chance.choice((0, 0, 1_000, 20_000)),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        requesters = [f"{name}r{i}" for i in range(settings["requesters"])]
        steps = [
            Step(chance.randint(0, end_ms), chance.choice(requesters), "request", (chance.choice((1, 1, 10)),))
            for _ in range(chance.choice((5, 20, 60)))
        ]
        return steps + troubles(chance, end_ms, [*requesters, *(f"{name}s{i}" for i in range(settings["servers"]))])

    @property
    def clients(self) -> tuple[Client, ...]:
        return *self.requesters.values(), *self.servers

    def is_done(self) -> bool:
        """Return whether every request of an existing connection is answered."""
        if not all(client.is_ready for client in self.clients) or not self.world.are_empty(self.name):
            return False
        return not any(requester.waits for requester in self.requesters.values())

    def check(self) -> None:
        """Do nothing: is_done has waited for all answers."""

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue of requests."""
        client.declare_queue(then, self.name)

    def connected(self, request: str) -> "Requester | None":
        """Return the requester, if the connection that sent the request still exists."""
        name, _, rest = request.partition(".")
        requester = self.requesters[name]
        is_there = requester.open and requester.connection_name == f"{name}.{rest.rpartition('-')[0]}"
        return requester if is_there else None


class Requester(Client):
    """Sends requests, and receives the answers. answered_bytes: of all answers sent to this connection."""

    def __init__(self, workload: Requests, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._number = 0
        self._waiting = 0
        self.is_ready = False
        self.answered_bytes = 0
        self._unanswered: dict[str, None] = {}

    @property
    def waits(self) -> bool:
        """Return whether an answer must arrive. A client that reads too little loses some."""
        return bool(self._unanswered) and self.answered_bytes < self.world.config.bounds.unread_bytes

    @property
    def connection_name(self) -> str:
        """Name of the present connection, with which the names of its requests begin."""
        return f"{self.name}.{self._incarnation}"

    def opened(self) -> None:
        self._unanswered.clear()
        self.answered_bytes = 0
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(
            self._consuming,
            "basic.consume-ok",
            1,
            "basic.consume",
            queue=REPLY_TO,
            consumer_tag="replies",
            no_ack=True,
        )

    def _consuming(self, _: Received) -> None:
        self.is_ready = True
        self._request()

    def do_request(self, count: int) -> None:
        """Send requests, now or when there is a connection."""
        self._waiting += count
        if self.is_ready:
            self._request()

    def _request(self) -> None:
        count, self._waiting = self._waiting, 0
        for _ in range(count):
            request = f"{self.connection_name}-{self._number}"
            self._number += 1
            self._unanswered[request] = None
            self.write(published(self._workload.name, request.encode(), reply_to=REPLY_TO, delivery_mode=2))

    def received(self, got: Received) -> None:
        if got.name != "basic.deliver" or got.arguments["consumer_tag"] != "replies":
            raise self.world.broken(f"{self.name} received {got}")
        assert got.body is not None
        request = got.body.split(b" ", 1)[0].decode()
        workload = self._workload
        if request.rpartition("-")[0] != self.connection_name:
            raise self.world.broken(f"{self.connection_name} receives the answer to {request}")
        workload.received[request] = workload.received.get(request, 0) + 1
        if workload.received[request] > workload.served.get(request, 0):
            raise self.world.broken(f"{self.name}: {request} is answered {workload.received[request]} times")
        self._unanswered.pop(request, None)

    def disconnected(self) -> None:
        self.is_ready = False
        self._unanswered.clear()


class Server(Client):
    """Answers requests. size: bytes of an answer without the name of the request."""

    def __init__(self, workload: Requests, name: str, size: int) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._size = size
        self.is_ready = False

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(lambda _: None, "basic.qos-ok", 1, "basic.qos", prefetch_count=5)
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=self._workload.name, consumer_tag="s")

    def _consuming(self, _: Received) -> None:
        self.is_ready = True

    def received(self, got: Received) -> None:
        assert got.body is not None
        assert got.properties is not None
        if got.name == "basic.return":
            request = got.body.split(b" ", 1)[0].decode()
            if self._workload.connected(request) is not None:
                raise self.world.broken(f"{self.name}: the answer to {request} is returned")
            return
        request = got.body.decode()
        served = self._workload.served
        served[request] = served.get(request, 0) + 1
        answer = got.body + b" " + self.chance.randbytes(self._size)
        self.write(published(got.properties["reply_to"].decode(), answer, mandatory=True))
        requester = self._workload.connected(request)
        if requester is not None:
            requester.answered_bytes += len(answer) + ENVELOPE_BYTES
        self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])

    def disconnected(self) -> None:
        self.is_ready = False
