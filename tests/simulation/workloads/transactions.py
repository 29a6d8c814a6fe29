"""Transactions: publishes take effect together or not at all, and rolled back acknowledgements have no effect."""

import random
from collections.abc import Callable
from typing import Any

from amqpbroker.wire.values import longstr
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World


class Transactions(Workload):
    """A client that publishes in transactions to two queues, and a consumer of both."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._kind: str = plan["kind"]
        self.sent: dict[str, list[str]] = {}
        #: Transaction -> life of the broker in which it was sent.
        self.lives: dict[str, int] = {}
        self.committed: dict[str, bool] = {}
        self.received: dict[str, int] = {}
        #: Life of the broker in which a message was settled for good.
        self.settled: dict[str, int] = {}
        self.publisher = TransactionPublisher(self)
        self.consumer = SettlingConsumer(self) if plan["settles"] else TransactionConsumer(self)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload."""
        return {"kind": chance.choice(("classic", "quorum")), "settles": chance.random() < 0.5}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = [
            Step(chance.randint(0, end_ms), f"{name}p", "transact", (chance.choice((1, 3, 20)), chance.random() < 0.8))
            for _ in range(chance.choice((1, 10, 40)))
        ]
        return steps + troubles(chance, end_ms, [f"{name}p", f"{name}c"])

    @property
    def queues(self) -> tuple[str, str]:
        return f"{self.name}-a", f"{self.name}-b"

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, self.consumer

    def is_done(self) -> bool:
        return self.publisher.idle and self.consumer.consumes and self.world.are_empty(*self.queues)

    def check(self) -> None:
        for transaction, messages in self.sent.items():
            there = [message for message in messages if message in self.received]
            if self.committed.get(transaction) is True and len(there) < len(messages):
                raise self.world.broken(f"{self.name}: {transaction} was committed, and is lost in part")
            if self.committed.get(transaction) is False and there:
                raise self.world.broken(f"{self.name}: {transaction} was rolled back, and {there} came")
            # A crash may happen between two deliveries of messages that are not stored yet.
            last_life = self.lives[transaction] == self.world.life
            survived = any(self.received[message] > self.lives[transaction] for message in there)
            if there and len(there) < len(messages) and (last_life or survived) and not self.world.tore_groups:
                raise self.world.broken(f"{self.name}: {transaction} came in part: {there}")

    def delivered(self, message: str, redelivered: bool) -> None:
        """Check a delivery. Raises BrokenError."""
        life = self.world.life
        if self.settled.get(message) == life:
            raise self.world.broken(f"{self.name}: {message} is delivered although it was settled")
        if self.received.get(message) == life and not redelivered:
            raise self.world.broken(f"{self.name}: {message} came twice")
        self.received[message] = life

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare both queues."""
        arguments = {"x-queue-type": longstr(self._kind)}
        for name in self.queues:
            done: Callable[[Received], None] = (lambda _: then()) if name == self.queues[1] else (lambda _: None)
            client.call(done, "queue.declare-ok", 1, "queue.declare", queue=name, durable=True, arguments=arguments)


class TransactionPublisher(Client):
    """Publishes in transactions, one after the other."""

    def __init__(self, workload: Transactions) -> None:
        super().__init__(workload.world, f"{workload.name}p")
        self._workload = workload
        self._number = 0
        self._waiting: list[tuple[int, bool]] = []
        self._current: str | None = None
        self._ready = False

    @property
    def idle(self) -> bool:
        """Return whether every transaction is complete."""
        return self._ready and self._current is None and not self._waiting

    def do_transact(self, count: int, commits: bool) -> None:
        """Publish messages in one transaction, which is committed or rolled back."""
        self._waiting.append((count, commits))
        self._next()

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        self.call(self._selected, "tx.select-ok", 1, "tx.select")

    def _selected(self, _: Received) -> None:
        self._ready = True
        self._next()

    def _next(self) -> None:
        if not self._ready or self._current is not None or not self._waiting:
            return
        count, commits = self._waiting.pop(0)
        self._number += 1
        self._current = transaction = f"{self.name}.{self._number}"
        messages = [f"{transaction}-{i}" for i in range(count)]
        self._workload.sent[transaction] = messages
        self._workload.lives[transaction] = self._workload.world.life
        for i, message in enumerate(messages):
            self.write(published(self._workload.queues[i % 2], message.encode(), delivery_mode=2))

        def over(_: Received) -> None:
            self._workload.committed[transaction] = commits
            self._current = None
            self._next()

        name = "commit" if commits else "rollback"
        self.call(over, f"tx.{name}-ok", 1, f"tx.{name}")

    def disconnected(self) -> None:
        self._ready = False
        self._current = None


class TransactionConsumer(Client):
    """Acknowledges all messages."""

    def __init__(self, workload: Transactions) -> None:
        super().__init__(workload.world, f"{workload.name}c")
        self._workload = workload
        self.consumes = False

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        first, second = self._workload.queues
        self.call(lambda _: None, "basic.consume-ok", 1, "basic.consume", queue=first, consumer_tag="a")
        self.call(self._consuming, "basic.consume-ok", 1, "basic.consume", queue=second, consumer_tag="b")

    def _consuming(self, _: Received) -> None:
        self.consumes = True

    def received(self, got: Received) -> None:
        assert got.body is not None
        message = got.body.decode()
        self._workload.delivered(message, got.arguments["redelivered"])
        self._settle(got.arguments["delivery_tag"], message)

    def _settle(self, tag: int, message: str) -> None:
        self.send(1, "basic.ack", delivery_tag=tag)

    def disconnected(self) -> None:
        self.consumes = False


class SettlingConsumer(TransactionConsumer):
    """Acknowledges in transactions, and rolls some of them back. Their delivery tags are then unacknowledged again."""

    def __init__(self, workload: Transactions) -> None:
        super().__init__(workload)
        self._outstanding: dict[int, str] = {}
        self._acknowledged: dict[int, str] = {}

    def opened(self) -> None:
        self._outstanding.clear()
        self._acknowledged.clear()
        self.call(lambda _: None, "tx.select-ok", 1, "tx.select")
        super().opened()

    def _settle(self, tag: int, message: str) -> None:
        self._outstanding[tag] = message
        self._next()

    def _next(self) -> None:
        """Acknowledge all or some unacknowledged messages in one transaction, unless one is in progress."""
        if self._acknowledged or not self._outstanding:
            return
        tags = sorted(self._outstanding)[: self.chance.choice((1, 3, 1000))]
        self._acknowledged = {tag: self._outstanding.pop(tag) for tag in tags}
        if self.chance.random() < 0.5:
            self.send(1, "basic.ack", delivery_tag=tags[-1], multiple=True)
        else:
            for tag in tags:
                self.send(1, "basic.ack", delivery_tag=tag)
        name = "commit" if self.chance.random() < 0.6 else "rollback"
        self.call(lambda _: self._over(name), f"tx.{name}-ok", 1, f"tx.{name}")

    def _over(self, name: str) -> None:
        acknowledged, self._acknowledged = self._acknowledged, {}
        if name == "commit":
            for message in acknowledged.values():
                self._workload.settled[message] = self.world.life
        else:
            self._outstanding |= acknowledged
        self._next()
