"""Consumers of one queue that compete: by priority, as the single active one, or exclusively."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.ledger import Ledger
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher
from tests.simulation.world import IN_TIME_NS, TIMEOUT_MS, World

CHANNELS = (1, 2, 3)
PREFETCHES = (0, 1, 2, 10)
VERBS = ("subscribe", "subscribe", "cancel", "ack", "ack", "ack", "requeue")
#: Pause before a refused client tries again at the end.
TRY_AGAIN_NS = 200 * MS


class Subscriptions(Workload):
    """A queue, a publisher, and clients with several consumers each. rule: how consumers compete."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.rule: str = plan["rule"]
        self.kind: str = plan["kind"] if self.rule != "exclusive" else "classic"
        self.ledger = Ledger(world, name)
        self.shares = Shares(world, name)
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self.ledger.confirmed)
        self.subscribers = [Subscriber(self, f"{name}c{i}") for i in range(plan["subscribers"])]

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {
            "rule": chance.choice(("priority", "single_active", "exclusive")),
            "kind": chance.choice(("classic", "quorum")),
            "subscribers": chance.randint(1, 3),
        }

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}p", "publish", (chance.choice((1, 5, 30)),))
            for _ in range(chance.choice((1, 5, 20)))
        ]
        subscribers = [f"{name}c{i}" for i in range(settings["subscribers"])]
        for _ in range(chance.choice((10, 60, 200))):
            verb = chance.choice(VERBS)
            arguments: tuple[Any, ...] = (chance.choice(CHANNELS),)
            if verb == "subscribe":
                arguments += (chance.randint(-1, 2), chance.choice(PREFETCHES), chance.random() < 0.7)
            steps.append(Step(chance.randint(0, end_ms), chance.choice(subscribers), verb, arguments))
        return steps + troubles(chance, end_ms, [f"{name}p", *subscribers])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, *self.subscribers

    def rest(self) -> None:
        for subscriber in self.subscribers:
            subscriber.drain()

    def is_done(self) -> bool:
        return self.publisher.idle and self.world.are_empty(self.name)

    def check(self) -> None:
        self.ledger.check()

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue."""
        arguments: dict[str, Any] = {"x-queue-type": longstr(self.kind)}
        if self.rule == "single_active":
            arguments["x-single-active-consumer"] = Field("t", True)
        if self.kind == "quorum" and not self.world.config.compat.counts_only_failures:
            arguments["x-delivery-limit"] = Field("I", -1)
        client.declare_queue(then, self.name, arguments)

    def _made(self, message: str) -> bytes:
        self.ledger.published(message, persistent=True)
        return published(self.name, message.encode(), delivery_mode=2)


class Subscription:
    """One consumer. since: time of its request, and of its start; 0 before.

    received, settled: number of received messages, and of those that are certainly settled. held: unsettled messages by
    delivery tag. came: arrival times by delivery tag of messages that are not certainly settled.
    """

    def __init__(self, tag: str, channel: int, priority: int, prefetch: int, exclusive: bool, asked: int) -> None:
        self.tag = tag
        self.channel = channel
        self.priority = priority
        self.prefetch = prefetch
        self.exclusive = exclusive
        self.asked = asked
        self.since = 0
        self.leaves = False
        self.received = 0
        self.settled = 0
        self.held: dict[int, str] = {}
        self.came: dict[int, int] = {}

    def may_be_overdue(self, now: int) -> bool:
        """Return whether the broker may have removed it, because it has held a message for too long."""
        oldest = next(iter(self.came.values()), now)
        return now - oldest > IN_TIME_NS

    @property
    def certainly_has_room(self) -> bool:
        """Return whether it exists and is certainly below its prefetch."""
        has_room = self.prefetch == 0 or self.received - self.settled < self.prefetch
        return self.since > 0 and not self.leaves and has_room


class Shares:
    """Deliveries of one queue with a single active consumer, and times of exclusive ones, over all connections."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        #: (life, publisher's connection) -> first and last number that each subscription got first.
        self._spans: dict[tuple[int, str], dict[Subscription, tuple[int, int]]] = {}
        self._began: list[Subscription] = []

    def delivered(self, message: str, to: Subscription) -> None:
        """Check a first delivery: the active consumer gets one message after the other. Raises BrokenError."""
        publisher, _, number = message.rpartition("-")
        spans = self._spans.setdefault((self._world.life, publisher), {})
        first, last = spans.get(to, (int(number), int(number)))
        spans[to] = first, last = min(first, int(number)), max(last, int(number))
        for other, (others_first, others_last) in spans.items():
            if other is not to and first <= others_last and others_first <= last:
                raise self._world.broken(
                    f"{self._name}: {to.tag} and {other.tag} are active at a time, as {message} shows"
                )

    def began(self, subscription: Subscription) -> None:
        """The broker has accepted a consumer."""
        self._began.append(subscription)

    def is_there(self, subscription: Subscription, at: int) -> None:
        """Check a time at which the consumer certainly existed: no other may have begun since it did.

        Raises BrokenError.
        """
        for other in self._began:
            excludes = other.exclusive or subscription.exclusive
            if excludes and subscription.since <= other.asked and 0 < other.since <= at and other is not subscription:
                raise self._world.broken(f"{self._name}: {other.tag} began beside {subscription.tag}")


class Subscriber(Client):
    """Runs up to one consumer on each of its channels."""

    def __init__(self, workload: Subscriptions, name: str) -> None:
        super().__init__(workload.world, name)
        self._workload = workload
        self._number = 0
        self._is_ready = False
        self._draining = False
        #: In the order of their requests.
        self._subscriptions: list[Subscription] = []
        self._open_channels: set[int] = set()

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self._is_ready = True
        self._open_channels = {1}
        for number in CHANNELS[1:]:
            self.call(partial(self._channel_opened, number), "channel.open-ok", number, "channel.open")
        self._try_to_drain(self._incarnation)

    def _channel_opened(self, number: int, _: Received) -> None:
        self._open_channels.add(number)

    def disconnected(self) -> None:
        self._is_ready = False
        self._subscriptions.clear()
        self._open_channels.clear()

    def drain(self) -> None:
        """Acknowledge everything from now on, and start a consumer as soon as possible."""
        self._draining = True
        for number in CHANNELS:
            self.do_ack(number)
        self._try_to_drain(self._incarnation)

    def _try_to_drain(self, incarnation: int) -> None:
        if self._draining and self._is_ready and incarnation == self._incarnation:
            if not self._subscriptions:
                self.do_subscribe(1, 0, 0, False)
            self.world.scheduler.after(TRY_AGAIN_NS, partial(self._try_to_drain, incarnation))

    def _on(self, number: int) -> Subscription | None:
        return next((each for each in self._subscriptions if each.channel == number), None)

    # --- steps --------------------------------------------------------------------------------------------------------

    def do_subscribe(self, number: int, priority: int, prefetch: int, exclusive: bool) -> None:
        """Start a consumer. Arguments that the rule does not use are omitted."""
        if number not in self._open_channels or self._on(number) is not None:
            return
        self._number += 1
        rule = self._workload.rule
        subscription = Subscription(
            f"{self.name}.{self._number}",
            number,
            priority if rule == "priority" else 0,
            prefetch,
            exclusive and rule == "exclusive",
            self.world.scheduler.now,
        )
        self._subscriptions.append(subscription)
        self.call(lambda _: None, "basic.qos-ok", number, "basic.qos", prefetch_count=prefetch)
        self.call(
            partial(self._subscribed, subscription),
            "basic.consume-ok channel.close",
            number,
            "basic.consume",
            queue=self._workload.name,
            consumer_tag=subscription.tag,
            exclusive=subscription.exclusive,
            arguments={"x-priority": Field("I", subscription.priority)},
        )

    def _subscribed(self, subscription: Subscription, got: Received) -> None:
        if got.name == "basic.consume-ok":
            subscription.since = self.world.scheduler.now
            self._workload.shares.began(subscription)
            return
        if got.channel != subscription.channel or got.arguments["reply_code"] != 403:
            self.drop()
            return
        if self._workload.rule != "exclusive":
            raise self.world.broken(f"{self.name} received {got}")
        self._subscriptions.remove(subscription)
        self._open_channels.discard(got.channel)
        self.send(got.channel, "channel.close-ok")
        self.call(partial(self._channel_opened, got.channel), "channel.open-ok", got.channel, "channel.open")

    def do_cancel(self, number: int) -> None:
        """Cancel the consumer after everything that it holds is acknowledged."""
        subscription = self._on(number)
        if subscription is None or not subscription.since or subscription.leaves or self._draining:
            return
        self.do_ack(number)
        subscription.leaves = True
        self.call(
            partial(self._cancelled, subscription),
            "basic.cancel-ok",
            number,
            "basic.cancel",
            consumer_tag=subscription.tag,
        )

    def _cancelled(self, subscription: Subscription, _: Received) -> None:
        self._settle(subscription, "basic.ack")
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def do_ack(self, number: int) -> None:
        """Acknowledge the messages of the consumer."""
        subscription = self._on(number)
        if subscription is not None:
            self._settle(subscription, "basic.ack")

    def do_requeue(self, number: int) -> None:
        """Return the messages of the consumer."""
        subscription = self._on(number)
        if subscription is not None and not self._draining:
            self._settle(subscription, "basic.nack")

    def _settle(self, subscription: Subscription, name: str) -> None:
        if not subscription.held:
            return
        messages, tags = list(subscription.held.values()), list(subscription.held)
        subscription.held.clear()
        requeues = {"requeue": True} if name == "basic.nack" else {}
        if not requeues:
            for message in messages:
                self._workload.ledger.dismissed(message)
        self.send(subscription.channel, name, delivery_tag=max(tags), multiple=True, **requeues)
        sent_at = self.world.scheduler.now

        def proven(_: Received) -> None:
            subscription.settled += len(messages)
            for tag in tags:
                subscription.came.pop(tag, None)
            if not requeues:
                for message in messages:
                    self._workload.ledger.settled(message)
            if self._workload.rule == "exclusive" and not subscription.leaves:
                self._workload.shares.is_there(subscription, sent_at)

        self.call(proven, "channel.flow-ok", subscription.channel, "channel.flow", active=True)

    # --- deliveries ---------------------------------------------------------------------------------------------------

    def received(self, got: Received) -> None:
        assert got.body is not None
        message, tag = got.body.decode(), got.arguments["consumer_tag"]
        to = next((each for each in self._subscriptions if each.tag == tag), None)
        if got.name != "basic.deliver" or to is None or not to.since:
            raise self.world.broken(f"{self.name} received {got}")
        self._workload.ledger.delivered(message, got.arguments["redelivered"], tag)
        self._check_rule(message, to, got.arguments["redelivered"])
        to.received += 1
        to.held[got.arguments["delivery_tag"]] = message
        to.came[got.arguments["delivery_tag"]] = self.world.scheduler.now
        if to.prefetch and len(to.held) > to.prefetch:
            raise self.world.broken(f"{self.name}: {len(to.held)} unacknowledged with a prefetch of {to.prefetch}")
        if self._draining:
            self._settle(to, "basic.ack")

    def _check_rule(self, message: str, to: Subscription, redelivered: bool) -> None:
        """Check that this consumer was the next. The answers of one connection show the order of events."""
        if self.world.config.consumer_timeout_ms < TIMEOUT_MS:
            return  # the broker removes overdue consumers before it notifies them
        # As in RabbitMQ, it requeues the messages of an overdue channel before it closes the channel.
        now = self.world.scheduler.now
        there = [each for each in self._subscriptions if not each.may_be_overdue(now)]
        if self._workload.rule == "priority":
            for other in there:
                if self._workload.kind == "quorum" and other.asked >= to.asked:
                    continue  # of a round, whoever started first gets its part first
                if other.priority > to.priority and other.certainly_has_room:
                    raise self.world.broken(f"{self.name}: {message} goes to {to.tag}, and {other.tag} has room")
        elif self._workload.rule == "single_active":
            before = self._subscriptions[: self._subscriptions.index(to)]
            for other in before:
                if other in there and not other.leaves:
                    raise self.world.broken(f"{self.name}: {message} goes to {to.tag}, and {other.tag} is active")
            if not redelivered:
                self._workload.shares.delivered(message, to)
