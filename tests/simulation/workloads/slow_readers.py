"""Clients that do not read for long and publishers of large messages: the waiting output stays within bounds.

Other clients are served meanwhile.
"""

import random
from collections.abc import Callable
from typing import Any

from amqpbroker.amqp.connection import Connection
from amqpbroker.server.transport import WRITE_HIGH_BYTES
from tests.harness import Received, published
from tests.simulation.client import Client, troubles
from tests.simulation.ledger import Ledger
from tests.simulation.scheduler import SECOND
from tests.simulation.steps import Step, Workload
from tests.simulation.workloads.publisher import ConfirmingPublisher, UnconfirmedPublisher, name_of
from tests.simulation.world import World

#: (count, size) of messages published at a time.
BATCHES = ((1, 10), (100, 1000), (50, 20_000), (14, 140_000))
LARGEST = 140_000
#: Bytes of a message without its body.
HEAD = 10_000
#: Time within which the broker has certainly answered a client that reads.
ANSWERED_NS = 10 * SECOND


class SlowReaders(Workload):
    """A consumer and a publisher of unroutable messages that read rarely, and clients that read all the time."""

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self._automatic: bool = plan["automatic"]
        self._ledger = Ledger(world, name)
        self.publisher = ConfirmingPublisher(world, f"{name}p", self.declare, self._made, self._on_confirmed)
        self.consumer = SlowConsumer(self, self._automatic)
        self.returner = Returner(self)
        self.bystander = Bystander(self)

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload. automatic: the consumer does not acknowledge."""
        return {"automatic": chance.random() < 0.5}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the clients."""
        steps = []
        for publisher in (f"{name}p", f"{name}r"):
            steps += [
                Step(chance.randint(0, end_ms), publisher, "publish", chance.choice(BATCHES))
                for _ in range(chance.choice((0, 2, 6)))
            ]
        for reader in (f"{name}c", f"{name}r"):
            steps += [
                Step(chance.randint(0, end_ms), reader, "pause", (chance.choice((100, 3_000, 30_000)),))
                for _ in range(chance.choice((0, 1, 3)))
            ]
        steps += [Step(chance.randint(0, end_ms), f"{name}b", "ask") for _ in range(20)]
        return steps + troubles(chance, end_ms, [f"{name}p", f"{name}c", f"{name}r"])

    @property
    def clients(self) -> tuple[Client, ...]:
        return self.publisher, self.consumer, self.returner, self.bystander

    def is_done(self) -> bool:
        self.check_output()
        process = self.world.process
        queue = None if process is None else process.broker.vhosts["/"].queues.get(self.name)
        if queue is None or queue.ready_count + queue.unacked_count:
            return False
        return self.publisher.idle and self.consumer.idle and self.returner.idle and self.bystander.idle

    def check(self) -> None:
        if not self._automatic:  # otherwise data in transit is lost with the connection
            self._ledger.check()

    def declare(self, client: Client, then: Callable[[], None]) -> None:
        """Declare the queue."""
        client.declare_queue(then, self.name)

    def check_output(self) -> None:
        """Raise BrokenError if the output that waits for one connection exceeds the bounds."""
        process = self.world.process
        if process is None:
            return
        # Deliveries fill their part of the output, and answers theirs; each last one may be large.
        bounds = process.broker.config.bounds
        most = 2 * (bounds.room_bytes + LARGEST + HEAD) + bounds.unread_bytes + LARGEST + WRITE_HIGH_BYTES
        for client in process.service.clients.there():
            connection = client._connection
            if isinstance(connection, Connection):
                waiting = len(connection.output) + client.unwritten
                if waiting > most:
                    raise self.world.broken(f"{self.name}: {waiting} bytes wait for {client.name}, at most {most}")

    # --- messages -----------------------------------------------------------------------------------------------------

    def _made(self, message: str, size: int) -> bytes:
        self._ledger.published(message, persistent=False)
        return published(self.name, message.encode() + b" " + bytes(size))

    def _on_confirmed(self, message: str) -> None:
        self.check_output()
        self._ledger.confirmed(message)

    def delivered(self, got: Received, receiver: object) -> None:
        """Check one delivery. Raises BrokenError."""
        message = name_of(got.body)
        self._ledger.delivered(message, got.arguments["redelivered"], receiver)
        # Acknowledged at once, by the broker or by the consumer.
        self._ledger.dismissed(message)


class SlowConsumer(Client):
    """Consumes without a prefetch. automatic: without acknowledgements."""

    def __init__(self, workload: SlowReaders, automatic: bool) -> None:
        super().__init__(workload.world, f"{workload.name}c")
        self._workload = workload
        self._automatic = automatic
        self.idle = False

    def opened(self) -> None:
        self._workload.declare(self, self._declared)

    def _declared(self) -> None:
        queue = self._workload.name
        self.call(
            self._consuming,
            "basic.consume-ok",
            1,
            "basic.consume",
            queue=queue,
            consumer_tag="c",
            no_ack=self._automatic,
        )

    def _consuming(self, _: Received) -> None:
        self.idle = True

    def received(self, got: Received) -> None:
        self._workload.delivered(got, (self.name, self._incarnation))
        if not self._automatic:
            self.send(1, "basic.ack", delivery_tag=got.arguments["delivery_tag"])

    def disconnected(self) -> None:
        self.idle = False


class Returner(UnconfirmedPublisher):
    """Publishes unroutable mandatory messages, and gets each of them back."""

    def __init__(self, workload: SlowReaders) -> None:
        super().__init__(workload.world, f"{workload.name}r", workload.declare, self._made, self._handled_one)
        self._out: dict[str, int] = {}

    def _made(self, message: str, size: int) -> bytes:
        self._out[message] = size
        body = message.encode() + b" " + bytes(size)
        return published(f"{self.name} nowhere", body, mandatory=True)

    def _handled_one(self, message: str) -> None:
        if message in self._out:
            raise self.world.broken(f"{self.name}: {message} was handled, and has not come back")

    def received(self, got: Received) -> None:
        message = name_of(got.body)
        if got.name != "basic.return" or message != next(iter(self._out), None):
            raise self.world.broken(f"{self.name} received {got.name} of {message}")
        if len(got.body or b"") != len(message) + 1 + self._out.pop(message):
            raise self.world.broken(f"{self.name}: {message} comes back with {len(got.body or b'')} bytes")

    def disconnected(self) -> None:
        super().disconnected()
        self._out.clear()


class Bystander(Client):
    """Sends a request now and then, which is answered soon."""

    def __init__(self, workload: SlowReaders) -> None:
        super().__init__(workload.world, f"{workload.name}b")
        self._workload = workload
        self._asked = 0
        self._answered = 0

    @property
    def idle(self) -> bool:
        return self.open and self._answered == self._asked

    def do_ask(self) -> None:
        """Send a request, and check the time of the answer."""
        self._workload.check_output()
        if not self.open:
            return
        self._asked += 1
        number, incarnation = self._asked, self._incarnation

        def check() -> None:
            troubled = self.world.scheduler.now - ANSWERED_NS < self.world.processor.troubled_until
            if incarnation == self._incarnation and self._answered < number and not troubled:
                raise self.world.broken(f"{self.name} has waited for an answer")

        self.call(self._on_answer, "basic.qos-ok", 1, "basic.qos", prefetch_count=0)
        self.world.scheduler.after(ANSWERED_NS, check)

    def _on_answer(self, _: Received) -> None:
        self._answered += 1

    def received(self, got: Received) -> None:
        raise self.world.broken(f"{self.name} received {got}")

    def disconnected(self) -> None:
        self._answered = self._asked
