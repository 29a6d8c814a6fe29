"""A queue of any kind whose messages are returned: correct counts, no early delivery, dead-lettered at the limit."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher
from tests.simulation.world import World

#: Arguments of the kinds of queues.
KINDS: dict[str, Table] = {
    "classic": {},
    "priority": {"x-max-priority": Field("I", 3)},
    "single active consumer": {"x-single-active-consumer": Field("t", True)},
    "quorum": {
        "x-queue-type": longstr("quorum"),
        "x-dead-letter-strategy": longstr("at-least-once"),
        "x-overflow": longstr("reject-publish"),
    },
}
RETURNS = ("reject", "reject", "nack", "nack_all", "recover", "close", "ack")
#: The broker's clock counts whole milliseconds.
GRAIN_NS = 2 * MS


@dataclass(slots=True)
class Case:
    """One message. least, most: number of times that it was certainly, and possibly, returned and counted.

    returned: time of the last return, and whether it counts as a failure; None if unknown.
    """

    confirmed: bool = False
    least: int = 0
    most: int = 0
    life: int = 0
    returned: tuple[int, bool] | None = None
    is_over: bool = False
    is_dead: bool = False


class Poison(Workload):
    """A queue with a delivery limit, its dead letters, a publisher, and a client that returns messages."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.limit: int = plan["limit"]
        self.kind: str = plan.get("kind", "quorum")
        self.retry: tuple[str, int, int] | None = plan["retry"]
        self.multiplier: float | None = plan.get("multiplier")
        self.jitter: float = plan.get("jitter", 0)
        self.cases: dict[str, Case] = {}
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self._confirmed)
        self.receiver = Returner(self, plan["prefetch"])
        self.undertaker = Undertaker(self)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload. multiplier, jitter: of the retry."""
        return {
            "limit": chance.choice((0, 1, 2, 5)),
            "prefetch": chance.choice((1, 3, 20)),
            "retry": chance.choice((None, ("all", 100, 1_000), ("failed", 500, 700), ("returned", 300, 300))),
            "kind": chance.choice(list(KINDS)),
            "multiplier": chance.choice((None, None, 1, 2.5)),
            "jitter": chance.choice((0, 0, 0.5)),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice((1, 5, 20)),))
            for _ in range(chance.choice((1, 3, 10)))
        ]
        steps += [
            Step(chance.randint(0, end_ms), f"{name}c", "settle", (chance.choice(RETURNS),))
            for _ in range(chance.choice((10, 50, 200)))
        ]
        return steps + troubles(chance, end_ms, [f"{name}p", f"{name}c", f"{name}d"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, self.receiver, self.undertaker

    @property
    def rest_ms(self) -> int:
        """Return the time for the rest: a restart after the wall clock was set back by hours prolongs stored delays."""
        return 4 * 3_600_000

    def rest(self) -> None:
        self.receiver.drain()

    def is_done(self) -> bool:
        process = self.world.process
        if process is None or not self.publisher.idle or not self.receiver.consumes or not self.undertaker.consumes:
            return False
        queues = process.broker.vhosts["/"].queues
        found = [queues[name] for name in (self.name, f"{self.name}-dead") if name in queues]
        return not any(queue.info().messages for queue in found)

    def check(self) -> None:
        for message, case in self.cases.items():
            if case.confirmed and not case.is_over:
                raise self.world.broken(f"{self.name}: {message} was confirmed, and is lost")
            if case.is_dead and case.most <= self.limit:
                raise self.world.broken(f"{self.name}: {message} died of {case.most} returns, not {self.limit + 1}")

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare both queues."""
        arguments = {
            **KINDS[self.kind],
            "x-delivery-limit": Field("I", self.limit),
            "x-dead-letter-exchange": longstr(""),
            "x-dead-letter-routing-key": longstr(f"{self.name}-dead"),
        }
        if self.retry is not None:
            returns, least_ms, most_ms = self.retry
            arguments["x-delayed-retry-type"] = longstr(returns)
            arguments["x-delayed-retry-min"] = Field("I", least_ms)
            arguments["x-delayed-retry-max"] = Field("I", most_ms)
            if self.multiplier is not None:
                arguments["x-delayed-retry-multiplier"] = Field("d", self.multiplier)
            if self.jitter:
                arguments["x-delayed-retry-jitter"] = Field("d", self.jitter)
        client.call(
            lambda _: None, "queue.declare-ok", 1, "queue.declare", queue=self.name, durable=True, arguments=arguments
        )
        client.call(lambda _: then(), "queue.declare-ok", 1, "queue.declare", queue=f"{self.name}-dead", durable=True)

    def _made(self, message: str) -> bytes:
        # An ended connection that the broker still has may get the message first, and return it.
        self.cases[message] = Case(life=self.world.life, most=0 if self.world.ignores(self.receiver) else 1)
        return published(self.name, message.encode(), delivery_mode=2)

    def _confirmed(self, message: str) -> None:
        self.cases[message].confirmed = True

    # --- checks -------------------------------------------------------------------------------------------------------

    def cut(self, returning: bool) -> None:
        """Note the end of the receiver's connection: deliveries in transit may have been returned once more.

        returning: everything was being returned before that, and may have been returned twice.
        """
        for case in self.cases.values():
            case.most += 1 + returning
            case.returned = None
            if self.world.config.compat.queues_have_timeouts:
                # An overdue message was possibly requeued uncounted before the client's return arrived.
                case.least = 0

    def delivered(self, message: str, headers: dict[str, Field], late: bool) -> None:
        """Check a delivery of the queue. late: it was returned already, and may be dead. Raises BrokenError."""
        case = self.cases.get(message)
        if case is None:
            raise self.world.broken(f"{self.name}: {message!r} is delivered, but was never published")
        if case.life != self.world.life:
            # A crash undoes counts, and the unstored part of a death or an acknowledgement.
            case.life, case.least, case.is_dead = self.world.life, 0, False
        if case.is_dead and not late:
            raise self.world.broken(f"{self.name}: {message} is delivered, and was dead-lettered")
        count = headers["x-delivery-count"].value if "x-delivery-count" in headers else 0
        if not case.least <= count <= case.most:
            raise self.world.broken(f"{self.name}: {message} came back {case.least} to {case.most} times, not {count}")
        if count > self.limit:
            raise self.world.broken(f"{self.name}: {message} came back {count} times with a limit of {self.limit}")
        if self.retry is not None and case.returned is not None:
            self._check_delay(message, count, *case.returned)
        case.returned = None

    def _check_delay(self, message: str, count: int, since: int, failed: bool) -> None:
        assert self.retry is not None
        returns, least_ms, most_ms = self.retry
        if returns not in ("all", "failed" if failed else "returned"):
            return
        grown_ms = least_ms * (max(1, count) if self.multiplier is None else self.multiplier ** max(0, count - 1))
        delay = int(min(grown_ms, most_ms) * (1 - self.jitter) * MS)
        if self.world.scheduler.now < since + delay - GRAIN_NS:
            raise self.world.broken(f"{self.name}: {message} comes back early")

    def died(self, message: str, headers: dict[str, Field]) -> None:
        """Check a dead letter. Raises BrokenError."""
        case = self.cases[message]
        deaths = [death.value for death in headers["x-death"].value]
        died_of = [
            (bytes(death["reason"].value), bytes(death["queue"].value), death["count"].value) for death in deaths
        ]
        if died_of != [(b"delivery_limit", self.name.encode(), 1)]:
            raise self.world.broken(f"{self.name}: {message} has died of {died_of}")
        case.is_over = True
        case.is_dead = case.life == self.world.life


@dataclass
class Held:
    """Messages of the receiver by delivery tag, and whether all of them are being returned, since when."""

    messages: dict[int, str] = field(default_factory=dict)
    returning: bool = False
    since: int = 0
    failing: bool = False


class Returner(Client):
    """Returns messages in all ways, and acknowledges some."""

    def __init__(self, poison: Poison, prefetch: int) -> None:
        super().__init__(poison.world, f"{poison.name}c")
        self._poison = poison
        self._prefetch = prefetch
        self._held = Held()
        self._draining = False
        self.consumes = False

    def opened(self) -> None:
        self._held = Held()
        self._poison.declare(self, self._declared)

    def _declared(self) -> None:
        self._held = Held()
        self.call(lambda _: None, "basic.qos-ok", 1, "basic.qos", prefetch_count=self._prefetch)
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=self._poison.name, consumer_tag="c")

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def disconnected(self) -> None:
        self.consumes = False
        self._poison.cut(self._held.returning)

    def drain(self) -> None:
        """Acknowledge all messages."""
        self._draining = True
        while self.consumes and self._held.messages and not self._held.returning:
            self.do_settle("ack")

    def received(self, got: Received) -> None:
        assert got.body is not None
        assert got.properties is not None
        message, tag = got.body.decode(), got.arguments["delivery_tag"]
        self._poison.delivered(message, got.properties.get("headers", {}), self._held.returning)
        if self._held.returning:
            # The broker may have returned it before it arrives here.
            self._count([message], self._held.failing, self._held.since)
        else:
            self._held.messages[tag] = message
            if self._draining:
                self.do_settle("ack")

    # --- settle -------------------------------------------------------------------------------------------------------

    def do_settle(self, how: str) -> None:
        held = self._held
        if not self.consumes or not held.messages or held.returning:
            return
        tag = next(iter(held.messages))
        match how:
            case "ack":
                self.send(1, "basic.ack", delivery_tag=tag)
                self._acknowledge(held.messages.pop(tag))
            case "reject":
                self.send(1, "basic.reject", delivery_tag=tag, requeue=True)
                self._count([held.messages.pop(tag)], failed=True)
            case "nack":
                self.send(1, "basic.nack", delivery_tag=tag, requeue=True)
                self._count([held.messages.pop(tag)], failed=False)
            case "nack_all":
                self.send(1, "basic.nack", delivery_tag=max(held.messages), multiple=True, requeue=True)
                self._count(self._taken(), failed=False)
            case "recover":
                self._return_all(False)
                self.call(self._recovered, "basic.recover-ok", 1, "basic.recover", requeue=True)
            case "close":
                self._return_all(True)
                self.consumes = False
                close = {"reply_code": 200, "reply_text": "", "class_id": 0, "method_id": 0}
                self.call(self._closed, "channel.close-ok", 1, "channel.close", **close)

    def _taken(self) -> list[str]:
        messages = list(self._held.messages.values())
        self._held.messages.clear()
        return messages

    def _return_all(self, failed: bool) -> None:
        """Return everything, including deliveries in transit."""
        self._held.returning, self._held.failing, self._held.since = True, failed, self.world.scheduler.now
        self._count(self._taken(), failed)

    def _recovered(self, _: Received) -> None:
        self._held.returning = False
        if self._draining:
            self.drain()

    def _closed(self, _: Received) -> None:
        self.call(lambda _: self._declared(), "channel.open-ok", 1, "channel.open")

    def _count(self, messages: list[str], failed: bool, since: int | None = None) -> None:
        """Note that messages are returned. since: the earliest time of that, by default now."""
        since = self.world.scheduler.now if since is None else since
        counts = failed or not self.world.config.compat.counts_only_failures
        for message in messages:
            case = self._poison.cases[message]
            # It is delivered again on this connection only after the broker has seen the return.
            case.least += counts
            case.most += counts
            case.returned = (since, failed)

    def _acknowledge(self, message: str) -> None:
        self._poison.cases[message].is_over = True


class Undertaker(Client):
    """Acknowledges dead letters."""

    def __init__(self, poison: Poison) -> None:
        super().__init__(poison.world, f"{poison.name}d")
        self._poison = poison
        self.consumes = False

    def opened(self) -> None:
        self._poison.declare(self, self._declared)

    def _declared(self) -> None:
        queue = f"{self._poison.name}-dead"
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=queue, consumer_tag="d")

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def received(self, got: Received) -> None:
        assert got.body is not None
        assert got.properties is not None
        self._poison.died(got.body.decode(), got.properties["headers"])
        self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])

    def disconnected(self) -> None:
        self.consumes = False
