"""Messages that expire, from one queue to the next: none too early, none delivered too late, with correct deaths."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.deaths import MANY_RETURNS, Death, deaths_of
from tests.simulation.workloads.publisher import ConfirmingPublisher, name_of
from tests.simulation.world import World

TTLS_MS = (0, 1, 50, 1000, 20_000)
#: The broker's clock counts whole milliseconds.
GRAIN_NS = 2 * MS
#: Time within which the broker handles everything that is due, if nothing disturbs it.
SLACK_NS = 30 * SECOND
#: Time within which the broker has certainly detected the end of a connection.
LIMBO_NS = 5 * SECOND
#: Fraction of messages that are fetched from the first queue near their deadline, and the time before or after it.
FETCHED_WHEN_DUE = 0.2
FETCHES_NS = (-20 * MS, -10 * MS, 5 * MS, 50 * MS, 300 * MS)
#: Uses of a fetched message: acknowledge it, return it, or hold it for a while.
USES = ("ack", "requeue", "keep", "keep")


@dataclass
class Sent:
    """One published message.

    ttl_ms: its own, None for none. at: time of the publish. confirmed_at: -1 before the confirm. taken: a client has
    fetched it. settled_life: the life in which the broker has certainly seen its acknowledgement.
    """

    life: int
    at: int
    ttl_ms: int | None
    persistent: bool
    confirmed_at: int = -1
    taken: bool = False
    finished: bool = False
    settled_life: int = 0


class Expiry(Workload):
    """Queues in a row that dead-letter to the next one, a publisher to the first, and a client that fetches.

    plan["after"]: destination after the last queue: a consumer, none, or the first queue, which no message may reach
    again. plan["keeps_keys"]: the queues dead-letter to their own exchanges, with the message's routing key.
    plan["cc"]: messages have a CC header.
    """

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._kind: str = plan["kind"]
        self._ttls_ms: list[int | None] = plan["ttls_ms"]
        self._own_ttls: float = plan["own_ttls"]
        self._longest_ms: int = plan["longest_ms"]
        self._persistent: float = plan["persistent"]
        self._after: str = plan["after"]
        self._keeps_keys: bool = plan["keeps_keys"]
        self._cc: tuple[str, ...] = (f"{name}-nobody",) if plan["cc"] else ()
        self._sent: dict[str, Sent] = {}
        self._rested_at: int | None = None
        self.queues = [f"{name}-{i}" for i in range(len(self._ttls_ms))]
        self.end_queue = f"{name}-end"
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self._on_confirmed)
        self.fetcher = Fetcher(self)
        self.heir = Heir(self)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        own_ttls = chance.choice((0.0, 0.5, 1.0))
        ttls_ms: list[int | None] = [chance.choice(TTLS_MS) for _ in range(chance.randint(1, 3))]
        if own_ttls == 1.0 and chance.random() < 0.7:
            ttls_ms[0] = None
        return {
            "kind": chance.choice(("classic", "classic", "quorum")),
            "ttls_ms": ttls_ms,
            "own_ttls": own_ttls,
            "longest_ms": chance.choice(TTLS_MS),
            "persistent": chance.choice((0.5, 1.0)),
            "after": chance.choice(("consumer", "consumer", "nowhere", "first")),
            "keeps_keys": chance.random() < 0.5,
            "cc": chance.random() < 0.3,
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice((1, 1, 10, 50)),))
            for _ in range(chance.choice((1, 5, 20)))
        ]
        for _ in range(chance.choice((0, 5, 50))):
            arguments = (chance.randrange(len(settings["ttls_ms"])), chance.choice(USES))
            steps.append(Step(chance.randint(0, end_ms), f"{name}f", "fetch", arguments))
        steps += [Step(chance.randint(0, end_ms), f"{name}f", "return_all") for _ in range(chance.choice((0, 1, 5)))]
        return steps + troubles(chance, end_ms, [f"{name}p", f"{name}f", f"{name}h"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, self.fetcher, self.heir

    def rest(self) -> None:
        self._rested_at = self.world.scheduler.now
        self.fetcher.rest()

    def is_done(self) -> bool:
        waiting = self._waiting()
        idle = self.publisher.idle and self.fetcher.idle and self.heir.idle
        if waiting and self._rested_at is not None:
            longest_ms = sum(ttl_ms or 0 for ttl_ms in self._ttls_ms) + self._longest_ms
            began = max(self._rested_at, self.world.processor.troubled_until)
            if self.world.scheduler.now > began + longest_ms * MS + SLACK_NS:
                raise self.world.broken(f"{self.name}: {waiting} messages have not expired")
        return idle and waiting == 0

    def _waiting(self) -> int | None:
        """Return the number of messages in all queues, None without a broker."""
        process = self.world.process
        if process is None:
            return None
        queues = process.broker.vhosts["/"].queues
        found = [queues[name] for name in (*self.queues, self.end_queue) if name in queues]
        return sum(queue.ready_count + queue.unacked_count for queue in found)

    def check(self) -> None:
        for message, sent in self._sent.items():
            lives = sent.persistent or sent.life == self.world.life
            if self._after == "consumer" and sent.confirmed_at >= 0 and lives and not sent.taken and not sent.finished:
                raise self.world.broken(f"{self.name}: {message} was confirmed, and is lost")

    # --- queues -------------------------------------------------------------------------------------------------------

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queues and their exchanges, the last ones first."""
        heirs = [*self.queues[1:], {"consumer": self.end_queue, "nowhere": None, "first": self.queues[0]}[self._after]]
        client.call(lambda _: None, "queue.declare-ok", 1, "queue.declare", queue=self.end_queue, durable=True)
        for queue, heir, ttl_ms in reversed(list(zip(self.queues, heirs, self._ttls_ms, strict=True))):
            arguments: dict[str, Any] = {"x-queue-type": longstr(self._kind)}
            if self._kind == "quorum":
                arguments["x-delivery-limit"] = MANY_RETURNS
            if ttl_ms is not None:
                arguments["x-message-ttl"] = Field("I", ttl_ms)
            if heir is not None:
                exchange = f"{heir}-x" if self._keeps_keys else ""
                arguments["x-dead-letter-exchange"] = longstr(exchange)
                if not self._keeps_keys:
                    arguments["x-dead-letter-routing-key"] = longstr(heir)
            client.call(
                lambda _: None, "queue.declare-ok", 1, "queue.declare", queue=queue, durable=True, arguments=arguments
            )
        for heir in (self.end_queue, *self.queues) if self._keeps_keys else ():
            client.call(
                lambda _: None,
                "exchange.declare-ok",
                1,
                "exchange.declare",
                exchange=f"{heir}-x",
                exchange_type="fanout",
                durable=True,
            )
            client.call(lambda _: None, "queue.bind-ok", 1, "queue.bind", queue=heir, exchange=f"{heir}-x")
        client.call(lambda _: then(), "basic.qos-ok", 1, "basic.qos", prefetch_count=0)

    def _deaths(self, stage: int, ttl_ms: int | None) -> list[Death]:
        """Return the deaths of a message that has expired in all queues before this one."""
        deaths = []
        for i in range(stage):
            exchange = f"{self.queues[i]}-x" if self._keeps_keys and i else ""
            keys = (self.queues[0], *self._cc) if self._keeps_keys or not i else (self.queues[i],)
            expiration = str(ttl_ms) if i == 0 and ttl_ms is not None else None
            deaths.append(Death(self.queues[i], "expired", 1, exchange, keys, expiration))
        return deaths[::-1]

    # --- messages -----------------------------------------------------------------------------------------------------

    def _made(self, message: str) -> bytes:
        chance = self.publisher.chance
        ttl_ms = chance.randint(0, self._longest_ms) if chance.random() < self._own_ttls else None
        persistent = chance.random() < self._persistent
        lasts = persistent or (self._kind == "quorum" and self._after != "consumer")
        self._sent[message] = Sent(self.world.life, self.world.scheduler.now, ttl_ms, lasts)
        properties: dict[str, Any] = {"delivery_mode": 2} if persistent else {}
        if ttl_ms is not None:
            properties["expiration"] = str(ttl_ms)
        if self._cc:
            properties["headers"] = {"CC": Field("A", [longstr(key) for key in self._cc])}
        return published(self.queues[0], message.encode(), **properties)

    def _on_confirmed(self, message: str) -> None:
        sent = self._sent[message]
        sent.confirmed_at = self.world.scheduler.now
        if self.fetcher.chance.random() < FETCHED_WHEN_DUE:
            just_due = max(sent.at + self._ttl_ns(sent) - sent.confirmed_at, 0) + self.fetcher.chance.choice(FETCHES_NS)
            self.world.scheduler.after(just_due, lambda: self.fetcher.do_fetch(0, "requeue"))

    def _ttl_ns(self, sent: Sent) -> int:
        """Return the time that a message stays in the first queue."""
        given = [ttl_ms for ttl_ms in (sent.ttl_ms, self._ttls_ms[0]) if ttl_ms is not None]
        return min(given) * MS

    def came(self, stage: int, got: Received) -> Sent:
        """Check a message that leaves a queue, and return its record. stage: number of the queue."""
        message = name_of(got.body)
        sent = self._sent.get(message)
        if sent is None:
            raise self.world.broken(f"{self.name}: {message!r} comes, but was never published")
        deaths, expected = deaths_of(got.properties), self._deaths(stage, sent.ttl_ms)
        if deaths != expected:
            raise self.world.broken(f"{self.name}: {message} comes out of queue {stage} with {deaths}, not {expected}")
        assert got.properties is not None
        expiration = got.properties.get("expiration")
        if expiration != (None if stage or sent.ttl_ms is None else b"%d" % sent.ttl_ms):
            raise self.world.broken(f"{self.name}: {message} comes out of queue {stage} with TTL {expiration!r}")
        time = self.world.time
        if stage == 1 or (stage and time.is_steady(sent.at)):
            stays_ns = self._ttl_ns(sent) + sum(ttl_ms or 0 for ttl_ms in self._ttls_ms[1:stage]) * MS
            if time.rise(sent.at) < stays_ns - GRAIN_NS:
                raise self.world.broken(f"{self.name}: {message} comes out of queue {stage} too early")
        if sent.settled_life == self.world.life:
            raise self.world.broken(f"{self.name}: {message} was acknowledged, and comes out of queue {stage}")
        return sent

    def fetched(self, stage: int, got: Received, asked_at: int) -> Sent:
        """Check a message that was fetched from a queue. asked_at: time of the request."""
        sent = self.came(stage, got)
        if stage == 0 and sent.confirmed_at >= 0 and self.world.time.is_steady(sent.at):
            due = sent.confirmed_at + self._ttl_ns(sent)
            if asked_at > due + GRAIN_NS:
                raise self.world.broken(f"{self.name}: {name_of(got.body)} is fetched {asked_at - due} ns too late")
        sent.taken = True
        return sent

    def found_nothing(self, asked_at: int) -> None:
        """Check that no message could be fetched from the first queue. Raises BrokenError."""
        time = self.world.time
        for message, sent in self._sent.items():
            lives = sent.persistent or sent.life == self.world.life
            there = 0 <= sent.confirmed_at < asked_at and time.rise(sent.at) < self._ttl_ns(sent) - GRAIN_NS
            if there and lives and not sent.taken:
                raise self.world.broken(f"{self.name}: {message} has not expired, and cannot be fetched")


class Fetcher(Client):
    """Fetches one message at a time, and acknowledges it, returns it, or holds it for a while."""

    def __init__(self, expiry: Expiry) -> None:
        super().__init__(expiry.world, f"{expiry.name}f")
        self._expiry = expiry
        self._kept: list[int] = []
        self._fetching = False
        self._ready = False
        self._rests = False
        self._limbo_until = 0

    @property
    def idle(self) -> bool:
        return self._ready and not self._fetching and not self._kept

    def opened(self) -> None:
        self._expiry.declare(self, self._declared)

    def _declared(self) -> None:
        self._ready = True

    def do_fetch(self, stage: int, use: str) -> None:
        """Fetch a message from a queue, unless an answer is outstanding."""
        if not self._ready or self._fetching or self._rests:
            return
        self._fetching = True
        asked_at = self.world.scheduler.now

        def answered(got: Received) -> None:
            self._fetching = False
            if got.name == "basic.get-empty":
                if stage == 0 and asked_at >= self._limbo_until:
                    self._expiry.found_nothing(asked_at)
                return
            self._use(self._expiry.fetched(stage, got, asked_at), got.arguments["delivery_tag"], use)

        queue = self._expiry.queues[stage]
        self.call(answered, "basic.get-ok basic.get-empty", 1, "basic.get", queue=queue)

    def do_return_all(self) -> None:
        """Return the held messages, in the order of their arrival."""
        for tag in self._kept if self.open else ():
            self.send(1, "basic.reject", delivery_tag=tag, requeue=True)
        self._kept.clear()

    def rest(self) -> None:
        """Stop fetching."""
        self._rests = True
        self.do_return_all()

    def _use(self, sent: Sent, tag: int, use: str) -> None:
        if use == "keep" and not self._rests:
            self._kept.append(tag)
        elif use == "ack":
            self.send(1, "basic.ack", delivery_tag=tag)
            self.call(lambda _: self._acknowledged(sent), "basic.qos-ok", 1, "basic.qos", prefetch_count=0)
        else:
            self.send(1, "basic.reject", delivery_tag=tag, requeue=True)

    def _acknowledged(self, sent: Sent) -> None:
        sent.settled_life = self.world.life

    def received(self, got: Received) -> None:
        raise self.world.broken(f"{self.name} received {got}")

    def disconnected(self) -> None:
        if self._fetching:
            self._limbo_until = self.world.scheduler.now + LIMBO_NS
        self._ready = self._fetching = False
        self._kept.clear()


class Heir(Client):
    """Acknowledges all messages that have expired in all queues."""

    def __init__(self, expiry: Expiry) -> None:
        super().__init__(expiry.world, f"{expiry.name}h")
        self._expiry = expiry
        self.idle = False

    def opened(self) -> None:
        self._expiry.declare(self, self._declared)

    def _declared(self) -> None:
        queue = self._expiry.end_queue
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=queue, consumer_tag="h")

    def _consuming(self, _: Received) -> None:
        self.idle = True

    def received(self, got: Received) -> None:
        self._expiry.came(len(self._expiry.queues), got).finished = True
        self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])

    def disconnected(self) -> None:
        self.idle = False
