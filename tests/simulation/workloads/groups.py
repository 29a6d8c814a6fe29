"""A queue with message groups: the order of each key, also over stopped groups that an operator redrives."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from amqpbroker.wire.values import Field, Table, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.http import Answer, HttpClient, path
from tests.simulation.scheduler import MS, SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher
from tests.simulation.world import World

KEY = "key"
VERSION = "version"
#: Arguments of the kinds of queues.
KINDS: dict[str, Table] = {
    "classic": {},
    "single active consumer": {"x-single-active-consumer": Field("t", True)},
    "quorum": {"x-queue-type": longstr("quorum")},
}
#: Ways in which messages leave the queue without a client. The order of messages is checked only among those that stay.
LEAVES: dict[str, Table] = {
    "": {},
    "ttl": {"x-message-ttl": Field("I", 700)},
    "ttl of any": {"x-message-ttl": Field("I", 700), "x-message-ttl-mode": longstr("any")},
    "length": {"x-max-length": Field("I", 3)},
}
#: Time for which a worker holds a message.
HELD_NS = (1 * MS, 400 * MS)
HOWS = ("ack", "ack", "ack", "ack", "nack", "requeue", "fail", "fail")
#: Number of returns that no message exceeds.
UNLIMITED = 1 << 30
#: Pause between two looks of the operator at the end.
LOOK_NS = 500 * MS
REASONS = {"rejected", "delivery_limit", "expired", "maxlen", "superseded"}


@dataclass(slots=True)
class Item:
    """One message of a key. key: None for a message without one. version: None if it has none.

    returns: the largest number of times that the broker may have returned it. life: of its last delivery.
    is_over: a client has settled it for good, it may have left the queue, or it was seen as a dead letter.
    arrived: delivered, or seen as a dead letter. failures: clients have rejected it.
    """

    name: str
    key: str | None
    number: int
    version: int | None
    returns: int
    confirmed: bool = False
    life: int = 0
    is_over: bool = False
    arrived: bool = False
    failures: int = 0


@dataclass
class Key:
    """The messages of one key, in the order in which they were published.

    newest: number of the newest message that was delivered in the life. acked: highest version that the broker has
    certainly seen acknowledged in that life. acked_ever: highest version that was possibly acknowledged.
    discards: the number of messages that may have been discarded, and are not known.
    """

    items: list[Item] = field(default_factory=list)
    life: int = 0
    newest: int = -1
    acked: int = -1
    acked_ever: int = -1
    discards: int = 0


class Groups(Workload):
    """A queue with groups, its dead letters, a publisher, workers that fail, and an operator."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.dead = f"{name}-dead"
        self.plan_ = plan
        self.fair: bool = plan["fair"]
        self.on_dead: str = plan["on_dead"]
        #: Number of messages of a key that may be out at a time.
        self.most: int = plan["group_prefetch"]
        limit = plan["limit"]
        self.limit: int = UNLIMITED if limit == -1 else limit
        self.items: dict[str, Item] = {}
        self.keys: dict[str, Key] = {}
        self._began_ns: dict[int, int] = {}
        self._chance = world.chance(f"{name} keys")
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self._confirmed)
        self.workers = [Worker(self, f"{name}w{i}", plan["prefetch"]) for i in range(plan["workers"])]
        self.undertaker = Undertaker(self, f"{name}d")
        self.operator = Operator(self, f"{name}o")

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        fair = chance.random() < 0.15
        on_dead = "skip" if fair else chance.choice(("skip", "park", "park", *("follow",) * 4))
        return {
            "kind": chance.choice(("classic", "classic", "quorum", "quorum", "single active consumer")),
            "fair": fair,
            "on_dead": on_dead,
            "group_prefetch": 1 if fair else chance.choice((1, 1, 1, 3)),
            "versions": not fair and chance.random() < 0.3,
            "limit": chance.choice((-1, 20, 20, 0, 2)),
            "retry": chance.random() < 0.4,
            "leaves": chance.choice(("", "", "", *LEAVES)) if on_dead == "skip" else chance.choice(("", "", "ttl")),
            "keys": chance.choice((1, 3, 3, 20)),
            "workers": chance.randint(1, 3),
            "prefetch": chance.choice((1, 3, 50)),
            "failing": chance.choice((0.0, 0.3, 0.3, 1.0)),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice((1, 5, 30)),))
            for _ in range(chance.choice((1, 5, 15)))
        ]
        steps += [
            Step(chance.randint(0, end_ms), f"{name}o", "resume", (chance.random() < 0.25,))
            for _ in range(chance.choice((0, 5, 20)))
        ]
        workers = [f"{name}w{i}" for i in range(settings["workers"])]
        return steps + troubles(chance, end_ms, [f"{name}p", *workers, f"{name}o"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, *self.workers, self.undertaker

    @property
    def actors(self) -> dict[str, Any]:
        return {**super().actors, self.operator.name: self.operator}

    def begin(self) -> None:
        super().begin()
        self.operator.begin()

    @property
    def rest_ms(self) -> int:
        """Return the time for the rest: a restart after the wall clock was set back by hours prolongs stored delays."""
        return 4 * 3_600_000

    def rest(self) -> None:
        for worker in self.workers:
            worker.hurries = True
        self.operator.resume_all()

    def is_done(self) -> bool:
        process = self.world.process
        if process is None or not self.publisher.idle or not self.operator.is_at_rest:
            return False
        if not self.undertaker.consumes or any(not each.consumes or each.held for each in self.workers):
            return False
        queues = process.broker.vhosts["/"].queues
        found = [queues[name] for name in (self.name, self.dead) if name in queues]
        return not any(queue.info().messages for queue in found)

    def check(self) -> None:
        for item in self.items.values():
            if not item.confirmed or item.is_over:
                continue
            key = None if item.key is None else self.keys[item.key]
            if key is not None and key.discards:
                key.discards -= 1
            else:
                raise self.world.broken(f"{self.name}: {item.name} of {item.key} was confirmed, and is lost")
        process = self.world.process
        assert process is not None
        info = process.broker.vhosts["/"].queues[self.name].info()
        counts = info.groups, info.groups_parked, info.groups_closed, info.messages_parked
        if any(counts):
            raise self.world.broken(f"{self.name}: counts of groups are {counts}, and it is empty")

    # --- objects and messages -----------------------------------------------------------------------------------------

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare both queues."""
        plan = self.plan_
        arguments: Table = {
            **KINDS[plan["kind"]],
            **LEAVES[plan["leaves"]],
            "x-group-header": longstr(KEY),
            "x-dead-letter-exchange": longstr(""),
            "x-dead-letter-routing-key": longstr(self.dead),
        }
        if plan["kind"] == "quorum" or plan["limit"] != -1:
            arguments["x-delivery-limit"] = Field("l", plan["limit"])
        if self.fair:
            arguments["x-group-type"] = longstr("fair")
        else:
            arguments["x-group-on-dead"] = longstr(self.on_dead)
            arguments["x-group-prefetch"] = Field("I", self.most)
        if plan["versions"]:
            arguments["x-group-version-header"] = longstr(VERSION)
        if plan["retry"]:
            arguments["x-delayed-retry-type"] = longstr("all")
            arguments["x-delayed-retry-min"] = Field("I", 100)
            arguments["x-delayed-retry-max"] = Field("I", 1_000)
        client.call(lambda _: None, "queue.declare-ok", 1, "queue.declare", queue=self.dead, durable=True)
        client.declare_queue(then, self.name, arguments)

    def _made(self, name: str) -> bytes:
        number = self._chance.randrange(self.plan_["keys"] + 1)
        # A new connection may be read before the rest of an old one, so it has other keys.
        connection = name.split("-")[0].rsplit(".", 1)[1]
        key = f"k{number}.{connection}" if number else None
        # An ended connection that the broker still has may get the message first, and return it.
        returns = sum(self.world.count_connections(worker.name) for worker in self.workers)
        headers: Table = {}
        version = None
        items: list[Item] = []
        if key is not None:
            headers[KEY] = longstr(key)
            items = self.keys.setdefault(key, Key()).items
            if self.plan_["versions"]:
                version = max(0, len(items) - self._chance.choice((0, 0, 0, 0, 2)))
                headers[VERSION] = Field("l", version)
        item = self.items[name] = Item(name, key, len(items), version, returns)
        items.append(item)
        return published(self.name, name.encode(), delivery_mode=2, headers=headers)

    def _confirmed(self, name: str) -> None:
        self.items[name].confirmed = True

    # --- checks -------------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Note the end of a worker's connection: deliveries in transit may have been returned once more."""
        for item in self.items.values():
            item.returns += 1

    def _may_be_late(self) -> bool:
        """Return whether deliveries may arrive after the broker has given their messages to another worker."""
        began = self._began_ns.setdefault(self.world.life, self.world.scheduler.now)
        return self.world.may_have_timed_out(began) or self.world.is_stopping or self.world.tore_groups

    def delivered(self, worker: "Worker", name: str) -> Item:
        """Check one delivery, and return its message. Raises BrokenError."""
        item = self.items.get(name)
        if item is None:
            raise self.world.broken(f"{self.name}: {name!r} is delivered, which nobody has published")
        item.arrived = True
        item.is_over = False
        item.life = self.world.life
        if item.key is not None:
            key = self.keys[item.key]
            if key.life != self.world.life:
                key.life, key.newest, key.acked = self.world.life, -1, -1
            if not self.fair and not self._may_be_late():
                self._check_order(worker, item, key)
            key.newest = max(key.newest, item.number)
        return item

    def _check_order(self, worker: "Worker", item: Item, key: Key) -> None:
        what = f"{self.name}: {item.name} of {item.key} is delivered"
        # Dead letters of several messages in work follow in the order in which the messages failed.
        is_mixed = (
            self.most > 1
            and self.on_dead == "follow"
            and any(each.failures or each.returns > self.limit for each in key.items)
        )
        out = [each for other in self.workers for each in other.held.values() if each.key == item.key]
        if len(out) >= self.most:
            raise self.world.broken(f"{what}, and so are {[each.name for each in out]}")
        for other in self.workers:
            if other is not worker and any(each.key == item.key for each in other.held.values()):
                raise self.world.broken(f"{what}, and {other.name} has messages of its group")
        if item.version is not None and item.version < key.acked:
            raise self.world.broken(f"{what} with version {item.version}, and {key.acked} was acknowledged")
        if is_mixed:
            return
        if self.most == 1 and item.number < key.newest:
            raise self.world.broken(f"{what} after number {key.newest} of its group")
        # The broker may not have seen the return of an earlier one when it sent this one.
        out += worker.returning.values()
        for each in key.items[: item.number]:
            if each.is_over or self._may_have_left(each) or any(each is held for held in out):
                continue
            if key.discards:
                key.discards -= 1
                each.is_over = True
            else:
                raise self.world.broken(f"{what}, and {each.name} of its group comes first")

    def _may_have_left(self, item: Item) -> bool:
        """Return whether a message may have left the queue for good without a client's settlement."""
        if self.plan_["leaves"]:
            return True
        if item.version is not None and item.key is not None and item.version < self.keys[item.key].acked_ever:
            return True
        return self.on_dead == "skip" and item.returns > self.limit

    def acked(self, item: Item) -> None:
        """Note that a worker has sent an acknowledgement."""
        item.is_over = True
        if item.version is not None and item.key is not None:
            key = self.keys[item.key]
            key.acked_ever = max(key.acked_ever, item.version)

    def surely_acked(self, item: Item) -> None:
        """Note that the broker has handled an acknowledgement."""
        if item.version is not None and item.key is not None:
            key = self.keys[item.key]
            if key.life == item.life == self.world.life:
                key.acked = max(key.acked, item.version)

    def failed(self, item: Item) -> None:
        """Note that a worker has rejected a message for good."""
        item.failures += 1
        if self.on_dead == "skip" or item.key is None:
            item.is_over = True

    def died(self, name: str, reasons: list[str]) -> None:
        """Check a dead letter. Raises BrokenError."""
        item = self.items[name]
        item.arrived = item.is_over = True
        reason = reasons[0]
        what = f"{self.name}: {name} of {item.key} is dead-lettered with the reason {reason}"
        if self.world.tore_groups:
            return
        if reason not in REASONS:
            raise self.world.broken(what)
        if reason == "superseded":
            assert item.key is not None
            assert item.version is not None
            if item.version >= self.keys[item.key].acked_ever:
                raise self.world.broken(f"{what}, and no later version was acknowledged")
        elif reason in ("rejected", "delivery_limit") and self.on_dead != "skip" and item.key is not None:
            raise self.world.broken(f"{what}, although this stops its group")


class Worker(Client):
    """Holds each message for a while, and settles it in any way. hurries: it acknowledges everything.

    held: by delivery tag. returning: messages that the broker may not know to be returned.
    """

    def __init__(self, workload: Groups, name: str, prefetch: int) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._prefetch = prefetch
        self._failing: float = workload.plan_["failing"]
        self.hurries = False
        self.consumes = False
        self.held: dict[int, Item] = {}
        self.returning: dict[int, Item] = {}

    def opened(self) -> None:
        self.held.clear()
        self.returning.clear()
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(lambda _: None, "basic.qos-ok", 1, "basic.qos", prefetch_count=self._prefetch)
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=self._workload.name, consumer_tag="w")

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def disconnected(self) -> None:
        self.consumes = False
        self.held.clear()
        self._workload.cut()

    def received(self, got: Received) -> None:
        if got.name != "basic.deliver" or got.body is None:
            raise self.world.broken(f"{self.name} received {got}")
        item = self._workload.delivered(self, got.body.decode())
        tag, incarnation = got.arguments["delivery_tag"], self._incarnation
        self.held[tag] = item
        self.world.scheduler.after(self.chance.randint(*HELD_NS), lambda: self._settle(tag, incarnation))

    def _settle(self, tag: int, incarnation: int) -> None:
        if not self.open or incarnation != self._incarnation or tag not in self.held:
            return
        item = self.held.pop(tag)
        how = "ack" if self.hurries or self.chance.random() > self._failing else self.chance.choice(HOWS)
        match how:
            case "ack":
                self._workload.acked(item)
                self.send(1, "basic.ack", delivery_tag=tag)
                if self.chance.random() < 0.5:
                    proven = self._workload.surely_acked
                    self.call(lambda _: proven(item), "channel.flow-ok", 1, "channel.flow", active=True)
            case "fail":
                self._workload.failed(item)
                self.send(1, "basic.reject", delivery_tag=tag, requeue=False)
            case _:
                item.returns += 1
                name = "basic.reject" if how == "requeue" else "basic.nack"
                self.send(1, name, delivery_tag=tag, requeue=True)
        if how != "ack" and self._workload.most > 1:
            self.returning[tag] = item
            self.call(lambda _: self.returning.pop(tag, None), "channel.flow-ok", 1, "channel.flow", active=True)


class Undertaker(Client):
    """Acknowledges dead letters. Letters of a closed group come back, so it waits until all groups are open."""

    def __init__(self, workload: Groups, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._waits = workload.on_dead == "follow"
        self.consumes = False

    def opened(self) -> None:
        self._workload.declare(self, self._begin)

    def begin(self) -> None:
        """Begin now, or with the next connection."""
        if self._waits:
            self._waits = False
            if self.open:
                self._begin()

    def _begin(self) -> None:
        if not self._waits:
            queue = self._workload.dead
            self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=queue, consumer_tag="d")

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def disconnected(self) -> None:
        self.consumes = False

    def received(self, got: Received) -> None:
        assert got.body is not None
        assert got.properties is not None
        deaths = [death.value for death in got.properties["headers"]["x-death"].value]
        self._workload.died(got.body.decode(), [bytes(death["reason"].value).decode() for death in deaths])
        self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])


class Operator(HttpClient):
    """Redrives stopped groups, and discards the first message of some."""

    def __init__(self, workload: Groups, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._state = "closed" if workload.on_dead == "follow" else "parked"
        self._resumes = False
        #: Number of looks at the end in which no group was stopped and nothing was left.
        self.is_at_rest = False

    def begin(self) -> None:
        """Do nothing before the first step."""

    def do_resume(self, discards: bool) -> None:
        """Redrive one stopped group."""
        self._list(lambda keys: self._redrive(self.chance.choice(keys), discards) if keys else None)

    def resume_all(self) -> None:
        """Redrive all stopped groups, until there are none, and nothing can stop one."""
        self._resumes = True
        self._look()

    def _look(self) -> None:
        def found(keys: list[str]) -> None:
            for key in keys:
                self._redrive(key, False)
            if not keys and self._workload.publisher.idle and self.world.are_empty(self._workload.name):
                self.is_at_rest = True
                self._workload.undertaker.begin()
            else:
                self.world.scheduler.after(LOOK_NS, self._look)

        self._list(found)

    def _list(self, then: Callable[[list[str]], None]) -> None:
        def answered(answer: Answer | None) -> None:
            if answer is not None and answer.status == 200:
                then([row["key"] for row in answer.json])
            elif self._resumes:
                self.world.scheduler.after(1 * SECOND, self._look)

        self.request("GET", path("queues", "/", self._workload.name, "groups", state=self._state), answered)

    def _redrive(self, key: str, discards: bool) -> None:
        """Redrive a group. A discarded message is known only if a later one of its group is delivered.

        A crash that tears the return of a letter may store it without the lower count of letters that are missing.
        Then, at the end, only a forced redrive opens the group.
        """
        known = self._workload.keys.get(key)
        if known is None:
            raise self.world.broken(f"{self.name}: the group {key} is stopped, and there is no such key")
        known.discards += discards

        def answered(answer: Answer | None) -> None:
            if answer is None:
                return
            # 202: goes on. 404, 409: another request was first.
            if answer.status not in (200, 202, 404, 409, 503):
                raise self.world.broken(f"{self.name}: the redrive of {key} is answered with {answer}")
            if answer.status not in (200, 202):
                known.discards -= discards

        what = "discard" if discards else "redrive"
        body: dict[str, Any] = {"key": key}
        if self._resumes and self.world.tore_groups:
            body["force"] = True
        self.request("POST", path("queues", "/", self._workload.name, "groups", what), answered, body)
