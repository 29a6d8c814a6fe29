"""A queue with a length limit: it enforces the limit, and messages over it go to their destination."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.ledger import Ledger
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.deaths import MANY_RETURNS, Death, deaths_of
from tests.simulation.workloads.publisher import ConfirmingPublisher, name_of
from tests.simulation.world import POWER, STOPPED, World

SIZES = (0, 0, 50, 1000)
LIMITS = {"x-max-length": (0, 1, 5, 30), "x-max-length-bytes": (40, 300, 5000)}
#: Quorum queues do not support this, and drop their head.
REJECT_DLX = ("quorum", "reject-publish-dlx")
SETTLINGS = ("ack", "ack_all", "requeue", "requeue_all")


@dataclass
class Sent:
    """One published message. life: of the broker. published_ns: time. size: of the body.

    persistent: it outlives a broker. letters_last: its dead letters do, too. out_life: in which it was delivered, and
    not returned since. dead_life: in which its dead letter was delivered.
    """

    life: int
    published_ns: int
    size: int
    persistent: bool
    letters_last: bool
    confirmed: bool = False
    refused: bool = False
    delivered: bool = False
    out_life: int = 0
    dead_life: int = 0


class Limits(Workload):
    """Publishers with confirms, a queue with a limit, its consumer, and a consumer of the dead letters.

    plan["consumes"]: its consumer starts before everything else is complete. plan["copies"]: dead letters go to two
    queues.
    """

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._kind: str = plan["kind"]
        self._overflow: str = "drop-head" if (self._kind, plan["overflow"]) == REJECT_DLX else plan["overflow"]
        self._asked_overflow: str = plan["overflow"]
        self._limit_name, self._limit = plan["limit"]
        self._dlx: bool = plan["dlx"]
        self._persistent: float = plan["persistent"]
        self.consumes: bool = plan["consumes"]
        self._copies: bool = plan.get("copies", False)
        self._sent: dict[str, Sent] = {}
        #: Messages whose dead letter was delivered from the second queue.
        self._copied: dict[str, None] = {}
        #: True once a message was published to the empty queue at the end.
        self._probes = False
        self._largest = 0
        #: True while no client has consumed from the queue.
        self._untouched = not self.consumes
        self._finished_untouched = False
        self._ledger = Ledger(world, name)
        self._dead = Ledger(world, self.dead_queue)
        self.publishers = [self._publisher(f"{name}p{i}") for i in range(plan["publishers"])]
        self.consumer = LimitConsumer(self, plan["prefetch"])
        self.undertaker = Undertaker(self)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        limit = chance.choice(list(LIMITS))
        return {
            "kind": chance.choice(("classic", "quorum")),
            "overflow": chance.choice(("drop-head", "reject-publish", "reject-publish", "reject-publish-dlx")),
            "limit": (limit, chance.choice(LIMITS[limit])),
            "dlx": chance.random() < 0.7,
            "copies": chance.random() < 0.7,
            "persistent": chance.choice((0.5, 1.0, 1.0)),
            "consumes": chance.random() < 0.5,
            "prefetch": chance.choice((0, 1, 10)),
            "publishers": chance.randint(1, 2),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = []
        for i in range(settings["publishers"]):
            for _ in range(chance.choice((1, 5, 30))):
                arguments = (chance.choice((1, 1, 10, 50)), chance.choice(SIZES))
                steps.append(Step(chance.randint(0, end_ms), f"{name}p{i}", "publish", arguments))
        if settings["consumes"]:
            steps += [
                Step(chance.randint(0, end_ms), f"{name}c", "settle", (chance.choice(SETTLINGS),))
                for _ in range(chance.choice((3, 30)))
            ]
        clients = [f"{name}d", *(f"{name}p{i}" for i in range(settings["publishers"]))]
        if settings["consumes"]:
            clients.append(f"{name}c")
        return steps + troubles(chance, end_ms, clients)

    @property
    def dead_queue(self) -> str:
        return f"{self.name}-dead"

    @property
    def letter_queues(self) -> tuple[str, ...]:
        """Return the queues that dead letters go to."""
        return (self.dead_queue, f"{self.dead_queue}2") if self._copies else (self.dead_queue,)

    @property
    def clients(self) -> tuple[Client, ...]:
        return *self.publishers, self.consumer, self.undertaker

    def rest(self) -> None:
        self._look(self._check_rest, self._untouched)
        # Nothing is dropped after this.
        self._finished_untouched = self._untouched and all(publisher.idle for publisher in self.publishers)
        self._untouched = False
        self.consumer.acknowledge_all()

    def is_done(self) -> bool:
        idle = all(publisher.idle for publisher in self.publishers)
        consume = self.consumer.idle and self.undertaker.idle
        if not idle or not consume or not self.world.are_empty(self.name, *self.letter_queues):
            return False
        if not self._probes and self._overflow != "drop-head":
            # An empty queue accepts a message again, although it has refused others.
            self._probes = True
            self.publishers[0].do_publish(1, 0)
            return False
        return True

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queues."""
        arguments = {
            "x-queue-type": longstr(self._kind),
            "x-overflow": longstr(self._asked_overflow),
            self._limit_name: Field("I", self._limit),
        }
        if self._kind == "quorum":
            arguments["x-delivery-limit"] = MANY_RETURNS
        exchange = f"{self.name}-dlx" if self._copies else ""
        if self._dlx:
            arguments["x-dead-letter-exchange"] = longstr(exchange)
            arguments["x-dead-letter-routing-key"] = longstr(self.dead_queue)
        if exchange:
            self._call(client, "exchange.declare", exchange=exchange, exchange_type="fanout", durable=True)
        for name in self.letter_queues:
            self._call(client, "queue.declare", queue=name, durable=True)
            if exchange:
                self._call(client, "queue.bind", queue=name, exchange=exchange)
        client.declare_queue(then, self.name, arguments)

    @staticmethod
    def _call(client: Client, name: str, **arguments: Any) -> None:
        client.call(lambda _: None, f"{name}-ok", 1, name, **arguments)

    # --- messages -----------------------------------------------------------------------------------------------------

    def _publisher(self, name: str) -> ConfirmingPublisher:
        chance = self.world.chance(f"{name} messages")

        def made(message: str, size: int) -> bytes:
            persistent = chance.random() < self._persistent
            # A quorum queue stores every message; the queue of dead letters is a classic queue.
            lasts = persistent or (self._kind == "quorum" and self._overflow != "drop-head")
            body = message.encode() + b" " * size
            self._sent[message] = Sent(self.world.life, self.world.scheduler.now, len(body), lasts, persistent)
            self._largest = max(self._largest, len(body))
            for ledger in (self._ledger, self._dead):
                ledger.published(message, lasts)
            return published(self.name, body, **({"delivery_mode": 2} if persistent else {}))

        return ConfirmingPublisher(self.world, name, self.declare, made, self._on_confirmed, self._on_refused)

    def _on_confirmed(self, message: str) -> None:
        self._sent[message].confirmed = True
        self._check_length()

    def _on_refused(self, message: str) -> None:
        sent = self._sent[message]
        if self._probes and (self._kind == "quorum" or self._limit):
            raise self.world.broken(f"{self.name}: {message} is refused, and the queue is empty")
        if self._overflow == "drop-head":
            raise self.world.broken(f"{self.name}: {message} is refused by a queue that drops its head")
        before = [one for one in self._sent.values() if not one.refused and one is not sent]
        count, size = len(before), sum(one.size for one in before)
        fits = count < self._limit if self._counts else size + sent.size <= self._limit
        if fits:
            raise self.world.broken(f"{self.name}: {message} is refused, and {count} messages of {size} bytes came")
        sent.refused = True
        self._check_length()

    @property
    def _counts(self) -> bool:
        return self._limit_name == "x-max-length"

    def delivered(self, message: str, redelivered: bool, receiver: object) -> None:
        """Check one delivery from the queue. Raises BrokenError."""
        self._ledger.delivered(message, redelivered, receiver)
        sent = self._sent[message]
        if sent.refused:
            raise self.world.broken(f"{self.name}: {message} was refused, and is delivered")
        if sent.dead_life == self.world.life and not self.world.tore_groups:
            raise self.world.broken(f"{self.name}: {message} is dead, and is delivered")
        sent.delivered = True
        sent.out_life = self.world.life

    def returned(self, message: str) -> None:
        """The message is, or may be, in the queue again."""
        self._sent[message].out_life = 0

    def buried(self, got: Received, receiver: object) -> None:
        """Check one dead letter. Raises BrokenError."""
        message = name_of(got.body)
        # After returns the order is theirs. If several are dropped at once, as after a crash that undid drops, a quorum
        # queue dead-letters the last one first.
        one_by_one = self._counts and not self.world.deaths and not self.world.disk.failures
        if self._untouched and (one_by_one or self._kind == "classic"):
            self._dead.delivered(message, got.arguments["redelivered"], receiver)
        sent = self._sent[message]
        told = deaths_of(got.properties)
        if told != [Death(self.name, "maxlen", 1, "", (self.name,), None)]:
            raise self.world.broken(f"{self.name}: {message} comes as a dead letter with {told}")
        if not self._dlx or self._overflow == "reject-publish":
            raise self.world.broken(f"{self.name}: {message} arrives as a dead letter, although there are none")
        if self._overflow == "reject-publish-dlx" and sent.confirmed:
            raise self.world.broken(f"{self.name}: {message} was confirmed, and comes as a dead letter")
        # A broker that stops, or that closes a slow client, requeues deliveries before the client is notified.
        is_out = sent.out_life == self.world.life and not self.world.is_stopping
        if is_out and not self._may_have_timed_out() and not self.world.tore_groups:
            raise self.world.broken(f"{self.name}: {message} is delivered, and comes as a dead letter meanwhile")
        sent.dead_life = self.world.life

    def copied(self, got: Received) -> None:
        """Note a dead letter in the second queue."""
        self._copied[name_of(got.body)] = None

    def _may_have_timed_out(self) -> bool:
        """Return whether the broker may have requeued what the consumer holds: one of the messages is that old."""
        life = self.world.life
        held = [sent for sent in self._sent.values() if sent.out_life == life]
        return any(self.world.may_have_timed_out(sent.published_ns) for sent in held)

    # --- checks -------------------------------------------------------------------------------------------------------

    def _check_length(self) -> None:
        """Check in the broker's loop whether the queue exceeds its limit."""
        self._look(self._check_length_of, self._untouched)

    def _look(self, check: Callable[[Any, bool], None], untouched: bool) -> None:
        """Check the queue between two calls of the broker's loop, which may wait for the disk now."""
        process = self.world.process
        if process is None:
            return

        def look() -> None:
            queue = process.broker.vhosts["/"].queues.get(self.name)
            if queue is not None:
                check(queue, untouched)

        process.loop.call_soon(look)

    def _check_length_of(self, queue: Any, untouched: bool) -> None:
        if self._overflow != "drop-head" and not untouched:
            return  # a queue that rejects retains returned messages
        if queue._read_retry is not None and queue._read_retry._timer is not None:
            return  # its head cannot be read, and is dropped later
        if queue.limit._timer is not None:
            return  # more than one iteration of the event loop may drop: the others follow
        held, unit = (queue.ready_count, 1) if self._counts else (queue.ready.size, self._largest)
        # A quorum queue that rejects accepts the message that exceeds its limit.
        most = self._limit + (unit if self._kind == "quorum" and self._overflow != "drop-head" else 0)
        if held > most:
            raise self.world.broken(f"{self.name}: {held} are ready in a queue with {self._limit_name} {self._limit}")

    def _check_rest(self, queue: Any, untouched: bool) -> None:
        """Raise BrokenError if a queue without consumers has dropped more than necessary."""
        self._check_length_of(queue, untouched)
        if not untouched or self.world.tore_groups or self._overflow != "drop-head":
            return
        if self._persistent < 1.0 and self.world.life > 1:  # others have replaced the remaining ones
            return
        sizes = [sent.size for sent in self._sent.values() if sent.confirmed and sent.persistent]
        if self._counts:
            if queue.ready_count < min(len(sizes), self._limit):
                raise self.world.broken(f"{self.name}: {queue.ready_count} of {len(sizes)} are left")
        elif sizes and queue.ready.size < min(sum(sizes), self._limit - self._largest + 1):
            raise self.world.broken(f"{self.name}: {queue.ready.size} of {sum(sizes)} bytes are left")

    def _check_copies(self) -> None:
        """Raise BrokenError if a dead letter has come from the first queue only.

        A crash may have undone a letter that was delivered from it, and a power failure also a binding.
        """
        deaths = self.world.deaths
        if not self._copies or self.world.tore_groups or any(death.kind == POWER for death in deaths):
            return
        never_crashed = all(death.kind == STOPPED for death in deaths)
        for message, sent in self._sent.items():
            is_certain = sent.dead_life == self.world.life or (sent.dead_life and never_crashed)
            if sent.letters_last and is_certain and message not in self._copied:
                raise self.world.broken(f"{self.name}: the dead letter of {message} is in one queue of two")

    def check(self) -> None:
        self._check_copies()
        # A crash may fall between the drops of a quorum queue, which drops the last of several messages first.
        in_order = self._kind == "classic" or not self.world.deaths
        untouched = self._finished_untouched and not self.world.tore_groups and in_order
        buries = self._dlx and self._overflow == "reject-publish-dlx"
        first_left: dict[str, int] = {}
        for message, sent in self._sent.items():
            lives = sent.persistent or sent.life == self.world.life
            publisher, number = message.rsplit("-", 1)
            if sent.delivered:
                first_left.setdefault(publisher, int(number))
            elif sent.confirmed and lives:
                drops = self._overflow == "drop-head"
                if not drops or (self._dlx and not sent.dead_life):
                    raise self.world.broken(f"{self.name}: {message} was confirmed, and is lost")
                if untouched and publisher in first_left and sent.persistent:
                    left = first_left[publisher]
                    raise self.world.broken(f"{self.name}: {message} was dropped, and {publisher}-{left} was not")
            elif sent.refused and sent.life == self.world.life and buries and not sent.dead_life:
                raise self.world.broken(f"{self.name}: {message} was refused, and is no dead letter")


class LimitConsumer(Client):
    """Consumes from the queue, from the start or at the end, and settles on request."""

    def __init__(self, limits: Limits, prefetch: int) -> None:
        super().__init__(limits.world, f"{limits.name}c")
        self._limits = limits
        self._prefetch = prefetch
        self._unsettled: dict[int, str] = {}
        #: Messages received on this connection: their acknowledgements may be lost with it.
        self._received: list[str] = []
        self._acknowledges_all = False
        self._declared = False
        self._consumes = False

    @property
    def idle(self) -> bool:
        return self._consumes and not self._unsettled

    def opened(self) -> None:
        self._limits.declare(self, self._on_declared)

    def _on_declared(self) -> None:
        self._declared = True
        if self._limits.consumes or self._acknowledges_all:
            self._consume()

    def _consume(self) -> None:
        self.call(lambda _: None, "basic.qos-ok", 1, "basic.qos", prefetch_count=self._prefetch)
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=self._limits.name, consumer_tag="c")

    def _consuming(self, _: Received) -> None:
        self._consumes = True

    def do_settle(self, how: str) -> None:
        if not self.open or not self._unsettled:
            return
        tags = list(self._unsettled) if how.endswith("_all") else list(self._unsettled)[:1]
        if how.startswith("ack"):
            self.send(1, "basic.ack", delivery_tag=tags[-1], multiple=True)
        else:
            self.send(1, "basic.nack", delivery_tag=tags[-1], multiple=True, requeue=True)
        for tag in tags:
            message = self._unsettled.pop(tag)
            if not how.startswith("ack"):
                self._limits.returned(message)

    def acknowledge_all(self) -> None:
        """Consume, and acknowledge everything from now on."""
        self._acknowledges_all = True
        self.do_settle("ack_all")
        if self.open and self._declared and not self._limits.consumes:
            self._consume()

    def received(self, got: Received) -> None:
        message = name_of(got.body)
        self._limits.delivered(message, got.arguments["redelivered"], (self.name, self._incarnation))
        self._unsettled[got.arguments["delivery_tag"]] = message
        self._received.append(message)
        if self._acknowledges_all:
            self.do_settle("ack")

    def disconnected(self) -> None:
        self._consumes = self._declared = False
        for message in self._received:
            self._limits.returned(message)
        self._received.clear()
        self._unsettled.clear()


class Undertaker(Client):
    """Acknowledges dead letters. idle: it consumes from their queues."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits.world, f"{limits.name}d")
        self._limits = limits
        self.idle = False

    def opened(self) -> None:
        self._limits.declare(self, self._declared)

    def _declared(self) -> None:
        for queue in self._limits.letter_queues:
            self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=queue, consumer_tag=queue)

    def _consuming(self, got: Received) -> None:
        self.idle = got.arguments["consumer_tag"] == self._limits.letter_queues[-1]

    def received(self, got: Received) -> None:
        if got.arguments["consumer_tag"] == self._limits.dead_queue:
            self._limits.buried(got, (self.name, self._incarnation))
        else:
            self._limits.copied(got)
        self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])

    def disconnected(self) -> None:
        self.idle = False
