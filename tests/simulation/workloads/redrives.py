"""Redrives of a dead letter queue: each message is in one queue at any time, and redrives move what they should."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from amqpbroker.broker.queues.dead_letters.original_message import last_death
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher
from tests.simulation.world import World

#: Time for which a worker holds a message.
HELD_NS = (1 * MS, 200 * MS)
#: Pause between two looks of the operator.
LOOK_NS = 200 * MS
ENDS = ("COMPLETED", "CANCELLED", "FAILED")
#: Redrives at the end.
LAST = 3

#: Names of messages by queue.
Contents = dict[str, list[str]]


class Redrives(Workload):
    """Queues whose messages die, a publisher, workers that fail, and an operator who redrives the dead letters.

    No message is acknowledged before the end, so each one is in one of the queues.
    """

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.kind: str = plan["kind"]
        self.dead_kind: str = plan["dead_kind"]
        #: Length limit of the second queue, 0 for none.
        self.limit: int = plan["limit"]
        self.queues = [f"{name}-w{i}" for i in range(2)]
        self.dead = f"{name}-dead"
        #: Message -> whether it was confirmed.
        self.messages: dict[str, bool] = {}
        #: Message -> queue to which it was published.
        self.origins: dict[str, str] = {}
        #: Dead letter -> queue in which it died, when `contents` was called.
        self.died_in: dict[str, str] = {}
        #: Messages that the client of the end has acknowledged.
        self.drained: dict[str, None] = {}
        self.publisher = ConfirmingPublisher(
            world, f"{name}p", self.declare, self._made, self._confirmed, lambda message: self.messages.pop(message)
        )
        self.worker = FailingWorker(self, f"{name}w")
        self.looker = Looker(self, f"{name}l")
        self.drainer = Drainer(self, f"{name}d")
        self.operator = Operator(self, f"{name}o")

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "kind": chance.choice(("classic", "quorum")),
            "dead_kind": chance.choice(("classic", "quorum")),
            "limit": chance.choice((0, 0, 5)),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice((1, 5, 40)), chance.randrange(2)))
            for _ in range(chance.choice((2, 5, 15)))
        ]
        steps += [Step(chance.randint(0, end_ms), f"{name}o", "redrive") for _ in range(chance.choice((0, 5, 20)))]
        steps += [Step(chance.randint(0, end_ms), f"{name}o", "cancel") for _ in range(chance.choice((0, 0, 3)))]
        steps += [Step(chance.randint(0, end_ms), f"{name}l", "look") for _ in range(chance.choice((0, 3, 20)))]
        return steps + troubles(chance, end_ms, [f"{name}p", f"{name}w", f"{name}l", f"{name}o"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, self.worker, self.looker, self.drainer

    @property
    def actors(self) -> dict[str, Any]:
        return {**super().actors, self.operator.name: self.operator}

    def rest(self) -> None:
        self.worker.leave()
        self.looker.leave()
        self.operator.finish()

    def is_done(self) -> bool:
        return self.drainer.consumes and self.publisher.idle and self.world.are_empty(*self.queues, self.dead)

    def check(self) -> None:
        if self.world.tore_groups:
            return
        for message, confirmed in self.messages.items():
            if confirmed and message not in self.drained:
                raise self.world.broken(f"{self.name}: {message} was confirmed, and is lost")

    # --- objects and messages -----------------------------------------------------------------------------------------

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare all queues, and the exchange that routes to the queues of the worker."""
        unlimited: Table = {"x-delivery-limit": Field("l", -1)}
        arguments: Table = {
            "x-queue-type": longstr(self.kind),
            "x-dead-letter-exchange": longstr(""),
            "x-dead-letter-routing-key": longstr(self.dead),
            **(unlimited if self.kind == "quorum" else {}),
        }
        limited: Table = {"x-max-length": Field("l", self.limit), "x-overflow": longstr("reject-publish")}
        dead: Table = {"x-queue-type": longstr(self.dead_kind), **(unlimited if self.dead_kind == "quorum" else {})}
        done = "queue.declare-ok"
        client.call(_ignore, done, 1, "queue.declare", queue=self.dead, durable=True, arguments=dead)
        exchange = {"exchange": self.name, "exchange_type": "direct", "durable": True}
        client.call(_ignore, "exchange.declare-ok", 1, "exchange.declare", **exchange)
        for name in self.queues:
            last = name == self.queues[-1]
            more = limited if last and self.limit else {}
            client.call(_ignore, done, 1, "queue.declare", queue=name, durable=True, arguments={**arguments, **more})
            bound: Callable[[Received], None] = (lambda _: then()) if last else _ignore
            client.call(bound, "queue.bind-ok", 1, "queue.bind", queue=name, exchange=self.name, routing_key=name)

    def _made(self, message: str, queue: int) -> bytes:
        self.messages[message] = False
        self.origins[message] = self.queues[queue]
        kind: Table = {"kind": longstr(kind_of(message))}
        return published(self.queues[queue], message.encode(), self.name, delivery_mode=2, headers=kind)

    def _confirmed(self, message: str) -> None:
        self.messages[message] = True

    # --- checks -------------------------------------------------------------------------------------------------------

    def contents(self) -> Contents | None:
        """Return the ready messages of all queues; None if the broker does not run, or something is unacknowledged."""
        process = self.world.process
        if process is None or process.stopping or not process.loop.is_between_iterations:
            return None
        found: Contents = {}
        for name in (*self.queues, self.dead):
            queue = process.broker.vhosts["/"].queues.get(name)
            if not isinstance(queue, LocalQueue) or queue.unacked_count:
                return None
            found[name] = [entry.message.body.decode() for entry in queue.ready_entries()]
            for entry in queue.ready_entries() if name == self.dead else ():
                death = last_death(entry.message)
                assert death is not None
                self.died_in[entry.message.body.decode()] = death.queue
        return found

    def check_complete(self, contents: Contents) -> None:
        """Raise BrokenError if a message is not there, or several times."""
        if self.world.tore_groups:
            return
        everything = [message for name in contents for message in contents[name]]
        twice = [message for message in everything if everything.count(message) > 1]
        if twice:
            raise self.world.broken(f"{self.name}: {twice[0]} is in several places")
        lost = [message for message, confirmed in self.messages.items() if confirmed and message not in everything]
        if lost:
            raise self.world.broken(f"{self.name}: {lost[0]} was confirmed, and is in no queue")


def _ignore(_: Received) -> None:
    pass


def kind_of(message: str) -> str:
    """Return the value of a header of the message, for filters."""
    return "even" if int(message.rsplit("-", 1)[1]) % 2 == 0 else "odd"


class FailingWorker(Client):
    """Rejects messages, and returns some."""

    def __init__(self, workload: Redrives, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(_ignore, "basic.qos-ok", 1, "basic.qos", prefetch_count=self.chance.choice((1, 10)))
        for name in self._workload.queues:
            self.call(_ignore, "basic.consume-ok", 1, "basic.consume", queue=name, consumer_tag=name)

    def received(self, got: Received) -> None:
        if got.name != "basic.deliver":
            raise self.world.broken(f"{self.name} received {got}")
        tag, incarnation = got.arguments["delivery_tag"], self._incarnation
        self.world.scheduler.after(self.chance.randint(*HELD_NS), partial(self._settle, tag, incarnation))

    def _settle(self, tag: int, incarnation: int) -> None:
        if self.open and incarnation == self._incarnation:
            self.send(1, "basic.reject", delivery_tag=tag, requeue=self.chance.random() < 0.2)


class Looker(Client):
    """Looks into the dead letter queue with basic.get, and returns what it gets."""

    def __init__(self, workload: Redrives, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._ready = False

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self._ready = True

    def disconnected(self) -> None:
        self._ready = False

    def do_look(self) -> None:
        """Get a few messages, and return them together."""
        if not self._ready:
            return
        for _ in range(3):
            self.call(self._got, "basic.get-ok basic.get-empty", 1, "basic.get", queue=self._workload.dead)

    def _got(self, got: Received) -> None:
        if got.name == "basic.get-ok":
            self.send(1, "basic.nack", delivery_tag=got.arguments["delivery_tag"], requeue=True)


class Drainer(Client):
    """Acknowledges all messages at the end."""

    def __init__(self, workload: Redrives, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._begins = False
        self._ready = False
        self.consumes = False

    def begin(self) -> None:
        """Begin now, or with the next connection."""
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
        for name in (*self._workload.queues, self._workload.dead):
            self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=name, consumer_tag=name)

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def disconnected(self) -> None:
        self.consumes = self._ready = False

    def received(self, got: Received) -> None:
        assert got.body is not None
        self._workload.drained[got.body.decode()] = None
        self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])


class Operator(HttpClient):
    """Redrives with random options. At the end, each redrive has to move exactly the messages that it should."""

    def __init__(self, workload: Redrives, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._path = path("queues", "/", workload.dead, "redrive")
        #: Handle -> options of the task, and the time when it was requested.
        self._tasks: dict[str, tuple[dict[str, Any], int]] = {}
        self._last = 0

    def do_redrive(self) -> None:
        """Start a redrive, and look at all tasks."""
        options = self._options()
        self.request("POST", self._path, partial(self._on_started, options, self.world.scheduler.now), options)
        self.request("GET", self._path, self._on_listed)

    def do_cancel(self) -> None:
        """Cancel the running redrive."""
        self.request("DELETE", self._path, self._on_cancelled)

    def _options(self) -> dict[str, Any]:
        chance = self.chance
        options: dict[str, Any] = {}
        if chance.random() < 0.3:
            options["limit"] = chance.choice((1, 3, 20))
        if chance.random() < 0.4:
            options["max_messages_per_second"] = chance.choice((1, 5, 50))
        if chance.random() < 0.3:
            options["filter"] = chance.choice(
                ({"header": {"kind": "even"}}, {"queue": self._workload.queues[0]}, {"reason": "rejected"})
            )
        if chance.random() < 0.2:
            options["destination"] = self._workload.queues[0]
        elif chance.random() < 0.3:
            options["via"] = "exchange"
        if chance.random() < 0.3:
            options["keep_history"] = True
        return options

    def _on_started(self, options: dict[str, Any], since: int, answer: Answer | None) -> None:
        # 404: the declaration of the queue was undone by a crash. 409: a redrive is running.
        if answer is None or answer.status in (404, 409, 503):
            return
        if answer.status != 201:
            raise self.world.broken(f"{self.name}: a redrive is answered with {answer}")
        self._tasks[answer.json["task_handle"]] = options, since

    def _on_cancelled(self, answer: Answer | None) -> None:
        if answer is not None and answer.status not in (204, 404, 503):
            raise self.world.broken(f"{self.name}: a cancellation is answered with {answer}")

    def _on_listed(self, answer: Answer | None) -> list[dict[str, Any]] | None:
        """Check the limits of all tasks."""
        if answer is None or answer.status != 200:
            return None
        rows: list[dict[str, Any]] = answer.json
        for row in rows:
            options, since = self._tasks.get(row["task_handle"], ({}, 0))
            moved, limit, rate = row["moved"], options.get("limit"), options.get("max_messages_per_second")
            if limit is not None and moved > limit:
                raise self.world.broken(f"{self.name}: a redrive with the limit {limit} moves {moved} messages")
            if rate is not None and moved > (self.world.scheduler.now - since) * rate / SECOND + 2:
                raise self.world.broken(f"{self.name}: a redrive of {rate} messages a second moves {moved}")
            if row["state"] not in (*ENDS, "RUNNING") or min(moved, row["left"], row["failed"], row["skipped"]) < 0:
                raise self.world.broken(f"{self.name}: a redrive has the state {row}")
        return rows

    # --- the end ------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Wait until everything has come to rest, and then check redrives one by one."""
        self.request("GET", self._path, self._on_rest)

    def _on_rest(self, answer: Answer | None) -> None:
        rows = self._on_listed(answer)
        is_running = rows is None or any(row["state"] == "RUNNING" for row in rows)
        contents = self._workload.contents() if self._workload.publisher.idle and not is_running else None
        if contents is None:
            self.world.scheduler.after(LOOK_NS, self.finish)
            return
        self._workload.check_complete(contents)
        if self._last == LAST:
            self._workload.drainer.begin()
            return
        self._last += 1
        options = self._options()
        began = partial(self._on_last_started, options, contents, self.world.scheduler.now)
        self.request("POST", self._path, began, options)

    def _on_last_started(self, options: dict[str, Any], before: Contents, since: int, answer: Answer | None) -> None:
        self._on_started(options, since, answer)
        handle = None if answer is None or answer.status != 201 else answer.json["task_handle"]
        self._look(handle, options, before)

    def _look(self, handle: str | None, options: dict[str, Any], before: Contents) -> None:
        self.request("GET", self._path, partial(self._on_look, handle, options, before))

    def _on_look(self, handle: str | None, options: dict[str, Any], before: Contents, answer: Answer | None) -> None:
        rows = [row for row in self._on_listed(answer) or () if row["task_handle"] == handle]
        if handle is None or (answer is not None and answer.status == 200 and not rows):
            self.finish()
        elif not rows or rows[0]["state"] == "RUNNING":
            self.world.scheduler.after(LOOK_NS, lambda: self._look(handle, options, before))
        else:
            self._compare(rows[0], options, before)

    def _compare(self, row: dict[str, Any], options: dict[str, Any], before: Contents) -> None:
        after = self._workload.contents()
        if after is None:
            self.world.scheduler.after(LOOK_NS, lambda: self._compare(row, options, before))
            return
        dead = before[self._workload.dead]
        if len(set(dead)) < len(dead):
            # After a power cut there may be two copies of a message, and they may have died in different queues.
            self.finish()
            return
        expected, counts = self._expected(options, before)
        found = tuple(row[name] for name in ("state", "moved", "failed", "skipped", "left"))
        if found != ("COMPLETED", *counts, 0 if row["left"] == 0 or "limit" not in options else row["left"]):
            raise self.world.broken(f"{self.name}: a redrive with {options} ends as {row}, and not with {counts}")
        for name, messages in expected.items():
            if after[name] != messages:
                raise self.world.broken(
                    f"{self.name}: after a redrive with {options} {name} has {after[name]}, and not {messages}"
                )
        self.finish()

    def _expected(self, options: dict[str, Any], before: Contents) -> tuple[Contents, tuple[int, int, int]]:
        """Return the expected messages of all queues, and the numbers of those that moved, that stay, and others."""
        workload = self._workload
        after = {name: list(messages) for name, messages in before.items()}
        died_in = workload.died_in
        # A quorum queue refuses messages when it is over its limit, a classic queue when it would be.
        most = workload.limit and workload.limit + (workload.kind == "quorum")
        after[workload.dead] = []
        moved = failed = skipped = 0
        limit, wanted = options.get("limit", 1 << 30), options.get("filter", {})
        for message in before[workload.dead]:
            origin = workload.origins[message] if options.get("via") == "exchange" else died_in[message]
            to = options.get("destination", origin)
            if moved == limit:
                after[workload.dead].append(message)
            elif wanted.get("queue", died_in[message]) != died_in[message] or (
                "header" in wanted and kind_of(message) != "even"
            ):
                skipped += 1
                after[workload.dead].append(message)
            elif most and to == workload.queues[1] and len(after[to]) >= most:
                failed += 1
                after[workload.dead].append(message)
            else:
                moved += 1
                after[to].append(message)
        return after, (moved, failed, skipped)
