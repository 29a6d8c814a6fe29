"""A client of a broker on files that publishes members of batches, handles them, and reads event messages."""

import json
from typing import Any

from amqpbroker.broker.batches.batch import Batch
from amqpbroker.broker.batches.batches import Batches
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.wire.values import Field, longstr
from tests.broker.redrive.driving import redrive
from tests.broker.storing import Node
from tests.harness import Received, Wire

#: Every kind of queue, and single active consumer.
KINDS: dict[str, dict[str, Field]] = {
    "classic": {},
    "quorum": {"x-queue-type": longstr("quorum")},
    "priority": {"x-max-priority": Field("l", 3)},
    "single-active": {"x-single-active-consumer": Field("t", True)},
}
TO_GRAVE = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("grave")}


def value(given: Any) -> Field:
    if isinstance(given, Field):
        return given
    return Field("l", given) if isinstance(given, int) else longstr(given)


def batch_headers(id_: Any = "b", **headers: Any) -> dict[str, Field]:
    """Return the headers of a member: `size=3` is x-batch-size. The target is the queue "events" unless it is given."""
    named = {"id": id_, "routing-key": "events", **{name.replace("_", "-"): given for name, given in headers.items()}}
    return {f"x-batch-{name}": value(given) for name, given in named.items() if given is not None}


def _limited(limits: dict[str, int], settings: dict[str, Any]) -> type[Node]:
    class Limited(Node):
        config = Config(bounds=BOUNDS._replace(**limits), **settings)

    return Limited


class Job:
    """A broker with the queues "q", "grave" and "events", and a client. It survives `crash`."""

    def __init__(
        self,
        limits: dict[str, int] | None = None,
        share: float = 1,
        settings: dict[str, Any] | None = None,
        **arguments: Field,
    ) -> None:
        """limits: fields of Bounds. share: setting `user_share`. settings: others of Config."""
        self.node = _limited(limits or {}, {"user_share": share, **(settings or {})})(
            q=arguments, grave={}, events={}, other={}
        )
        self.client = self.node.client()

    def crash(self) -> None:
        """Lose everything that is not synced, and start again."""
        self.node.broker.discard()  # with its timers
        self.node = self.node.crash()
        self.client = self.node.client()
        self.advance()

    def advance(self, ms: int = 0) -> None:
        """Run the timers that are due, for example those that send event messages."""
        self.node.clock.advance(ms)
        self.node.broker.sync()

    def send(
        self, id_: str | None = None, queue: str = "q", via: str = "", persistent: bool = True, **headers: Any
    ) -> None:
        """Publish a member with this message id. via: the exchange. headers: see `batch_headers`."""
        properties: dict[str, Any] = {"headers": batch_headers(**headers), "delivery_mode": 2 if persistent else 1}
        if id_ is not None:
            properties["message_id"] = id_.encode()
        self.client.publish(queue, (id_ or "").encode(), via, **properties)
        self.advance()

    def refused(self, id_: str = "m", **headers: Any) -> tuple[int, str]:
        """Publish a member that is refused; return the code and the text, and open the channel again."""
        self.client.receive()
        self.send(id_, **headers)
        (got,) = self.client.receive()
        assert got.name == "channel.close", got
        self.client.send(1, "channel.close-ok")
        self.client.call(1, "channel.open")
        return got.arguments["reply_code"], got.arguments["reply_text"]

    def get(self, queue: str = "q", no_ack: bool = False) -> Received:
        self.client.receive()
        got = self.client.call(1, "basic.get", queue=queue, no_ack=no_ack)
        assert got.name == "basic.get-ok", got
        return got

    def ack(self, count: int = 1, queue: str = "q") -> None:
        for _ in range(count):
            self.client.send(1, "basic.ack", delivery_tag=self.get(queue).arguments["delivery_tag"])
            self.client.receive()
        self.advance()

    def reject(self, count: int = 1, queue: str = "q", requeue: bool = False) -> None:
        for _ in range(count):
            tag = self.get(queue).arguments["delivery_tag"]
            self.client.send(1, "basic.reject", delivery_tag=tag, requeue=requeue)
            self.client.receive()
        self.advance()

    def move(self, source: str = "grave", destination: str = "q") -> None:
        """Move all messages, as the management UI does."""
        queues = self.node.broker.vhosts["/"].queues
        queues[source].move(queues[destination], 1000, 1 << 30)
        self.advance()

    def redrive(self, source: str = "grave", **options: Any) -> None:
        """Redrive all messages, with fields of RedriveOptions."""
        redrive(self.node.broker.vhosts["/"].queues[source], **options)
        self.advance()

    def events(self) -> list[str]:
        """Remove the event messages, and return their events."""
        return [event for event, _, _ in self.results()]

    def results(self) -> list[tuple[str, int, int]]:
        """Remove the event messages, and return their events and the numbers of members that succeeded and failed."""
        found = []
        self.client.receive()
        while (got := self.client.call(1, "basic.get", queue="events", no_ack=True)).name == "basic.get-ok":
            assert got.body is not None
            told = json.loads(got.body)
            found.append((told["event"], told["ok"], told["failed"]))
        return found

    def batch(self, id_: str = "b") -> Batch:
        found = self.find(id_)
        assert found is not None
        return found

    def batches(self) -> Batches:
        batches = self.node.broker.vhosts["/"].batches
        assert batches is not None
        return batches

    def find(self, id_: str = "b") -> Batch | None:
        return self.batches().find(id_.encode())

    def counts(self, id_: str = "b") -> tuple[int, int, int]:
        """Return the numbers of members that succeeded, failed, and were never settled."""
        batch = self.batch(id_)
        return batch.ok, batch.failed, batch.open

    def fan_out(self, *queues: str) -> None:
        """Bind queues to the exchange "all"."""
        self.client.call(1, "exchange.declare", exchange="all", exchange_type="fanout")
        for queue in queues:
            self.client.call(1, "queue.bind", queue=queue, exchange="all", routing_key="")

    def other_client(self, **options: Any) -> Wire:
        return Wire(self.node.broker).log_in(**options)
