"""Batches whose members fail and come back: each event message comes once, in time and not before."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

EVENTS = ("death", "complete", "success")
#: Time for which a worker holds a message.
HELD_NS = (1 * MS, 300 * MS)
#: Pause between two redrives at the end.
LOOK_NS = 500 * MS


@dataclass(slots=True)
class Part:
    """One member. acked, failed: the queues in which it was possibly acknowledged, and rejected."""

    confirmed: bool = False
    acked: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)


@dataclass
class Job:
    """One batch. parts: by message id. events: number of messages by event, and of those in a life of the broker."""

    parts: dict[str, Part]
    events: dict[str, int] = field(default_factory=dict)
    new: dict[tuple[int, str], int] = field(default_factory=dict)


class Batches(Workload):
    """Queues with members of batches, a publisher that repeats itself, workers that fail, and an operator."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.kind: str = plan["kind"]
        self.queues = [f"{name}-w{i}" for i in range(plan["queues"])]
        self.dead = f"{name}-dead"
        self.done = f"{name}-done"
        self.failing: float = plan["failing"]
        self.ignores: bool = plan["ignores_rejects"]
        self.jobs: dict[str, Job] = {}
        for number, size in enumerate(plan["sizes"]):
            id_ = f"{name}.{number}"
            self.jobs[id_] = Job({f"{id_}-{part}": Part() for part in range(size)})
        self.publisher = PartPublisher(self, f"{name}p")
        self.workers = [PartWorker(self, f"{name}w{i}") for i in range(plan["workers"])]
        self.recorder = Recorder(self, f"{name}r", waits=not plan["records"])
        self.operator = Operator(self, f"{name}o")

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload. records: event messages are consumed at once, and not at the end."""
        return {
            "kind": chance.choice(("classic", "quorum")),
            "queues": chance.choice((1, 1, 2)),
            "sizes": [chance.choice((0, 1, 2, 5, 20)) for _ in range(chance.choice((1, 3, 8)))],
            "workers": chance.randint(1, 2),
            "failing": chance.choice((0.0, 0.2, 0.6)),
            "ignores_rejects": chance.random() < 0.2,
            "records": chance.random() < 0.5,
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = []
        for number, size in enumerate(settings["sizes"]):
            at_ms, most_ms = chance.randint(0, end_ms), chance.choice((1, end_ms))
            for part in range(max(1, size)):
                when = min(end_ms, at_ms + chance.randint(0, most_ms))
                steps.append(Step(when, f"{name}p", "publish", (number, part)))
        steps += [
            Step(chance.randint(0, end_ms), f"{name}p", "repeat", (chance.randrange(len(settings["sizes"])),))
            for _ in range(chance.choice((0, 2, 10)))
        ]
        steps += [Step(chance.randint(0, end_ms), f"{name}o", "redrive") for _ in range(chance.choice((0, 3, 10)))]
        workers = [f"{name}w{i}" for i in range(settings["workers"])]
        return steps + troubles(chance, end_ms, [f"{name}p", *workers, f"{name}r", f"{name}o"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, *self.workers, self.recorder

    @property
    def actors(self) -> dict[str, Any]:
        return {**super().actors, self.operator.name: self.operator}

    @property
    def rest_ms(self) -> int:
        return 4 * 3_600_000

    def rest(self) -> None:
        for worker in self.workers:
            worker.hurries = True
        self.operator.redrive_all()

    def is_done(self) -> bool:
        if not self.publisher.idle or any(not each.consumes or each.held for each in self.workers):
            return False
        if not self.world.are_empty(*self.queues, self.dead):
            return False
        process = self.world.process
        assert process is not None
        vhost = process.broker.vhosts["/"]
        if vhost.batches is None or vhost.batches._due:
            return False
        self.recorder.begin()
        return self.recorder.consumes and self.world.are_empty(self.done)

    def check(self) -> None:
        if self.world.tore_groups:
            return
        for id_, job in self.jobs.items():
            if not any(part.confirmed for part in job.parts.values()) and job.parts:
                continue
            what = f"{self.name}: batch {id_} of {len(job.parts)}"
            for event in ("complete", "success"):
                if event not in job.events:
                    raise self.world.broken(f"{what} has no event {event} at the end, and {job.events}")

    # --- objects and messages -----------------------------------------------------------------------------------------

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare all queues, and the exchange that copies to the queues of the workers."""
        arguments: Table = {
            "x-queue-type": longstr(self.kind),
            "x-dead-letter-exchange": longstr(""),
            "x-dead-letter-routing-key": longstr(self.dead),
        }
        if self.kind == "quorum":
            arguments["x-delivery-limit"] = Field("l", -1)
        if self.ignores:
            arguments["x-batch-ignore-rejects"] = Field("t", True)
        done = "queue.declare-ok"
        client.call(_ignore, done, 1, "queue.declare", queue=self.dead, durable=True)
        client.call(_ignore, done, 1, "queue.declare", queue=self.done, durable=True)
        for name in self.queues:
            client.call(_ignore, done, 1, "queue.declare", queue=name, durable=True, arguments=arguments)
        exchange = {"exchange": self.name, "exchange_type": "fanout", "durable": True}
        client.call(_ignore, "exchange.declare-ok", 1, "exchange.declare", **exchange)
        for name in self.queues:
            last = name == self.queues[-1]
            bound: Callable[[Received], None] = (lambda _: then()) if last else _ignore
            client.call(bound, "queue.bind-ok", 1, "queue.bind", queue=name, exchange=self.name)

    def made(self, id_: str, part: str) -> bytes:
        """Return the frames of a member, or of a message that opens an empty batch."""
        headers: Table = {
            "x-batch-id": longstr(id_),
            "x-batch-size": Field("l", len(self.jobs[id_].parts)),
            "x-batch-exchange": longstr(""),
            "x-batch-routing-key": longstr(self.done),
            "x-batch-events": longstr(",".join(EVENTS)),
        }
        return published("", part.encode(), self.name, delivery_mode=2, message_id=part, headers=headers)

    # --- checks -------------------------------------------------------------------------------------------------------

    def part(self, name: str) -> Part | None:
        """Return a member, None for the message of an empty batch."""
        return self.jobs[name.rsplit("-", 1)[0]].parts.get(name)

    def happened(self, got: Received) -> None:
        """Check an event message. Raises BrokenError."""
        assert got.properties is not None
        assert got.body is not None
        headers = got.properties["headers"]
        id_, event = (bytes(headers[name].value).decode() for name in ("x-batch-id", "x-batch-event"))
        size, ok, failed = (headers[name].value for name in ("x-batch-size", "x-batch-ok", "x-batch-failed"))
        job = self.jobs[id_]
        what = f"{self.name}: {event} of batch {id_} with {ok} of {size}, {failed} failed"
        before = job.events.get(event, 0)
        job.events[event] = before + 1
        new = job.new.get((self.world.life, event), 0)
        job.new[self.world.life, event] = new + (not got.arguments["redelivered"])
        if self.world.tore_groups:
            return
        if (before and self.recorder.waits) or (new and not got.arguments["redelivered"]):
            raise self.world.broken(f"{what} comes twice")
        if event == "success" and "complete" not in job.events:
            raise self.world.broken(f"{what} comes before complete")
        parts = list(job.parts.values())
        if event == "death":
            if not any(part.failed for part in parts) or self.ignores:
                raise self.world.broken(f"{what}: no member was rejected")
            return
        if size != len(parts) or ok + failed != size or (failed and event == "success"):
            raise self.world.broken(f"{what}, and there are {len(parts)} members")
        if failed and "death" not in job.events:
            raise self.world.broken(f"{what}, and there was no death")
        for name, part in job.parts.items():
            for queue in self.queues:
                if queue not in part.acked and (event == "success" or self.ignores or queue not in part.failed):
                    raise self.world.broken(f"{what}: {name} was not settled in {queue}")
        body = json.loads(got.body)
        if len(body["failures"]) > min(failed, self.world.config.bounds.batch_failures):
            raise self.world.broken(f"{what} names {len(body['failures'])} failed members")


def _ignore(_: Received) -> None:
    pass


class PartPublisher(Client):
    """Publishes members with confirms, and repeats those without one on each new connection."""

    def __init__(self, workload: Batches, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._tag = 0
        self._ready = False
        self._unconfirmed: dict[tuple[str, str], None] = {}
        self._by_tag: dict[int, tuple[str, str]] = {}

    @property
    def idle(self) -> bool:
        return self._ready and not self._unconfirmed

    def do_publish(self, number: int, part: int) -> None:
        """Publish a member, now or when there is a connection again."""
        id_ = f"{self._workload.name}.{number}"
        what = id_, f"{id_}-{part}"
        self._unconfirmed[what] = None
        if self._ready:
            self._send(what)

    def do_repeat(self, number: int) -> None:
        """Publish a member again that is open or has failed."""
        id_ = f"{self._workload.name}.{number}"
        confirmed = [name for name, part in self._workload.jobs[id_].parts.items() if part.confirmed]
        if self._ready and confirmed:
            self._send((id_, self.chance.choice(confirmed)))

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(self._selected, "confirm.select-ok", 1, "confirm.select")

    def _selected(self, _: Received) -> None:
        self._tag = 0
        self._by_tag.clear()
        self._ready = True
        for what in list(self._unconfirmed):
            self._send(what)

    def _send(self, what: tuple[str, str]) -> None:
        self._tag += 1
        self._by_tag[self._tag] = what
        self.write(self._workload.made(*what))

    def received(self, got: Received) -> None:
        if got.name != "basic.ack":
            raise self.world.broken(f"{self.name} received {got}")
        tag = got.arguments["delivery_tag"]
        tags = [each for each in self._by_tag if each <= tag] if got.arguments["multiple"] else [tag]
        for each in tags:
            what = self._by_tag.pop(each)
            self._unconfirmed.pop(what, None)
            part = self._workload.part(what[1])
            if part is not None:
                part.confirmed = True

    def disconnected(self) -> None:
        self._ready = False


class PartWorker(Client):
    """Acknowledges, returns and rejects members. hurries: it acknowledges everything. held: by delivery tag."""

    def __init__(self, workload: Batches, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self.hurries = False
        self.consumes = False
        self.held: dict[int, str] = {}

    def opened(self) -> None:
        self.held.clear()
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(_ignore, "basic.qos-ok", 1, "basic.qos", prefetch_count=self.chance.choice((1, 10)))
        for name in self._workload.queues:
            then = self._consuming if name == self._workload.queues[-1] else _ignore
            self.call(then, "basic.consume-ok", 1, "basic.consume", queue=name, consumer_tag=name)

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def disconnected(self) -> None:
        self.consumes = False
        self.held.clear()

    def received(self, got: Received) -> None:
        if got.name != "basic.deliver" or got.body is None:
            raise self.world.broken(f"{self.name} received {got}")
        tag, incarnation = got.arguments["delivery_tag"], self._incarnation
        self.held[tag] = got.body.decode()
        queue = got.arguments["consumer_tag"]
        self.world.scheduler.after(self.chance.randint(*HELD_NS), partial(self._settle, tag, incarnation, queue))

    def _settle(self, tag: int, incarnation: int, queue: str) -> None:
        if not self.open or incarnation != self._incarnation or tag not in self.held:
            return
        part = self._workload.part(self.held.pop(tag))
        if self.hurries or self.chance.random() > self._workload.failing:
            if part is not None:
                part.acked.add(queue)
            self.send(1, "basic.ack", delivery_tag=tag)
        elif self.chance.random() < 0.5:
            self.send(1, "basic.nack", delivery_tag=tag, requeue=True)
        else:
            if part is not None:
                part.failed.add(queue)
            self.send(1, "basic.reject", delivery_tag=tag, requeue=False)


class Recorder(Client):
    """Consumes the event messages. waits: only when everything else is done, so that they lie in their queue."""

    def __init__(self, workload: Batches, name: str, waits: bool) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self.waits = waits
        self._begins = not waits
        self._ready = False
        self.consumes = False

    def begin(self) -> None:
        """Begin now, if it has not, or with the next connection."""
        if not self._begins:
            self._begins = True
            if self._ready:
                self._consume()

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self._ready = True
        if self._begins:
            self._consume()

    def _consume(self) -> None:
        queue = self._workload.done
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=queue, consumer_tag="r")

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def disconnected(self) -> None:
        self.consumes = self._ready = False

    def received(self, got: Received) -> None:
        self._workload.happened(got)
        self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])


class Operator(HttpClient):
    """Redrives the dead letter queue."""

    def __init__(self, workload: Batches, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload

    def do_redrive(self) -> None:
        """Start one redrive."""
        self.request("POST", path("queues", "/", self._workload.dead, "redrive"), self._on_started, {})

    def redrive_all(self) -> None:
        """Start redrives until the dead letter queue is empty, and nothing can be added to it."""
        if not self._workload.world.are_empty(*self._workload.queues, self._workload.dead):
            self.do_redrive()
        if not self._workload.is_done():
            self.world.scheduler.after(LOOK_NS if self.idle else SECOND, self.redrive_all)

    def _on_started(self, answer: Answer | None) -> None:
        # 404: the declaration of the queue was undone by a crash. 409: a redrive is running.
        if answer is not None and answer.status not in (201, 404, 409, 503):
            raise self.world.broken(f"{self.name}: a redrive is answered with {answer}")
