"""The life of a vhost before it is copied, which leaves every kind of state that survives a restart."""

from typing import Any

from amqpbroker.broker.policies.policies import Policy
from amqpbroker.wire.values import Field, longstr
from tests.broker.batches.batching import batch_headers
from tests.harness import Wire

TO_GRAVE = {"x-dead-letter-exchange": longstr(""), "x-dead-letter-routing-key": longstr("grave")}
QUORUM = {"x-queue-type": longstr("quorum")}
DELAYED = {"x-delayed-type": longstr("direct")}
QUEUES: dict[str, dict[str, Field]] = {
    "plain": {},
    "gone": {},
    "grave": {},
    "events": {},
    "priority": {"x-max-priority": Field("l", 5)},
    "counted": QUORUM | TO_GRAVE | {"x-delivery-limit": Field("l", 5)},
    "retried": QUORUM
    | {
        "x-delayed-retry-type": longstr("all"),
        "x-delayed-retry-min": Field("I", 60_000),
        "x-delayed-retry-max": Field("I", 60_000),
    },
    "expiring": {"x-message-ttl": Field("l", 90_000)} | TO_GRAVE,
    "dead": TO_GRAVE,
    "unique": {"x-message-deduplication": Field("t", True), "x-cache-ttl": Field("l", 600_000)},
    "queued": {"x-message-deduplication": Field("t", True), "x-deduplication-scope": longstr("queue")},
    "grouped": {"x-group-header": longstr("key"), "x-group-on-dead": longstr("park")} | TO_GRAVE,
    "versions": {
        "x-group-header": longstr("key"),
        "x-group-version-header": longstr("version"),
        "x-group-version-ttl": Field("l", 600_000),
    },
    "last": {"x-last-value-key": longstr("key")},
    "members": TO_GRAVE,
    "jobs": TO_GRAVE,
    "scheduled": {},
    "stream": {"x-queue-type": longstr("stream")},
}


class Life:
    """A client of a vhost. user: a name that other vhosts have not."""

    def __init__(self, broker, vhost):
        broker.add_vhost(vhost)
        broker.users.set_permissions("guest", vhost, ".*", ".*", ".*")
        broker.users.add_user(f"user of {vhost}", "secret", ("monitoring",))
        broker.users.set_permissions(f"user of {vhost}", vhost, "^a", "^b", "^c")
        broker.policies.put(
            Policy(vhost, "times", "^scheduled$", {"delivery-time-header": "at"}, apply_to="queues", priority=1)
        )
        self.broker = broker
        self.vhost = vhost
        self.client = Wire(broker).log_in(vhost=vhost)

    def send(self, queue, body="x", via="", **properties: Any):
        self.client.publish(queue, f"{self.vhost} {body}".encode(), via, delivery_mode=2, **properties)
        return self.client.receive()

    def get(self, queue):
        got = self.client.get(queue, no_ack=False)
        assert got.name == "basic.get-ok", (queue, got)
        return got

    def settle(self, queue, how="ack", **arguments):
        self.client.send(1, f"basic.{how}", delivery_tag=self.get(queue).arguments["delivery_tag"], **arguments)
        self.client.receive()

    def begin(self, *before: str):
        """Declare everything. before: queues that are declared first, so that all have other ids."""
        call = self.client.call
        for queue in before:
            self.client.declare(queue, durable=True)
            self.client.call(1, "queue.delete", queue=queue)
        for queue, arguments in QUEUES.items():
            self.client.declare(queue, durable=True, arguments=arguments)
        call(1, "exchange.declare", exchange="all", exchange_type="fanout", durable=True)
        call(
            1,
            "exchange.declare",
            exchange="later",
            exchange_type="x-delayed-message",
            durable=True,
            arguments=DELAYED,
        )
        call(
            1,
            "exchange.declare",
            exchange="once",
            exchange_type="x-message-deduplication",
            durable=True,
            arguments={"x-cache-ttl": Field("l", 600_000)},
        )
        for bound in ("all plain", "all gone", "later plain", "later jobs", "once plain"):
            source, queue = bound.split()
            call(1, "queue.bind", queue=queue, exchange=source, routing_key=queue)

    def live(self):
        """Do everything that leaves a trace. It needs a clock that stands still."""
        self._messages()
        self._duplicates()
        self._groups()
        self._batches()
        self._jobs()
        self._streams()
        # A queue that is deleted while a job, and records of copies, refer to it.
        self.client.call(1, "queue.delete", queue="gone")

    def _messages(self):
        for number in range(20):
            self.send("", f"both {number}", "all")
        for _ in range(3):
            self.settle("plain")
        self.settle("plain", "reject", requeue=True)
        self.send("later", "copied", headers={"CC": Field("A", [longstr("plain"), longstr("grave")])})
        self.client.publish("plain", b"transient", delivery_mode=1)
        for number in range(9):
            self.send("priority", str(number), priority=number % 4)
        for _ in range(3):
            self.send("counted", "counted")
        for _ in range(2):
            self.settle("counted", "nack", requeue=True)
        self.send("retried", "1")
        self.send("retried", "2")
        self.settle("retried", "nack", requeue=True)
        self.send("expiring", "soon", expiration="30000")
        self.send("expiring", "late")
        self.send("dead", "dead")
        self.settle("dead", "reject", requeue=False)
        self.send("plain", "held", "later", headers={"x-delay": Field("l", 40_000)})
        self.send("plain", "held longer", "later", headers={"x-delay": Field("l", 80_000)})
        at_s = self.broker.clock.wall_ms() // 1000 + 50
        self.send("scheduled", "at a time", headers={"at": Field("T", at_s)})
        self.send("scheduled", "at once")
        for key in ("a", "b", "a"):
            self.send("last", f"value of {key}", headers={"key": longstr(key)})

    def _duplicates(self):
        for queue, via in (("unique", ""), ("queued", ""), ("plain", "once")):
            for key in ("1", "1", "2"):
                self.send(queue, f"unique {key}", via, headers={"x-deduplication-header": longstr(key)})
        self.settle("unique")
        self.settle("queued")

    def _groups(self):
        for key in ("a", "b", "a"):
            self.send("grouped", f"of {key}", headers={"key": longstr(key)})
        self.settle("grouped", "reject", requeue=False)
        for version in (3, 5, 4):
            self.send("versions", str(version), headers={"key": longstr("a"), "version": Field("l", version)})
        self.settle("versions")

    def _batches(self):
        for number in range(2):
            for member in range(4):
                named = {} if member % 2 else {"message_id": f"{member}".encode()}
                self.send("members", f"{number}.{member}", headers=batch_headers(f"batch {number}", size=6), **named)
        self.settle("members")
        self.settle("members", "reject", requeue=False)
        for _ in range(3):
            self.send("grave", "inner", headers=batch_headers("ended", size=3))
            self.settle("grave")

    def _jobs(self):
        job = {"x-job": Field("t", True)}
        for name in ("waits", "done", "failed"):
            self.send("jobs", name, message_id=name.encode(), headers=job)
        self.send("jobs", "held", "later", message_id=b"held", headers=job | {"x-delay": Field("l", 70_000)})
        self.send("", "both", "all", message_id=b"both", headers=job)
        self.settle("jobs", "nack", requeue=True)
        waiting = self.get("jobs")
        got = self.get("jobs")
        reply_to, id_ = (got.properties[name] for name in ("reply_to", "correlation_id"))
        self.client.publish(reply_to.decode(), b"r" * 70_000, correlation_id=id_)
        self.client.receive()
        self.client.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])
        self.settle("jobs", "reject", requeue=False)
        self.client.send(1, "basic.nack", delivery_tag=waiting.arguments["delivery_tag"], requeue=True)
        self.client.receive()

    def _streams(self):
        for number in range(30):
            self.send("stream", f"streamed {number}")
        tracked = {"x-stream-automatic-offset-tracking": Field("t", True), "x-stream-offset": longstr("first")}
        self.client.send(1, "basic.qos", prefetch_count=10)
        self.client.receive()
        got = self.client.consume("stream", "reader", no_ack=False, arguments=tracked)
        self.client.send(1, "basic.ack", delivery_tag=got[-1].arguments["delivery_tag"], multiple=True)
        self.client.receive()
        self.client.call(1, "basic.cancel", consumer_tag="reader")
