"""Messages through exchanges while bindings, queues and exchanges change: each reaches exactly its queues.

A message that is routed while a binding changes may be routed either way; before and after that it must not.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.ledger import Ledger
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.bindings import Address, Binding, Reached, Topology, is_safe
from tests.simulation.workloads.publisher import ConfirmingPublisher, name_of
from tests.simulation.world import World

TYPES = ("direct", "topic", "fanout", "headers")
KEYS = ("a", "b", "a.b", "a.b.c", "")
PATTERNS = ("a", "b", "a.b", "#", "*", "a.*", "*.b", "a.#", "#.c", "*.*.*")
HEADERS = ("h1", "h2", "h3")
VALUES = ("v", "w")
#: Interval at which a client checks whether the broker has detected the end of its last connection.
LOOK_NS = 20 * MS


@dataclass
class Sent:
    """One published message.

    exchange: to which it was published. at: time of the publish. reached: its queues, known when it is confirmed.
    returned: by the broker.
    """

    exchange: str
    at: int
    address: Address
    hidden: int
    mandatory: bool
    reached: Reached | None = None
    confirmed_at: int = -1
    returned: bool = False


@dataclass
class Deleted:
    """The last completed deletion of a queue. asked: when it was sent. done: when it was answered."""

    asked: int = -1
    done: int = -1


class Routing(Workload):
    """A client that binds, unbinds and deletes, publishers with confirms, and one consumer of all the queues."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._kind: str = plan["kind"]
        self._persistent: float = plan["persistent"]
        self.entry, inner, spare = f"{name}-x", f"{name}-y", f"{name}-spare"
        #: Exchanges that messages are published to.
        self.entries = [self.entry, inner] if plan.get("both", False) else [self.entry]
        self.queues = [f"{name}-q{i}" for i in range(plan["queues"])]
        types = {self.entry: plan["type"], inner: plan["inner_type"], spare: "fanout"}
        alternates = {self.entry: spare} if plan["alternate"] else {}
        bindings = self._bindings(world.chance(f"{name} bindings"), types, plan["bindings"])
        self.topology = Topology(types, alternates, bindings, world.deaths)
        self.ledgers = {queue: Ledger(world, queue) for queue in self.queues}
        self.deleted = {queue: Deleted() for queue in self.queues}
        self._sent: dict[str, Sent] = {}
        self.binder = Binder(self)
        self.consumer = RoutingConsumer(self)
        self.publishers = [self._publisher(f"{name}p{i}") for i in range(plan["publishers"])]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "kind": chance.choice(("classic", "classic", "quorum")),
            "persistent": chance.choice((0.0, 0.5, 1.0)),
            "type": chance.choice(TYPES),
            "inner_type": chance.choice(TYPES),
            "both": chance.random() < 0.7,
            "alternate": chance.random() < 0.5,
            "queues": chance.choice((1, 2, 3, 5)),
            "bindings": chance.choice((3, 8, 20)),
            "publishers": chance.randint(1, 2),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = []
        for i in range(settings["publishers"]):
            for _ in range(chance.choice((5, 30, 100))):
                arguments = (chance.choice((1, 1, 5)), chance.random() < 0.5)
                steps.append(Step(chance.randint(0, end_ms), f"{name}p{i}", "publish", arguments))
        for _ in range(chance.choice((0, 5, 20))):
            verb = chance.choice(("toggle", "toggle", "toggle", "toggle", "delete_queue", "delete_exchange"))
            steps.append(Step(chance.randint(0, end_ms), f"{name}b", verb, (chance.randrange(100),)))
        clients = [f"{name}b", f"{name}c", *(f"{name}p{i}" for i in range(settings["publishers"]))]
        return steps + troubles(chance, end_ms, clients)

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.binder, self.consumer, *self.publishers

    def is_done(self) -> bool:
        idle = all(publisher.idle for publisher in self.publishers)
        return idle and self.binder.idle and self.consumer.idle and self.world.are_empty(*self.ledgers)

    def check(self) -> None:
        for ledger in self.ledgers.values():
            ledger.check()

    # --- topology -----------------------------------------------------------------------------------------------------

    def _bindings(self, chance: random.Random, types: dict[str, str], count: int) -> list[Binding]:
        """Return possible bindings: between the exchanges, and from each of them to queues."""
        entry, inner, spare = types
        pairs = [(entry, inner, True), (inner, entry, True), (spare, chance.choice(self.queues), False)]
        pairs += [(chance.choice((entry, inner)), chance.choice(self.queues), False) for _ in range(count)]
        bindings: dict[tuple[str, str, str, str], Binding] = {}
        for source, destination, to_exchange in pairs:
            binding = Binding(source, destination, to_exchange, wanted=chance.random() < 0.7)
            if types[source] == "headers":
                names = chance.sample(HEADERS, chance.choice((1, 2, 2, 3)))
                binding.headers = {name: chance.choice(VALUES) for name in names}
                binding.any_header = chance.random() < 0.3
            elif types[source] == "topic":
                binding.pattern = chance.choice(PATTERNS)
            else:
                binding.pattern = chance.choice(KEYS)
            # As to RabbitMQ, the order of the arguments does not distinguish bindings.
            arguments = sorted(binding.arguments.items())
            bindings.setdefault((source, destination, binding.pattern, str(arguments)), binding)
        return list(bindings.values())

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare exchanges and queues, without the bindings."""
        for exchange in self.topology.types:
            self.declare_exchange(client, exchange)
        for queue in self.queues[:-1]:
            self.declare_queue(client, queue, lambda: None)
        self.declare_queue(client, self.queues[-1], then)

    def declare_exchange(self, client: Client, name: str) -> None:
        alternate = self.topology.alternates.get(name)
        client.call(
            lambda _: None,
            "exchange.declare-ok",
            1,
            "exchange.declare",
            exchange=name,
            exchange_type=self.topology.types[name],
            durable=True,
            arguments={} if alternate is None else {"alternate-exchange": longstr(alternate)},
        )

    def declare_queue(self, client: Client, name: str, then: Callable[[], None]) -> None:
        arguments = {"x-queue-type": longstr(self._kind)}
        client.declare_queue(then, name, arguments)

    # --- messages -----------------------------------------------------------------------------------------------------

    def _publisher(self, name: str) -> ConfirmingPublisher:
        chance = self.world.chance(f"{name} messages")

        def made(message: str, mandatory: bool) -> bytes:
            return self._made(chance, message, mandatory)

        return ConfirmingPublisher(self.world, name, self.declare, made, self._on_confirmed, returned=self._on_returned)

    def _made(self, chance: random.Random, message: str, mandatory: bool) -> bytes:
        key = chance.choice(KEYS)
        cc = [chance.choice(KEYS) for _ in range(chance.choice((0, 0, 0, 1, 2)))]
        bcc = [chance.choice(KEYS) for _ in range(chance.choice((0, 0, 0, 1)))]
        headers = {name: chance.choice(VALUES) for name in HEADERS if chance.random() < 0.5}
        table = {name: longstr(value) for name, value in headers.items()}
        table |= {name: Field("A", [longstr(key) for key in keys]) for name, keys in (("CC", cc), ("BCC", bcc)) if keys}
        exchange = chance.choice(self.entries)
        address = Address((key, *cc, *bcc), headers)
        self._sent[message] = Sent(exchange, self.world.scheduler.now, address, len(bcc), mandatory)
        persistent = chance.random() < self._persistent
        for ledger in self.ledgers.values():
            ledger.published(message, persistent or self._kind == "quorum")
        properties: dict[str, Any] = {"headers": table} if table else {}
        if persistent:
            properties["delivery_mode"] = 2
        return published(key, message.encode(), exchange, mandatory=mandatory, **properties)

    def _reached(self, sent: Sent) -> Reached:
        return sent.reached or self.topology.reached(sent.exchange, sent.address, sent.at)

    def _on_confirmed(self, message: str) -> None:
        sent = self._sent[message]
        sent.reached = reached = self._reached(sent)
        sent.confirmed_at = self.world.scheduler.now
        if sent.returned:
            return
        if sent.mandatory and not reached.may:
            raise self.world.broken(f"{self.name}: {message} has no route, and was confirmed without a return")
        for queue in reached.must:
            # A deletion that is not answered yet may have removed the message.
            self.ledgers[queue].confirmed(message)

    def _on_returned(self, message: str, got: Received) -> None:
        sent = self._sent[message]
        if not sent.mandatory or sent.returned:
            raise self.world.broken(f"{self.name}: {message} is returned, mandatory {sent.mandatory}")
        arguments = got.arguments
        told = arguments["reply_code"], arguments["exchange"], arguments["routing_key"]
        if told != (312, sent.exchange, sent.address.keys[0]):
            raise self.world.broken(f"{self.name}: {message} is returned with {told}")
        must = self._reached(sent).must
        if must:
            raise self.world.broken(f"{self.name}: {message} is returned, and has a route to {list(must)}")
        sent.returned = True

    def delivered(self, queue: str, got: Received, consumed_at: int, receiver: object) -> None:
        """Check one delivery. consumed_at: time of the request of its consumer. Raises BrokenError."""
        message = name_of(got.body)
        self.ledgers[queue].delivered(message, got.arguments["redelivered"], receiver)
        sent = self._sent[message]
        if sent.returned:
            raise self.world.broken(f"{self.name}: {message} was returned, and is in {queue}")
        if queue not in self._reached(sent).may:
            raise self.world.broken(f"{self.name}: {message} is in {queue}, to which it has no route")
        deleted = self.deleted[queue]
        gone = deleted.done < consumed_at and is_safe(deleted.done, self.world.deaths)
        if 0 <= sent.confirmed_at < deleted.asked and gone:
            raise self.world.broken(f"{self.name}: {message} is in {queue} that was deleted since")
        assert got.properties is not None
        keys = [got.arguments["routing_key"].encode()]
        headers = got.properties.get("headers", {})
        if "CC" in headers:
            keys += [key.value for key in headers["CC"].value]
        shown = sent.address.keys[: len(sent.address.keys) - sent.hidden]
        if got.arguments["exchange"] != sent.exchange or keys != [key.encode() for key in shown] or "BCC" in headers:
            raise self.world.broken(f"{self.name}: {message} was published to {shown}, and says {got}")


class Binder(Client):
    """Binds, unbinds and deletes, one after the other. idle: no operation is in progress."""

    def __init__(self, routing: Routing) -> None:
        super().__init__(routing.world, f"{routing.name}b")
        self._routing = routing
        self._waiting: list[Callable[[], None]] = []
        self._ready = False
        self._busy = False

    @property
    def idle(self) -> bool:
        return self._ready and not self._busy and not self._waiting

    def do_toggle(self, number: int) -> None:
        """Bind an unbound binding, or unbind a bound one."""
        bindings = self._routing.topology.bindings
        binding = bindings[number % len(bindings)]

        def toggle() -> None:
            binding.wanted = not binding.wanted
            self._bind([binding])

        self._act(toggle)

    def do_delete_queue(self, number: int) -> None:
        """Delete a queue, and create it and its bindings again."""
        routing = self._routing
        queue = routing.queues[number % len(routing.queues)]
        self._act(lambda: self._delete(queue, is_exchange=False))

    def do_delete_exchange(self, number: int) -> None:
        """Delete one of the exchanges without publishers, and create it and its bindings again."""
        others = [name for name in self._routing.topology.types if name not in self._routing.entries]
        exchange = others[number % len(others)]
        self._act(lambda: self._delete(exchange, is_exchange=True))

    def opened(self) -> None:
        if self.world.ignores(self):
            self._routing.declare(self, self._settle)
            return
        # Methods that were sent on the last connection may still take effect.
        incarnation = self._incarnation
        self.world.scheduler.after(LOOK_NS, lambda: self._look_again(incarnation))

    def received(self, got: Received) -> None:
        raise self.world.broken(f"{self.name} received {got}")

    def disconnected(self) -> None:
        self._ready = self._busy = False

    def _look_again(self, incarnation: int) -> None:
        if self.open and incarnation == self._incarnation:
            self.opened()

    def _settle(self) -> None:
        """Bind or unbind every binding in an uncertain state."""
        self._ready = True
        self._busy = True
        self._bind(self._routing.topology.unsettled)

    def _act(self, action: Callable[[], None]) -> None:
        self._waiting.append(action)
        self._next()

    def _next(self) -> None:
        if self._ready and not self._busy and self._waiting:
            self._busy = True
            self._waiting.pop(0)()

    def _done(self) -> None:
        self._busy = False
        self._next()

    def _bind(self, bindings: list[Binding]) -> None:
        """Bind or unbind each of these, as wanted."""
        left = [len(bindings)]

        def answered(binding: Binding) -> None:
            binding.change(binding.wanted, self.world.scheduler.now)
            left[0] -= 1
            if not left[0]:
                self._done()

        for binding in bindings:
            binding.change(None, self.world.scheduler.now)
            name = f"{'exchange' if binding.to_exchange else 'queue'}.{'bind' if binding.wanted else 'unbind'}"
            ends: dict[str, Any] = {"source": binding.source, "destination": binding.destination}
            if not binding.to_exchange:
                ends = {"exchange": binding.source, "queue": binding.destination}
            self.call(
                lambda _, binding=binding: answered(binding),  # type: ignore[misc]
                f"{name}-ok",
                1,
                name,
                routing_key=binding.pattern,
                arguments=binding.arguments,
                **ends,
            )
        if not bindings:
            self._done()

    def _delete(self, name: str, is_exchange: bool) -> None:
        routing = self._routing
        asked = self.world.scheduler.now
        lost = [binding for binding in routing.topology.bindings if name in (binding.source, binding.destination)]
        for binding in lost:
            binding.change(None, asked)
        if not is_exchange:
            routing.ledgers[name].deleted()

        def deleted(_: Received) -> None:
            now = self.world.scheduler.now
            for binding in lost:
                binding.change(False, now)
            if is_exchange:
                routing.declare_exchange(self, name)
            else:
                routing.deleted[name] = Deleted(asked, now)
                routing.declare_queue(self, name, lambda: None)
            self._bind([binding for binding in lost if binding.wanted])

        if is_exchange:
            self.call(deleted, "exchange.delete-ok", 1, "exchange.delete", exchange=name)
        else:
            self.call(deleted, "queue.delete-ok", 1, "queue.delete", queue=name)


class RoutingConsumer(Client):
    """Consumes from every queue, and acknowledges or requeues what comes."""

    def __init__(self, routing: Routing) -> None:
        super().__init__(routing.world, f"{routing.name}c")
        self._routing = routing
        self._consumes: dict[str, int] = {}
        self._consumers = 0

    @property
    def idle(self) -> bool:
        return self.open and len(self._consumes) == len(self._routing.queues)

    def opened(self) -> None:
        self._routing.declare(self, self._declared)

    def _declared(self) -> None:
        for queue in self._routing.queues:
            self._consume(queue)

    def _consume(self, queue: str) -> None:
        asked = self.world.scheduler.now
        self._consumers += 1
        # The tag identifies the consumer of a delivery.
        tag = f"{queue} {self._consumers} {asked}"

        def consuming(_: Received) -> None:
            self._consumes[queue] = asked

        self.call(consuming, "basic.consume-ok", 1, "basic.consume", queue=queue, consumer_tag=tag)

    def received(self, got: Received) -> None:
        queue, number, asked = got.arguments["consumer_tag"].split(" ")
        self._routing.delivered(queue, got, int(asked), (self.name, number))
        tag = got.arguments["delivery_tag"]
        if self.chance.random() < 0.1:
            self.send(1, "basic.reject", delivery_tag=tag, requeue=True)
        else:
            self._routing.ledgers[queue].dismissed(name_of(got.body))
            self.send(1, "basic.ack", delivery_tag=tag)

    def cancelled(self, got: Received) -> None:
        queue = got.arguments["consumer_tag"].split(" ")[0]
        self._consumes.pop(queue, None)
        self._routing.declare_queue(self, queue, lambda: self._consume(queue))

    def disconnected(self) -> None:
        self._consumes.clear()
