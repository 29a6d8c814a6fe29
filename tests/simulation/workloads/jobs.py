"""Jobs: an accepted job is not lost, its state moves forward, and the reply of its worker stays with it."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from amqpbroker.config.bounds import Bounds
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Received, method, published
from tests.simulation.client import Client, troubles
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

#: Time for which a worker holds a message.
HELD_NS = (1 * MS, 200 * MS)
#: Pause before the same job is sent again, and before a further look at the end.
AGAIN_NS = (100 * MS, 2_000 * MS)
#: Actions of a worker, one of which is chosen for each delivery.
REPLIES, ACKNOWLEDGES, REJECTS, RETURNS, LEAVES = "reply", "ack", "reject", "return", "leave"
WAYS = (REPLIES, REPLIES, REPLIES, ACKNOWLEDGES, REJECTS, RETURNS, LEAVES)
#: Ten years: a job is known to the end of the world. The other time is over soon.
KEPT_MS, SHORT_MS = 10 * 365 * 24 * 3_600_000, 2_000
#: States in the order in which a job gets them in one life of the broker.
STAGES = {"queued": 0, "running": 1, "retrying": 1, "done": 2, "failed": 2}
DEFAULTS = Bounds()


@dataclass
class Job:
    """Knowledge about one job.

    persistent: its message survives the broker. life: of the broker, when it was sent first. posts: number of requests
    that may have published it. accepted: the broker has answered that it has the job. ways: what workers have done with
    it. first_ns: time of its first delivery. cancels: a cancellation was requested. gone: one was answered with
    success. stage: the latest stage seen, in the life `stage_life`. end: state and reason after its end.
    """

    persistent: bool
    reply_bytes: int
    life: int
    posts: int = 0
    accepted: bool = False
    ways: set[str] = field(default_factory=set)
    first_ns: int = 0
    cancels: bool = False
    gone: bool = False
    stage: int = 0
    stage_life: int = 0
    end: tuple[str, str | None] | None = None


class Jobs(Workload):
    """A client that starts jobs, one that looks them up and cancels some, and workers."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.kind: str = plan["kind"]
        self.ttl_ms: int = plan["ttl_ms"]
        self.jobs: dict[str, Job] = {}
        self.starter = Starter(self, f"{name}s")
        self.asker = Asker(self, f"{name}a")
        self.workers = [Worker(self, f"{name}w{i}") for i in range(2)]
        self.rests = False

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {"kind": chance.choice(("classic", "quorum")), "ttl_ms": chance.choice((KEPT_MS, KEPT_MS, SHORT_MS))}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(
                chance.randint(0, end_ms),
                f"{name}s",
                "start",
                (chance.choice((1, 1, 5)), chance.choice((5, 300, 70_000)), chance.random() < 0.8),
            )
            for _ in range(chance.choice((2, 5, 15)))
        ]
        steps += [
            Step(chance.randint(0, end_ms), f"{name}a", "ask", (chance.choice((0, 0, 1, 5)),))
            for _ in range(chance.choice((5, 20, 60)))
        ]
        steps += [Step(chance.randint(0, end_ms), f"{name}a", "list") for _ in range(chance.choice((0, 2, 5)))]
        steps += [Step(chance.randint(0, end_ms), f"{name}a", "cancel") for _ in range(chance.choice((0, 0, 3)))]
        return steps + troubles(chance, end_ms, [f"{name}s", f"{name}a", f"{name}w0", f"{name}w1"])

    @property
    def clients(self) -> list[Client]:
        return [*self.workers]

    @property
    def actors(self) -> dict[str, Any]:
        return {**super().actors, self.starter.name: self.starter, self.asker.name: self.asker}

    def rest(self) -> None:
        self.rests = True
        self.asker.finish()

    def is_done(self) -> bool:
        return self.starter.idle and self.asker.has_finished and self.world.are_empty(self.name)

    def check(self) -> None:
        if self.world.tore_groups:
            return
        for id_, job in self.jobs.items():
            if job.accepted and job.end is None and not self.may_be_forgotten(job):
                raise self.world.broken(f"{self.name}: job {id_} has not ended, and workers did {sorted(job.ways)}")

    def may_be_forgotten(self, job: Job) -> bool:
        """Return whether the broker may not know an accepted job any more, after its end."""
        bounds = self.world.config.bounds
        return (
            job.cancels
            or self.ttl_ms == SHORT_MS
            or bounds.jobs < DEFAULTS.jobs
            or (bounds.job_replies_bytes < DEFAULTS.job_replies_bytes and REPLIES in job.ways)
        )

    def may_have_ended(self, job: Job) -> bool:
        """Return whether there is a reason for the end of a job."""
        is_lost = not job.persistent and job.life < self.world.life
        return bool({REPLIES, ACKNOWLEDGES, REJECTS} & job.ways) or job.cancels or is_lost

    # --- objects and messages -----------------------------------------------------------------------------------------

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue of the workers."""
        arguments: Table = {"x-queue-type": longstr(self.kind)}
        if self.kind == "quorum":
            arguments["x-delivery-limit"] = Field("l", -1)
        client.declare_queue(then, self.name, arguments)

    # --- checks -------------------------------------------------------------------------------------------------------

    def missing(self, id_: str) -> None:
        """Check that an accepted job may be unknown."""
        job = self.jobs[id_]
        if not job.accepted or self.world.tore_groups:
            return
        if not self.may_have_ended(job):
            raise self.world.broken(f"{self.name}: job {id_} is accepted, has not ended, and is not there")
        if not self.may_be_forgotten(job):
            raise self.world.broken(f"{self.name}: job {id_} is forgotten")

    def found(self, id_: str, row: dict[str, Any], whole: bool) -> None:
        """Check the state of a job. whole: the row has the reply, and its end is synced."""
        job, state, life = self.jobs[id_], row["state"], self.world.life
        if self.world.tore_groups:
            return
        stage = STAGES.get(state)
        if stage is None:
            raise self.world.broken(f"{self.name}: job {id_} is {state}")
        # A job that is forgotten after its end begins again with the next request.
        is_same = job.posts == 1 or not self.may_be_forgotten(job)
        if is_same and job.stage_life == life and stage < job.stage:
            raise self.world.broken(f"{self.name}: job {id_} is {state} after it had stage {job.stage}")
        job.stage, job.stage_life = stage, life
        end = (state, row.get("reason")) if stage == 2 else None
        if is_same and job.end is not None and end != job.end:
            raise self.world.broken(f"{self.name}: job {id_} is {end or state} after it was {job.end}")
        if end is None:
            return
        is_lost = not job.persistent and job.life < life
        reasons = {
            ("done", None): bool({REPLIES, ACKNOWLEDGES} & job.ways),
            ("failed", "rejected"): REJECTS in job.ways,
            ("failed", "cancelled"): job.cancels,
            ("failed", "lost"): is_lost,
        }
        if not reasons.get(end, False):
            raise self.world.broken(f"{self.name}: job {id_} is {end}, and workers did {sorted(job.ways)}")
        if whole:
            job.end = end
            self._check_reply(id_, job, state, row["reply"])

    def _check_reply(self, id_: str, job: Job, state: str, reply: dict[str, Any] | None) -> None:
        bounds, expected = self.world.config.bounds, answer_to(id_, job.reply_bytes)
        is_large = len(expected) > bounds.job_reply_bytes
        if reply is None:
            is_refusable = is_large or bounds.job_replies_bytes < DEFAULTS.job_replies_bytes
            if state == "done" and ACKNOWLEDGES not in job.ways and not is_refusable:
                raise self.world.broken(f"{self.name}: job {id_} is done, and its reply is lost")
            return
        if reply["payload"] != expected or reply["properties"].get("correlation_id") != id_:
            raise self.world.broken(f"{self.name}: job {id_} has the reply {str(reply)[:100]}")
        if is_large:
            raise self.world.broken(f"{self.name}: job {id_} has a reply that is too large")

    def delivered(self, id_: str) -> Job:
        """Record that a worker has got a job."""
        job = self.jobs.get(id_)
        if job is None:
            raise self.world.broken(f"{self.name}: job {id_} is delivered, which nobody has started")
        job.first_ns = job.first_ns or self.world.scheduler.now
        is_late = self.world.may_have_timed_out(job.first_ns) or self.world.tore_groups
        if job.posts == 1 and not is_late and (job.gone or job.end is not None):
            raise self.world.broken(f"{self.name}: job {id_} is delivered after its end")
        return job


def answer_to(id_: str, size: int) -> str:
    """Return the reply to a job."""
    return f"{id_} " + "r" * (size - len(id_) - 1)


class Starter(HttpClient):
    """Starts jobs. It sends a job again if it gets no answer, or is asked to."""

    def __init__(self, workload: Jobs, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._number = 0

    def do_start(self, count: int, reply_bytes: int, persistent: bool) -> None:
        """Start jobs whose replies have that size."""
        for _ in range(count):
            id_ = f"{self.name}-{self._number}"
            self._number += 1
            self._workload.jobs[id_] = Job(persistent, reply_bytes, self.world.life)
            self._send(id_)

    def _send(self, id_: str) -> None:
        job = self._workload.jobs[id_]
        job.posts += 1
        properties = {
            "message_id": id_,
            "delivery_mode": 2 if job.persistent else 1,
            "headers": {"x-job-ttl": self._workload.ttl_ms},
        }
        body = {"routing_key": self._workload.name, "payload": str(job.reply_bytes), "properties": properties}
        self.request("POST", path("jobs", "/", "amq.default"), partial(self._on_answer_to, id_), body)

    def _send_again(self, id_: str) -> None:
        if not self._workload.rests:
            self._send(id_)

    def _on_answer_to(self, id_: str, answer: Answer | None) -> None:
        job = self._workload.jobs[id_]
        # 409: an earlier request without an answer had started it. 422: there is no queue yet.
        if answer is None or answer.status in (422, 503):
            self.world.scheduler.after(self.chance.randint(*AGAIN_NS), partial(self._send_again, id_))
        elif answer.status == 202 or (answer.status == 409 and job.posts > 1):
            job.accepted = True
        else:
            raise self.world.broken(f"{self.name}: job {id_} is answered with {answer}")


class Asker(HttpClient):
    """Looks up jobs. At the end, it looks until all have ended, and then has them forgotten."""

    def __init__(self, workload: Jobs, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._left: dict[str, None] = {}
        self.has_finished = False

    def do_ask(self, wait_s: int) -> None:
        """Look up a job. wait_s: the answer may wait that long for the end of the job."""
        id_ = self._any()
        if id_ is not None:
            query = {"wait": str(wait_s)} if wait_s else {}
            self.request("GET", path("jobs", "/", id_, **query), partial(self._on_job, id_))

    def do_list(self) -> None:
        """Look up all jobs."""
        accepted = [id_ for id_, job in self._workload.jobs.items() if job.accepted]
        self.request("GET", path("jobs", "/"), partial(self._on_list, accepted))

    def do_cancel(self) -> None:
        """Cancel a job, or have the broker forget it."""
        id_ = self._any()
        if id_ is not None:
            self._workload.jobs[id_].cancels = True
            self.request("DELETE", path("jobs", "/", id_), partial(self._on_cancelled, id_))

    def _any(self) -> str | None:
        accepted = [id_ for id_, job in self._workload.jobs.items() if job.accepted]
        return self.chance.choice(accepted[-10:]) if accepted else None

    def _on_job(self, id_: str, answer: Answer | None) -> None:
        if answer is None or answer.status == 503:
            return
        if answer.status == 404:
            self._workload.missing(id_)
            self._left.pop(id_, None)
        elif answer.status == 200:
            self._workload.found(id_, answer.json, whole=True)
            if self._workload.jobs[id_].end is not None:
                self._left.pop(id_, None)
        else:
            raise self.world.broken(f"{self.name}: a look at job {id_} is answered with {answer}")

    def _on_list(self, accepted: list[str], answer: Answer | None) -> None:
        if answer is None or answer.status == 503:
            return
        most = self.world.config.bounds.jobs
        if len(answer.json) > most:
            raise self.world.broken(f"{self.name}: there are {len(answer.json)} jobs, and not at most {most}")
        rows = {row["id"]: row for row in answer.json}
        for id_ in accepted:
            if id_ in rows:
                self._workload.found(id_, rows[id_], whole=False)
            else:
                self._workload.missing(id_)

    def _on_cancelled(self, id_: str, answer: Answer | None) -> None:
        if answer is None or answer.status in (404, 409, 503):
            return
        if answer.status != 204:
            raise self.world.broken(f"{self.name}: a cancellation of job {id_} is answered with {answer}")
        self._workload.jobs[id_].gone = True

    # --- the end ------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Look up all jobs until they have ended, once the broker has received the last one."""
        starter = self._workload.starter
        if not starter.idle or not self.world.ignores(starter):
            self.world.scheduler.after(self.chance.randint(*AGAIN_NS), self.finish)
            return
        self._left = dict.fromkeys(self._workload.jobs)
        self._look()

    def _look(self) -> None:
        for id_ in list(self._left):
            self.request("GET", path("jobs", "/", id_), partial(self._on_job, id_))
        self.request("GET", path("jobs", "/"), self._on_looked)

    def _on_looked(self, answer: Answer | None) -> None:
        is_over = not self._left or self.world.tore_groups
        if is_over and self.world.are_empty(self._workload.name):
            for id_ in self._workload.jobs:
                self._workload.jobs[id_].cancels = True
                self.request("DELETE", path("jobs", "/", id_), partial(self._on_cancelled, id_))
            self.request("GET", path("jobs", "/"), self._on_last_list)
        else:
            self.world.scheduler.after(self.chance.randint(*AGAIN_NS), self._look)

    def _on_last_list(self, answer: Answer | None) -> None:
        if answer is None or answer.status == 503:
            self.world.scheduler.after(self.chance.randint(*AGAIN_NS), self._look)
            return
        for row in answer.json:
            if row["id"] in self._workload.jobs and not self.world.tore_groups:
                raise self.world.broken(f"{self.name}: job {row['id']} is not forgotten when it is deleted")
        self.has_finished = True


class Worker(Client):
    """Works on jobs: it replies and acknowledges, rejects, or returns them, or loses its connection."""

    def __init__(self, workload: Jobs, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(lambda _: None, "basic.qos-ok", 1, "basic.qos", prefetch_count=self.chance.choice((1, 10)))
        self.call(lambda _: None, "basic.consume-ok", 1, "basic.consume", queue=self._workload.name, consumer_tag="c")

    def received(self, got: Received) -> None:
        if got.name != "basic.deliver" or got.body is None or got.properties is None:
            raise self.world.broken(f"{self.name} received {got}")
        id_ = got.properties["message_id"].decode()
        self._workload.delivered(id_)
        tag, reply_to = got.arguments["delivery_tag"], got.properties["reply_to"].decode()
        work = partial(self._work, id_, tag, reply_to, self._incarnation)
        self.world.scheduler.after(self.chance.randint(*HELD_NS), work)

    def _work(self, id_: str, tag: int, reply_to: str, incarnation: int) -> None:
        if not self.open or incarnation != self._incarnation:
            return
        job = self._workload.jobs[id_]
        way = self.chance.choice(WAYS)
        if way == LEAVES:
            self.drop()
            return
        job.ways.add(way)
        if way == REPLIES:
            body = answer_to(id_, job.reply_bytes).encode()
            self.write(published(reply_to, body, "", correlation_id=id_) + method("basic.ack", 1, delivery_tag=tag))
        elif way == ACKNOWLEDGES:
            self.send(1, "basic.ack", delivery_tag=tag)
        elif way in (REJECTS, RETURNS):
            self.send(1, "basic.reject", delivery_tag=tag, requeue=way == RETURNS)
