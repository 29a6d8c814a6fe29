"""A new client at the end of a world: the broker answers all its requests, and its objects are deleted afterwards.

It uses publisher confirms, a transaction and the management API.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from amqpbroker.wire.values import longstr
from tests.harness import Received, published
from tests.simulation.client import Client
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.scheduler import SECOND

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Time for all its operations.
WITHIN_NS = 60 * SECOND
SIZES = (0, 10, 300, 20_000)


def check(world: "World") -> None:
    """Make a new client declare, publish, read by HTTP, consume, acknowledge and delete. Raises BrokenError."""
    most = world.config.max_connections
    if most:
        # Clients of workloads may use all allowed connections.
        for other in world.clients[: max(len(world.clients) + 1 - most, 0)]:
            other.leave()
    managers = [each for each in world.clients if isinstance(each, HttpClient)]
    for manager in managers[: max(len(managers) + 1 - world.config.bounds.http_connections, 0)]:
        manager.leave()
    client = NewClient(world)
    client.connect()
    if not world.run_until(lambda: client.is_done, WITHIN_NS):
        raise world.broken(f"a new client gets no further than: {client.awaits}")
    client.leave()


class NewClient(Client):
    """Performs the operations. awaits: the awaited answer. is_done: all answers have arrived."""

    def __init__(self, world: "World") -> None:
        super().__init__(world, "new")
        self.awaits = "the connection"
        self.is_done = False
        self._queues = ("new-classic", "new-quorum", "new-stream")
        self._published = 0
        self._confirmed = 0
        self._unsettled: dict[str, None] = {}
        self._management = HttpClient(world, "new-http")
        #: Resources that are still to be read.
        self._resources = [
            path("overview", columns="object_totals"),
            *(path("queues", "/", name) for name in self._queues),
        ]

    def opened(self) -> None:
        self.awaits = "its declarations"
        for name in self._queues:
            kind = name.removeprefix("new-")
            self._ask("queue.declare", queue=name, durable=True, arguments={"x-queue-type": longstr(kind)})
        self._ask("confirm.select", self._publish)

    def _publish(self) -> None:
        self.awaits = "its confirms"
        for name in self._queues:
            for i in range(4):
                size = self.chance.choice(SIZES)
                self._published += 1
                self._unsettled[f"{name}-{i}"] = None
                body = f"{name}-{i} ".encode() + self.chance.randbytes(size)
                self.write(published(name, body, delivery_mode=1 + i % 2))

    def received(self, got: Received) -> None:
        if got.name == "basic.ack":
            self._confirmed = got.arguments["delivery_tag"]
            if self._confirmed == self._published:
                self._begin_transaction()
        elif got.name == "basic.deliver":
            assert got.body is not None
            message = got.body.split(b" ", 1)[0].decode()
            if message not in self._unsettled:
                raise self.world.broken(f"a new client gets {message!r} again, or what it has not published")
            del self._unsettled[message]
            self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])
            if not self._unsettled:
                self._delete()
        else:
            raise self.world.broken(f"a new client received {got}")

    def _begin_transaction(self) -> None:
        self.awaits = "its transaction"
        self._ask_in_transaction("channel.open")
        self._ask_in_transaction("tx.select")
        for name in self._queues:
            self._unsettled[f"{name}-tx"] = None
            body = f"{name}-tx ".encode() + self.chance.randbytes(self.chance.choice(SIZES))
            self.write(published(name, body, channel=2, delivery_mode=2))
        self._ask_in_transaction("tx.commit", self._read_next)

    def _read_next(self) -> None:
        """Read the next resource by HTTP. A request whose connection ended is repeated."""
        if not self._resources:
            self._management.leave()
            self._consume()
            return
        self.awaits = f"the answer to GET {self._resources[0]}"
        self._management.request("GET", self._resources[0], self._answered)

    def _answered(self, answer: Answer | None) -> None:
        if answer is not None:
            target = self._resources.pop(0)
            if answer.status != 200:
                raise self.world.broken(f"a new client's GET {target} is answered with {answer.status}")
        self._read_next()

    def _consume(self) -> None:
        self.awaits = "its messages"
        for name in self._queues:
            is_stream = name == "new-stream"
            # A stream needs a prefetch.
            self._ask("basic.qos", prefetch_count=self.chance.choice((1, 3) if is_stream else (0, 1, 3)))
            arguments = {"x-stream-offset": longstr("first")} if is_stream else {}
            self._ask("basic.consume", queue=name, consumer_tag=name, arguments=arguments)

    def _delete(self) -> None:
        self.awaits = "the end of its queues"
        for name in self._queues:
            self._ask("basic.cancel", consumer_tag=name)
            then = self._deleted if name != "new-stream" else _ignored
            self.call(then, "queue.delete-ok", 1, "queue.delete", queue=name)
        self._ask("channel.close", reply_code=200, reply_text="", class_id=0, method_id=0)
        self.awaits = "the end of its connection"
        close: dict[str, Any] = {"reply_code": 200, "reply_text": "", "class_id": 0, "method_id": 0}
        self.call(self._closed, "connection.close-ok", 0, "connection.close", **close)

    def _deleted(self, got: Received) -> None:
        if got.arguments["message_count"]:
            raise self.world.broken(f"a new client's queue has {got.arguments['message_count']} messages left")

    def _closed(self, _: Received) -> None:
        self.is_done = True

    def _ask(self, name: str, then: Callable[[], None] = lambda: None, **arguments: Any) -> None:
        self.call(lambda _: then(), f"{name}-ok", 1, name, **arguments)

    def _ask_in_transaction(self, name: str, then: Callable[[], None] = lambda: None) -> None:
        self.call(lambda _: then(), f"{name}-ok", 2, name)

    def disconnected(self) -> None:
        if not self.is_done:
            raise self.world.broken(f"a new client is cut off while it waits for {self.awaits}")


def _ignored(_: Received) -> None:
    """Ignore the answer: the messages of a stream stay until it is deleted."""
