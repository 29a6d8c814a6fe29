"""A client of a broker on files that publishes jobs, and handles them as a worker."""

from typing import Any

from amqpbroker.broker.jobs.job import Job
from amqpbroker.broker.jobs.job_status import JobStatus, JobStatuses
from amqpbroker.config import Config
from amqpbroker.config.bounds import BOUNDS
from amqpbroker.wire.values import Field, longstr
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


def _limited(limits: dict[str, int], settings: dict[str, Any]) -> type[Node]:
    class Limited(Node):
        config = Config(bounds=BOUNDS._replace(**limits), **settings)

    return Limited


class Work:
    """A broker with the queues "q", "grave" and "other", a client and a worker. It survives `crash`."""

    def __init__(
        self,
        limits: dict[str, int] | None = None,
        share: float = 1,
        settings: dict[str, Any] | None = None,
        **arguments: Field,
    ) -> None:
        """limits: fields of Bounds. share: setting `user_share`. settings: others of Config. arguments: of "q"."""
        self.node = _limited(limits or {}, {"user_share": share, **(settings or {})})(q=arguments, grave={}, other={})
        self.client = self.node.client()
        self.worker = self.node.client()

    def crash(self) -> None:
        """Lose everything that is not synced, and start again."""
        self.node.broker.sync()
        self.node.broker.discard()  # with its timers
        self.node = self.node.crash()
        self.client = self.node.client()
        self.worker = self.node.client()
        self.advance()

    def advance(self, ms: int = 0) -> None:
        self.node.clock.advance(ms)
        self.node.broker.sync()

    def send(
        self, id_: str | None = "1", queue: str = "q", via: str = "", persistent: bool = True, **properties: Any
    ) -> list[Received]:
        """Publish a job with this message id, and return the broker's answers. via: the exchange."""
        headers = {"x-job": Field("t", True), **properties.pop("headers", {})}
        if id_ is not None:
            properties["message_id"] = id_.encode()
        mode = 2 if persistent else 1
        self.client.publish(queue, b"work", via, headers=headers, delivery_mode=mode, **properties)
        self.advance()
        return self.client.receive()

    def refused(self, id_: str | None = "1", **properties: Any) -> tuple[int, str]:
        """Publish a job that is refused; return the code and the text, and open the channel again."""
        (got,) = self.send(id_, **properties)
        assert got.name == "channel.close", got
        self.client.send(1, "channel.close-ok")
        self.client.call(1, "channel.open")
        return got.arguments["reply_code"], got.arguments["reply_text"]

    def consume(self, queue: str = "q", tag: str = "worker", no_ack: bool = False, **arguments: Field) -> None:
        self.worker.send(1, "basic.consume", queue=queue, consumer_tag=tag, no_ack=no_ack, arguments=arguments)

    def take(self) -> Received:
        """Return the delivery to the worker that has arrived."""
        (delivery,) = [got for got in self.worker.receive() if got.name == "basic.deliver"]
        return delivery

    def get(self, queue: str = "q", no_ack: bool = False) -> Received:
        self.worker.receive()
        got = self.worker.call(1, "basic.get", queue=queue, no_ack=no_ack)
        assert got.name == "basic.get-ok", got
        return got

    def reply(self, got: Received, body: bytes, **properties: Any) -> None:
        """Publish the reply to a message, as workers do."""
        assert got.properties is not None
        key = got.properties["reply_to"].decode()
        correlation_id = got.properties.get("correlation_id", b"")
        self.worker.publish(key, body, correlation_id=correlation_id, **properties)
        self.advance()

    def settle(self, got: Received, how: str = "ack", **arguments: Any) -> None:
        """Settle a delivery. The answers stay to be received."""
        self.worker.send(1, f"basic.{how}", delivery_tag=got.arguments["delivery_tag"], **arguments)
        self.advance()

    def ack(self, queue: str = "q") -> None:
        self.settle(self.get(queue))

    def reject(self, queue: str = "q", requeue: bool = False) -> None:
        self.settle(self.get(queue), "reject", requeue=requeue)

    def find(self, id_: str = "1", user: str = "guest") -> Job | None:
        jobs = self.node.broker.vhosts["/"].jobs
        assert jobs is not None
        return jobs.find(id_.encode(), user)

    def job(self, id_: str = "1", user: str = "guest") -> Job:
        found = self.find(id_, user)
        assert found is not None
        return found

    def job_statuses(self) -> JobStatuses:
        broker = self.node.broker
        return JobStatuses(broker.vhosts["/"].queues, broker.sessions, broker.clock.ahead_ms)

    def job_status(self, id_: str = "1") -> JobStatus:
        return self.job_statuses().of(self.job(id_))

    def state(self, id_: str = "1") -> str:
        return self.job_status(id_).state

    def reason(self, id_: str = "1") -> str | None:
        failure = self.job(id_).failure
        return None if failure is None else failure.reason

    def result(self, id_: str = "1", user: str = "guest") -> bytes | None:
        """Return the body of the worker's reply."""
        reply = self.job(id_, user).read_reply()
        return None if reply is None else reply[1]

    def move(self, source: str = "grave", destination: str = "q") -> None:
        """Move all messages, as the management UI does."""
        queues = self.node.broker.vhosts["/"].queues
        queues[source].move(queues[destination], 1000, 1 << 30)
        self.advance()

    def fan_out(self, *queues: str) -> None:
        """Bind queues to the exchange "all"."""
        self.client.call(1, "exchange.declare", exchange="all", exchange_type="fanout")
        for queue in queues:
            self.client.call(1, "queue.bind", queue=queue, exchange="all", routing_key="")

    def other_client(self, **options: Any) -> Wire:
        return Wire(self.node.broker).log_in(**options)
