"""One client that receives from a classic queue in every possible way, and so sees the order of the queue."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from amqpbroker.compat import Permission
from amqpbroker.wire.values import Field
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.line import Line
from tests.simulation.workloads.publisher import ConfirmingPublisher
from tests.simulation.world import World

CHANNELS = (1, 2, 3)
#: Operations of the receiver; interesting ones are more frequent.
VERBS = (
    "consume",
    "consume",
    "cancel",
    "get",
    "settle",
    "settle",
    "settle",
    "settle",
    "recover",
    "close",
    "limit",
    "limit",
    "count",
)
SETTLINGS = ("ack", "ack_multiple", "ack_all", "ack_newest", "reject", "nack_newest", "nack_multiple", "nack_all")
PREFETCHES = (0, 1, 2, 5, 20)
#: The same for a whole channel.
LIMITS = (0, 1, 1, 2, 5)
#: Pause before the receiver checks again whether its former connection has ended.
ASK_AGAIN_NS = 50 * MS


class Order(Workload):
    """A queue with a publisher and a receiver."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.priorities: int = plan["priorities"]
        self._persistent: float = plan["persistent"]
        self.line = Line(world, name)
        self.publisher = ConfirmingPublisher(world, f"{name}p", self._declare, self._made, self.line.confirmed)
        self.receiver = Receiver(self)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {"priorities": chance.choice((0, 0, 2)), "persistent": chance.choice((0.0, 0.5, 1.0))}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice((1, 5, 30)),))
            for _ in range(chance.choice((1, 5, 20)))
        ]
        arguments: dict[str, Callable[[], tuple[Any, ...]]] = {
            "consume": lambda: (chance.choice(PREFETCHES), chance.randrange(6) == 0),
            "get": lambda: (chance.randrange(4) == 0,),
            "settle": lambda: (chance.choice(SETTLINGS),),
            "limit": lambda: (chance.choice(LIMITS),),
        }
        for _ in range(chance.choice((10, 60, 300))):
            verb = chance.choice(VERBS)
            given = (chance.choice(CHANNELS), *arguments.get(verb, tuple)())
            steps.append(Step(chance.randint(0, end_ms), f"{name}c", verb, given))
        if chance.random() < 0.4:
            steps += _returns_behind_pages(chance, end_ms, name)
        shortages = range(chance.choice((0, 0, 2)))
        steps += [Step(chance.randint(0, end_ms), "machine", "short_memory", (20_000,)) for _ in shortages]
        return steps + troubles(chance, end_ms, [f"{name}p", f"{name}c"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, self.receiver

    def rest(self) -> None:
        self.receiver.drain()

    def is_done(self) -> bool:
        at_rest = self.publisher.idle and self.receiver.drains and not self.line.held
        # Messages that were delivered without acknowledgement may still be on their way.
        return at_rest and self.world.are_empty(self.name) and self.line.missing() is None

    def check(self) -> None:
        self.line.check()

    def declare(self, client: Client, then: Callable[[Received], None]) -> None:
        """Declare the queue, which may have been lost with unsynced data."""
        arguments = {"x-max-priority": Field("I", self.priorities)} if self.priorities else {}
        client.call(then, "queue.declare-ok", 1, "queue.declare", queue=self.name, durable=True, arguments=arguments)

    def _declare(self, client: Client, then: Callable[[], None]) -> None:
        self.declare(client, lambda _: then())

    def _made(self, message: str) -> bytes:
        chance = self.publisher.chance
        persistent = chance.random() < self._persistent
        priority = chance.randint(0, self.priorities)
        self.line.published(message, persistent, priority)
        properties: dict[str, Any] = {"delivery_mode": 2} if persistent else {}
        if priority:
            properties["priority"] = priority
        return published(self.name, message.encode(), **properties)


def _returns_behind_pages(chance: random.Random, end_ms: int, name: str) -> list[Step]:
    """Return steps that return messages one by one while the queue has no consumer and moves them out of memory.

    Then a consumer comes, perhaps while the messages cannot be read.
    """
    number, at_ms = chance.choice(CHANNELS), chance.randint(0, max(0, end_ms - 9000))
    steps = [Step(at_ms, f"{name}p", "publish", (30,))]
    for each in CHANNELS:
        at_ms += chance.randint(50, 300)
        steps.append(Step(at_ms, f"{name}c", "cancel", (each,)))
    steps += [Step(at_ms + 100 * i, f"{name}c", "get", (number, False)) for i in range(1, 11)]
    steps.append(Step(at_ms + 1500, "machine", "short_memory", (20_000,)))
    for _ in range(8):
        steps.append(Step(at_ms + 1500 + chance.randint(0, 5000), f"{name}c", "settle", (number, "reject")))
    if chance.random() < 0.5:
        steps.append(Step(at_ms + 7000, "machine", "fail_disk", ("read", 1.0, 1000)))
    return [*steps, Step(at_ms + 7050, f"{name}c", "consume", (number, 5, False))]


class Deliveries:
    """One channel of the receiver.

    held: messages by their delivery tags, with the consumer's tag, "" for basic.get. returning: proof of a
    basic.recover or channel.close that was sent, which returns everything. tag: of its consumer, "" without one.
    is_announced: consume-ok was received. leaves: the consumer is being cancelled. limits: prefetch for the whole
    channel, as it is and as it will be.
    """

    def __init__(self) -> None:
        self.is_open = False
        self.returning: object | None = None
        self.held: dict[int, tuple[str, str]] = {}
        self.tag = ""
        self.is_announced = False
        self.leaves = False
        self.no_ack = False
        self.prefetch = 0
        self.limits = [0]
        self.delivery_tag = 0

    @property
    def held_messages(self) -> list[str]:
        return [message for message, _ in self.held.values()]

    @property
    def consumes(self) -> bool:
        return self.is_announced and self.tag != "" and not self.leaves

    def of_consumer(self, tag: str) -> int:
        """Return the number of held messages of a consumer."""
        return sum(each == tag for _, each in self.held.values())

    @property
    def of_consumers(self) -> int:
        return sum(each != "" for _, each in self.held.values())


class Receiver(Client):
    """Consumes on several channels of one connection. drains: it acknowledges all messages."""

    def __init__(self, order: Order) -> None:
        super().__init__(order.world, f"{order.name}c")
        self._order = order
        self._line = order.line
        self._channels = {number: Deliveries() for number in CHANNELS}
        self._number = 0
        self._draining = False
        self._may_lose = False
        self._gets_no_ack = 0

    @property
    def drains(self) -> bool:
        return self._draining and any(each.consumes for each in self._channels.values())

    # --- the connection -----------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """Wait until there are no other consumers.

        A former connection may still receive messages that it never reads.
        """
        self._order.declare(self, self._declared)

    def _declared(self, got: Received) -> None:
        if got.arguments["consumer_count"]:
            incarnation = self._incarnation
            self.world.scheduler.after(ASK_AGAIN_NS, lambda: self._ask_again(incarnation))
            return
        if self._may_lose:
            self._line.excuse()
            self._may_lose = False
        self._channels = {number: Deliveries() for number in CHANNELS}
        self._channels[1].is_open = True
        for number in CHANNELS[1:]:
            self.call(partial(self._channel_opened, number), "channel.open-ok", number, "channel.open")
        self._consume_at_least()

    def _ask_again(self, incarnation: int) -> None:
        if self.open and incarnation == self._incarnation:
            self._order.declare(self, self._declared)

    def _channel_opened(self, number: int, _: Received) -> None:
        self._channels[number] = Deliveries()
        self._channels[number].is_open = True
        self._consume_at_least()

    def disconnected(self) -> None:
        self._line.cut()
        # Messages delivered without acknowledgement are lost with the connection.
        self._may_lose |= self._gets_no_ack > 0 or any(each.tag and each.no_ack for each in self._channels.values())
        self._gets_no_ack = 0
        self._channels = {number: Deliveries() for number in CHANNELS}

    def drain(self) -> None:
        """Acknowledge all held messages, and all later ones at once."""
        self._draining = True
        for number in CHANNELS:
            self.do_settle(number, "ack_all")
        self._consume_at_least()

    def _consume_at_least(self) -> None:
        """Start a consumer, if everything must be acknowledged now."""
        if self._draining and not any(each.tag for each in self._channels.values()):
            self.do_consume(1, 0, False)

    # --- steps --------------------------------------------------------------------------------------------------------

    def do_consume(self, number: int, prefetch: int, no_ack: bool) -> None:
        channel = self._channels[number]
        if not channel.is_open or channel.tag:
            return
        self._number += 1
        channel.tag = tag = f"t{self._number}"
        channel.is_announced = channel.leaves = False
        channel.no_ack = no_ack
        channel.prefetch = prefetch
        self._limit(channel, number, prefetch, is_global=False)

        def consumes(_: Received) -> None:
            channel.is_announced = True

        self.call(
            consumes,
            "basic.consume-ok",
            number,
            "basic.consume",
            queue=self._order.name,
            consumer_tag=tag,
            no_ack=no_ack,
        )

    def do_cancel(self, number: int) -> None:
        """Cancel the consumer; its messages stay with the client."""
        channel = self._channels[number]
        if not channel.consumes or self._draining:
            return
        channel.leaves = True

        def cancelled(_: Received) -> None:
            channel.tag = ""
            self._consume_at_least()

        self.call(cancelled, "basic.cancel-ok", number, "basic.cancel", consumer_tag=channel.tag)

    def do_get(self, number: int, no_ack: bool) -> None:
        channel = self._channels[number]
        if not channel.is_open:
            return
        self._gets_no_ack += no_ack

        def got(answer: Received) -> None:
            self._gets_no_ack -= no_ack
            if answer.name == "basic.get-ok":
                self._deliver(channel, answer, "", no_ack)
                if answer.arguments["message_count"] < len(self._line.ready):
                    raise self.world.broken(f"{self.name}: get-ok counts too few, ready are {self._line.ready}")
                if self._draining:
                    self.do_settle(number, "ack_all")
            elif self._line.ready:
                raise self.world.broken(f"{self.name}: get-empty, but {self._line.ready} are ready")

        self.call(got, "basic.get-ok basic.get-empty", number, "basic.get", queue=self._order.name, no_ack=no_ack)

    def do_settle(self, number: int, how: str) -> None:
        channel = self._channels[number]
        if not channel.is_open or channel.returning or not channel.held:
            return
        tags = list(channel.held)
        verb, _, which = how.partition("_")
        multiple = which in ("multiple", "all")
        if which == "newest":
            tags = tags[-1:]
        elif which == "multiple":
            tags = tags[: self.chance.randint(1, len(tags))]
        elif which != "all":
            tags = [self.chance.choice(tags)]
        arguments: dict[str, Any] = {} if verb == "ack" else {"requeue": True}
        if verb != "reject":
            arguments["multiple"] = multiple
        self.send(number, f"basic.{verb}", delivery_tag=tags[-1], **arguments)
        self._gone(number, [channel.held.pop(tag)[0] for tag in tags], verb == "ack")

    def _gone(self, number: int, messages: list[str], acknowledged: bool) -> None:
        """Make the next answer of the channel prove the operation that was just sent on it."""
        line, proof = self._line, object()
        if acknowledged:
            line.acknowledged(messages)
        else:
            line.returned(messages, proof)

        def proven(_: Received) -> None:
            if acknowledged:
                line.settled(messages)
            else:
                line.proven(proof)

        self.call(proven, "channel.flow-ok", number, "channel.flow", active=True)

    def do_recover(self, number: int) -> None:
        channel = self._channels[number]
        if not channel.is_open or channel.returning:
            return
        proof = self._return_all(channel)

        def recovered(_: Received) -> None:
            channel.returning = None

        # The answer is first, and then consumer after consumer returns its messages.
        self.call(recovered, "basic.recover-ok", number, "basic.recover", requeue=True)
        self.call(lambda _: self._line.proven(proof), "channel.flow-ok", number, "channel.flow", active=True)

    def do_close(self, number: int) -> None:
        """Close the channel with its unacknowledged messages, and open it again."""
        channel = self._channels[number]
        if not channel.is_open or channel.returning or self._draining:
            return
        channel.is_open, channel.leaves = False, True
        proof = self._return_all(channel)

        def closed(_: Received) -> None:
            self._line.proven(proof)
            self.call(partial(self._channel_opened, number), "channel.open-ok", number, "channel.open")

        self.call(
            closed, "channel.close-ok", number, "channel.close", reply_code=200, reply_text="", class_id=0, method_id=0
        )

    def _return_all(self, channel: Deliveries) -> object:
        """Return everything that the channel holds, including deliveries in transit."""
        proof = channel.returning = object()
        self._line.returned(channel.held_messages, proof)
        channel.held.clear()
        return proof

    def do_limit(self, number: int, prefetch: int) -> None:
        channel = self._channels[number]
        if channel.is_open and self.world.config.compat.global_qos is Permission.PERMITTED:
            self._limit(channel, number, prefetch, is_global=True)

    def _limit(self, channel: Deliveries, number: int, prefetch: int, is_global: bool) -> None:
        """Set a prefetch; one for a consumer removes that of the whole channel."""
        channel.limits.append(prefetch if is_global else 0)
        self.call(
            lambda _: channel.limits.pop(0),
            "basic.qos-ok",
            number,
            "basic.qos",
            prefetch_count=prefetch,
            global_=is_global,
        )

    def do_count(self, number: int) -> None:
        """Check the counts of queue.declare-ok."""
        if not self._channels[number].is_open:
            return
        ready = self._line.ready
        # Methods of a connection take effect in their order, so that this is exact.
        consumers = sum(each.tag != "" and not each.leaves for each in self._channels.values())

        def counted(got: Received) -> None:
            still = [message for message in ready if message in self._line.ready]
            if got.arguments["message_count"] < len(still):
                raise self.world.broken(f"{self.name}: declare-ok counts too few, ready are {still}")
            if got.arguments["consumer_count"] != consumers:
                raise self.world.broken(f"{self.name}: {got.arguments['consumer_count']} consumers, not {consumers}")

        self.call(counted, "queue.declare-ok", number, "queue.declare", queue=self._order.name, passive=True)

    # --- deliveries ---------------------------------------------------------------------------------------------------

    def received(self, got: Received) -> None:
        if got.name != "basic.deliver":
            raise self.world.broken(f"{self.name} received {got}")
        channel = self._channels[got.channel]
        tag = got.arguments["consumer_tag"]
        if tag != channel.tag or not channel.is_announced:
            raise self.world.broken(f"{self.name}: a delivery to {tag!r}, which does not exist")
        self._deliver(channel, got, tag, channel.no_ack)
        if not channel.no_ack:
            self._check_limits(channel, tag)
            if self._draining:
                self.do_settle(got.channel, "ack_all")

    def _deliver(self, channel: Deliveries, got: Received, tag: str, no_ack: bool) -> None:
        assert got.body is not None
        number = got.arguments["delivery_tag"]
        if number != channel.delivery_tag + 1:
            raise self.world.broken(f"{self.name}: delivery tag {number} after {channel.delivery_tag}")
        channel.delivery_tag = number
        message = got.body.decode()
        self._line.received(message, got.arguments["redelivered"], holds=not no_ack)
        if not no_ack and channel.returning is not None:
            self._line.returned([message], channel.returning)
        elif not no_ack:
            channel.held[number] = (message, tag)

    def _check_limits(self, channel: Deliveries, tag: str) -> None:
        """Check the prefetch: the client never knows more unacknowledged messages than the broker counts."""
        held = channel.of_consumer(tag)
        if channel.prefetch and held > channel.prefetch:
            raise self.world.broken(f"{self.name}: {held} unacknowledged with a prefetch of {channel.prefetch}")
        if all(channel.limits) and channel.of_consumers > max(channel.limits):
            raise self.world.broken(f"{self.name}: {channel.of_consumers} unacknowledged with {channel.limits}")
