"""A client that makes one operation after another on its own queues, compared with the model of queues.

The model is that of tests/broker/durability.py, which has the broker alone, with a disk that advances step by step.
Here it runs with other clients, faults and crashes. If the model cannot predict a result, such as the order of an
operation and an expiry at about the same time, the comparison starts again.
"""

import copy
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from amqpbroker.config import Config
from tests.broker.durability import seen, shown, wanted
from tests.broker.durability_steps import arguments, specs
from tests.harness import Received, method, published
from tests.model.copies import NONE, Copy
from tests.model.crashes import allowed
from tests.model.line import Line
from tests.model.model import BATCHES, Model, State
from tests.model.spec import Spec
from tests.simulation.broker_process import BrokerProcess
from tests.simulation.client import Client
from tests.simulation.scheduler import MS
from tests.simulation.steps import Step, Workload
from tests.simulation.world import World

#: The queues of that module expire within milliseconds, which is too short for network delays.
SLOWER = 20
#: Maximum delay of a timer, or of a delivery that it causes.
LAG_MS = 200
#: Time that deliveries may wait for output capacity of the connection, which others are sent before.
ROOM_MS = 10_000
SIZES = (0, 10, 100, 700, 3000)
#: Operations and their frequencies.
OPERATIONS = {"publish": 40, "get": 20, "consume": 6, "cancel": 4, "ack": 20, "nack": 14, "purge": 1, "wait": 6}


class Modelled(Workload):
    """One client with ten queues: of both kinds, with priorities, TTLs, limits and dead letters."""

    unbearable = frozenset(("step_clock", "set_clock_right", "stop_process", "suspend", "slow_down"))

    def __init__(self, world: World, name: str, plan: dict[str, Any]) -> None:
        self.world = world
        self.name = name
        self.client = ModelledClient(world, f"{name}m", _specs(name, plan["queues"]))

    @staticmethod
    def settings(chance: random.Random) -> dict[str, Any]:
        """Return the settings of such a workload. queues: seed of the arguments of its queues."""
        return {"queues": chance.randrange(1000)}

    @staticmethod
    def plan(chance: random.Random, end_ms: int, name: str, settings: dict[str, Any]) -> list[Step]:
        """Return the steps of the client."""
        queues = [spec.name for spec in _specs(name, settings["queues"])]
        return [
            Step(chance.randint(0, end_ms), f"{name}m", "operate", _operation(chance, queues))
            for _ in range(chance.choice((10, 50, 200)))
        ]

    @property
    def clients(self) -> "tuple[ModelledClient, ...]":
        return (self.client,)

    def is_done(self) -> bool:
        return self.client.idle

    def check(self) -> None:
        """Do nothing: everything was compared earlier."""


def _doubted(state: State) -> State:
    """Return the state after an end that was not in order: any stored message may have been delivered."""
    specs, stored = state
    found = {
        number: each._replace(copies=[copy._replace(redelivered=True) for copy in each.copies])
        for number, each in stored.items()
        if number != BATCHES
    }
    return specs, stored | found


def _specs(name: str, seed: int) -> tuple[Spec, ...]:
    """Return the queues, with unique names, and without delays, which begin at a time that only the broker knows."""
    return tuple(
        spec._replace(
            name=f"{name}-{spec.name}",
            letters=f"{name}-{spec.letters}" if spec.letters else "",
            ttl_ms=spec.ttl_ms * SLOWER if spec.ttl_ms != NONE else NONE,
            retry=None,
        )
        for spec in specs(random.Random(seed))
    )


def _operation(chance: random.Random, queues: list[str]) -> tuple[Any, ...]:
    (verb,) = chance.choices(list(OPERATIONS), list(OPERATIONS.values()))
    queue = chance.choice(queues)
    match verb:
        case "publish":
            expiration_ms = chance.choice((NONE, NONE, NONE, 600, 3_000))
            priority = chance.choice((0, 0, 1, 4, 5, 9))
            return verb, queue, chance.random() < 0.8, priority, expiration_ms, chance.choice(SIZES)
        case "get":
            return verb, queue, chance.random() < 0.3
        case "consume":
            return verb, queue, chance.choice((1, 3, 10))
        case "ack":
            return verb, chance.randrange(1000), chance.random() < 0.3
        case "nack":
            return verb, chance.randrange(1000), chance.random() < 0.3, chance.random() < 0.5
        case "wait":
            return verb, chance.choice((10, 1_000, 5_000))
    return verb, queue


@dataclass
class Operation:
    """An operation in progress. apply: applies it to a model, and returns the expected answer.

    sent_ms: time when it was sent. failures: number of failures of the disk by then.
    """

    apply: Callable[[Model], Any]
    sent_ms: int
    failures: int


class ModelledClient(Client):
    """Makes the operations of steps in order, each when the previous one is answered.

    The history has the model's states since the last that is certainly durable, each with the number of the store's
    gathering that contains it.
    """

    def __init__(self, world: World, name: str, queues: tuple[Spec, ...]) -> None:
        super().__init__(world, name)
        self._specs = queues
        #: The model is one of RabbitMQ 4.0, and nothing is requeued from its client.
        config, default = world.config, Config()
        self._is_modelled = (config.compat, config.consumer_timeout_ms) == (default.compat, default.consumer_timeout_ms)
        self._waiting: deque[tuple[Any, ...]] = deque()
        self._model = Model(0)
        self._history: list[tuple[State, int]] = []
        #: The broker that the model is compared with; None while the comparison must start again.
        self._process: BrokerProcess | None = None
        self._life = 0
        self._current: Operation | None = None
        self._ready = False
        self._comparing = False
        self._waited_ms = 0
        self._bodies = 0
        self._consumers = 0
        #: Tag of the present consumer of each queue.
        self._tags: dict[str, str] = {}
        self._deliveries: list[Received] = []
        self._due: dict[str, deque[tuple[Line, Copy]]] = {}
        self._held: dict[int, tuple[str, int]] = {}
        #: Number of compared operations, and of starts.
        self.compared = 0
        self.begun = 0

    @property
    def idle(self) -> bool:
        """Return whether everything is complete."""
        if not self._is_modelled:
            return True
        return self._ready and self._current is None and not self._comparing and not self._waiting

    @property
    def _now_ms(self) -> int:
        return self.world.time.wall_ns() // MS

    # --- beginnings ---------------------------------------------------------------------------------------------------

    def opened(self) -> None:
        if not self._is_modelled:
            return
        incarnation = self._incarnation
        self._deliveries.clear()
        self._due.clear()
        self._held.clear()
        if self._process is None or self._is_unsure():
            self._begin()
        else:
            # Messages that have expired since the start are removed by then.
            self.world.scheduler.after(LAG_MS * MS, lambda: self._recover(incarnation))

    def _is_unsure(self) -> bool:
        """Return whether a crash may have left a state that the model does not know."""
        bounds = self.world.config.bounds
        lowered = min(bounds.group_bytes, bounds.batch_bytes) < 1 << 24
        return lowered or self.world.life != self._life + 1

    def _begin(self) -> None:
        """Start with new queues, and a message that shows when they are durable."""
        self._process = None
        self._ready = self._comparing = False
        self._waited_ms = 0
        self._current = None
        self._held.clear()
        self._due.clear()
        self.begun += 1
        for spec in self._specs:
            self._ask("queue.delete", queue=spec.name)
        for spec in self._specs:
            self._ask("queue.declare", queue=spec.name, durable=True, arguments=arguments(spec))
        self._ask("basic.qos", self._begun, prefetch_count=1)

    def _begun(self) -> None:
        process = self.world.process
        if process is None:
            return
        if self.world.disk.has_unsynced_definitions:
            self._later(self._begun)
            return
        self._deliveries.clear()
        self._model = Model(self._now_ms)
        for spec in self._specs:
            self._model.declare(spec)
        self._process, self._life = process, self.world.life
        self._history = [(self._model.state(), 0)]
        self._go_on()

    def _go_on(self) -> None:
        self._ready = True
        self._next()

    def _recover(self, incarnation: int) -> None:
        """Find the broker's state among those that the model allows. Raises BrokenError."""
        process, before = self.world.process, self._process
        if incarnation != self._incarnation or not self.open or process is None or before is None:
            return
        if self.world.disk.is_failing:
            self._begin()
            return
        if not process.loop.is_between_iterations:
            self._later(lambda: self._recover(incarnation))
            return
        states = [state for state, _ in self._history]
        safe = max(i for i, (_, number) in enumerate(self._history) if number <= before.store.synced)
        found = None
        for i, state in allowed(states, safe, killed=False):
            state = _doubted(state)
            model = Model(process.began_ms)
            model.numbers = self._model.numbers
            model = model.restarted(state)
            model.advance(self._now_ms - process.began_ms)
            found = i, state, model
            if not self._differences(model, process):
                break
        else:
            if self._is_near(process.began_ms):
                self._begin()
                return
            assert found is not None
            raise self.world.broken(f"{self.name}: no allowed state: {self._differences(found[2], process)}")
        last, _, self._model = found
        self._adopt_deadlines(process)
        number = process.store._number
        # A message that the end of the process has left may still be lost by a failure of the machine.
        self._history = [(each, 0) for each in states[safe : last + 1]]
        self._history[1:] = [(each, number) for each, _ in self._history[1:]]
        self._history.append((self._model.state(), number))
        self._process, self._life = process, self.world.life
        self._go_on()

    def disconnected(self) -> None:
        self._ready = self._comparing = False
        self._waited_ms = 0
        operation, self._current = self._current, None
        if self._process is None:
            return
        model = copy.deepcopy(self._model)
        if operation is not None:
            is_late = self._now_ms - operation.sent_ms > LAG_MS
            if is_late or self._expires(model, operation.sent_ms - LAG_MS, self._now_ms):
                self._process = None
                return
        self._advance(model, self._now_ms)
        if operation is not None:
            operation.apply(model)
        if self.world.is_stopping and any(line.spec.counts_returns and line.held for line in model.lines.values()):
            # A broker that stops requeues its clients' messages, which counts as a failed delivery there. The operation
            # that was not answered yet may have delivered some.
            self._process = None
            return
        if operation is not None:
            self._history.append((model.state(), 1 << 60))

    # --- operations ---------------------------------------------------------------------------------------------------

    def do_operate(self, *operation: Any) -> None:
        """Make an operation on a queue, when all earlier ones are complete. The model has queues up to RabbitMQ 4.2."""
        if self.world.config.compat.counts_only_failures:
            return
        self._waiting.append(operation)
        self._next()

    def _next(self) -> None:
        is_busy = self._comparing or self._current is not None
        if not self._ready or is_busy or not self._waiting or self._process is None:
            return
        now_ms = self._now_ms
        if self.world.disk.is_failing or self._expires(self._model, now_ms - LAG_MS, now_ms + LAG_MS):
            self._later(self._next)
            return
        name, *details = self._waiting.popleft()
        apply = getattr(self, f"_{name}")(*details)
        if apply is None:
            self._next()
            return
        self._current = Operation(apply, now_ms, self.world.disk.failures)

    def _later(self, call: Callable[[], None]) -> None:
        incarnation = self._incarnation

        def again() -> None:
            if incarnation == self._incarnation and self.open:
                call()

        self.world.scheduler.after(LAG_MS * MS, again)

    def _ask(self, name: str, then: Callable[[], None] = lambda: None, channel: int = 1, **parameters: Any) -> None:
        self.call(lambda _: then(), f"{name}-ok", channel, name, **parameters)

    def _await_answer(self, answers: Sequence[Received] = ()) -> None:
        """Call `_settled` with these answers when the broker has certainly done everything so far."""
        self.call(lambda _: self._settled(answers), "basic.qos-ok", 1, "basic.qos", prefetch_count=0)

    def _publish(
        self, queue: str, persistent: bool, priority: int, expiration_ms: int, size: int
    ) -> Callable[[Model], Any]:
        self._bodies += 1
        body = b"%s-%d " % (self.name.encode(), self._bodies) + bytes(size)
        properties: dict[str, Any] = {"delivery_mode": 2 if persistent else 1, "priority": priority}
        if expiration_ms >= 0:
            properties["expiration"] = str(expiration_ms)
        self.write(published(queue, body, **properties))
        self._await_answer()
        return lambda model: model.publish(Copy(body, persistent, priority, expiration_ms), [queue])

    def _get(self, queue: str, no_ack: bool) -> Callable[[Model], Any]:
        answers: list[Received] = []
        self.call(answers.append, "basic.get-ok basic.get-empty", 1, "basic.get", queue=queue, no_ack=no_ack)
        self._await_answer(answers)

        def apply(model: Model) -> tuple[str, bool, Copy | None]:
            return queue, no_ack, model.get(queue, no_ack)

        return apply

    def _consume(self, queue: str, prefetch: int) -> Callable[[Model], Any] | None:
        if self._model.lines[queue].consumers.all:
            return None
        self._ask("basic.qos", prefetch_count=prefetch)
        # A consumer with the tag of a cancelled one would take over what that one holds, which the model does not know.
        self._consumers += 1
        tag = self._tags[queue] = f"{queue} {self._consumers}"
        self._ask("basic.consume", queue=queue, consumer_tag=tag)
        self._await_answer()
        return lambda model: model.subscribe(queue, tag, prefetch)

    def _cancel(self, queue: str) -> Callable[[Model], Any] | None:
        if not self._model.lines[queue].consumers.all:
            return None
        tag = self._tags[queue]
        self._ask("basic.cancel", consumer_tag=tag)
        self._await_answer()
        return lambda model: model.cancel(queue, tag)

    def _purge(self, queue: str) -> Callable[[Model], Any]:
        self._ask("queue.purge", queue=queue)
        self._await_answer()
        return lambda model: model.purge(queue)

    def _wait(self, duration_ms: int) -> Callable[[Model], Any]:
        incarnation = self._incarnation

        def over() -> None:
            if incarnation == self._incarnation and self._current is not None:
                self._current = None
                self._next()

        self.world.scheduler.after(duration_ms * MS, over)
        return lambda model: None

    def _ack(self, number: int, multiple: bool) -> Callable[[Model], Any] | None:
        return self._settle("basic.ack", "ack", number, multiple, {})

    def _nack(self, number: int, multiple: bool, requeue: bool) -> Callable[[Model], Any] | None:
        how = "requeue" if requeue else "reject"
        return self._settle("basic.nack", how, number, multiple, {"requeue": requeue})

    def _settle(
        self, name: str, how: str, number: int, multiple: bool, flags: dict[str, Any]
    ) -> Callable[[Model], Any] | None:
        if not self._held:
            return None
        tag = list(self._held)[number % len(self._held)]
        tags = [each for each in self._held if each == tag or (multiple and each < tag)]
        taken = [self._held.pop(each) for each in tags]
        self.write(method(name, 1, delivery_tag=tag, multiple=multiple, **flags))
        self._await_answer()
        return lambda model: model.settle([model.lines[queue].held[sequence] for queue, sequence in taken], how)

    # --- comparison ---------------------------------------------------------------------------------------------------

    def received(self, got: Received) -> None:
        if got.name == "basic.deliver":
            self._deliveries.append(got)
        elif not got.name.startswith("connection."):
            raise self.world.broken(f"{self.name} received {got}")

    def cancelled(self, got: Received) -> None:
        """Do nothing: the model knows that the queue has expired."""

    def _settled(self, answers: Sequence[Received]) -> None:
        if self.world.is_stopping:
            return  # held messages are, or will be, in the queues again: `_recover` finds out
        operation, self._current = self._current, None
        process = self.world.process
        if operation is None or process is None or process is not self._process:
            return
        disk, now_ms = self.world.disk, self._now_ms
        failed = disk.is_failing or disk.failures != operation.failures
        # After a long time it is unknown when the broker has done it.
        is_late = now_ms - operation.sent_ms > LAG_MS
        if failed or is_late or self._expires(self._model, operation.sent_ms - LAG_MS, now_ms):
            self._begin()
            return
        self._advance(self._model, now_ms)
        # A message that has expired behind others may be removed a little later than these.
        overdue = self._expires(self._model, 0, now_ms)
        expected = operation.apply(self._model)
        self._append(self._model.state())
        for answer in answers:
            self._compare_got(answer, *expected)
        self._comparing = True
        if overdue:
            self._later(self._compare_all)
        else:
            self._compare_all()

    def _compare_all(self) -> None:
        """Compare everything, when nothing expires just now."""
        process, now_ms = self.world.process, self._now_ms
        if process is None or process is not self._process or process.stopping:
            return
        if self.world.disk.is_failing:
            self._begin()
            return
        if not process.loop.is_between_iterations:
            # The broker waits for the disk within an operation, and the comparison would see half of its effects.
            self._later(self._compare_all)
            return
        overdue = _due_ms(self._model)
        if (overdue and overdue <= now_ms) or self._expires(self._model, now_ms - LAG_MS, now_ms):
            self._advance(self._model, now_ms)
            self._later(self._compare_all)
            return
        self._advance(self._model, now_ms)
        missing = self._compare_deliveries()
        if missing and self._waited_ms < ROOM_MS:
            self._waited_ms += LAG_MS
            self._later(self._compare_all)
            return
        if missing:
            raise self.world.broken(f"{self.name}: not delivered: {missing}")
        has_waited, self._waited_ms = self._waited_ms > 0, 0
        differences = self._differences(self._model, process)
        if differences and has_waited:
            self._begin()  # undelivered messages count for the queue's limit
            return
        if differences:
            raise self.world.broken(f"{self.name}: {differences}")
        self._adopt_deadlines(process)
        self.compared += 1
        self._comparing = False
        self._next()

    def _append(self, state: State) -> None:
        """Add a state to the history, and discard those before the last durable one."""
        assert self._process is not None
        store = self._process.store
        self._history.append((state, store._number))
        safe = max(i for i, (_, number) in enumerate(self._history) if number <= store.synced or i == 0)
        del self._history[:safe]

    def _advance(self, model: Model, now_ms: int) -> None:
        """Advance, from one expiry to the next: each may be stored without the next."""
        while (due_ms := _due_ms(model)) and due_ms <= now_ms:
            model.advance(max(due_ms - model.now_ms, 0))
            self._append(model.state())
        model.advance(now_ms - model.now_ms)

    def _expires(self, model: Model, after_ms: int, until_ms: int) -> bool:
        """Return whether anything expires in that time."""
        copies = [each for line in model.lines.values() for each in line.waiting_or_held()]
        return any(after_ms < each.deadline_ms <= until_ms for each in copies)

    def _is_near(self, began_ms: int) -> bool:
        """Return whether anything expires about now, or when the broker started, or at an uncertain time."""
        return any(
            self._expires(self._model, at_ms - 10 * LAG_MS, at_ms + LAG_MS) for at_ms in (began_ms, self._now_ms)
        )

    def _compare_got(self, answer: Received, queue: str, no_ack: bool, expected: Copy | None) -> None:
        counts_returns = self._model.lines[queue].spec.counts_returns
        if expected is None or answer.name == "basic.get-empty":
            if (expected is None) is not (answer.name == "basic.get-empty"):
                raise self.world.broken(f"{self.name}: {answer.name} from {queue} instead of {expected}")
            return
        self._compare(queue, answer, expected, counts_returns)
        if not no_ack:
            self._held[answer.arguments["delivery_tag"]] = queue, expected.sequence

    def _compare_deliveries(self) -> dict[str, int]:
        """Compare the received messages. Return the number of missing ones by queue. Raises BrokenError."""
        for delivery in self._model.take_delivered():
            self._due.setdefault(delivery.line.spec.name, deque()).append((delivery.line, delivery.copy))
        arrived, self._deliveries = self._deliveries, []
        for got in arrived:
            queue = got.arguments["consumer_tag"].split()[0]
            if not self._due.get(queue):
                raise self.world.broken(f"{self.name}: a delivery from {queue} that is not due")
            line, each = self._due[queue].popleft()
            self._compare(queue, got, each, line.spec.counts_returns)
            self._held[got.arguments["delivery_tag"]] = queue, each.sequence
        return {queue: len(due) for queue, due in self._due.items() if due}

    def _compare(self, queue: str, got: Received, expected: Copy, counts_returns: bool) -> None:
        if seen(got, counts_returns) != wanted(expected, counts_returns):
            texts = shown(seen(got, counts_returns)), shown(wanted(expected, counts_returns))
            raise self.world.broken(f"{self.name}: {queue}: got {texts[0]} instead of {texts[1]}")

    def _differences(self, model: Model, process: BrokerProcess) -> str:
        """Return the differences of the broker's queues from the model's, "" if there are none."""
        queues = process.broker.vhosts["/"].queues
        for name, line in model.lines.items():
            queue = queues.get(name)
            if queue is None:
                return f"{name} does not exist"
            counts = line.spec.counts_returns
            found = [
                (each.message.body.partition(b" ")[0], each.redelivered, each.delivery_count if counts else 0)
                for each in queue.ready_entries()
            ]
            expected = [
                (each.body.partition(b" ")[0], each.redelivered, each.count if counts else 0)
                for each in _in_order(line)
            ]
            if found != expected:
                return f"{name} has {found} instead of {expected}"
            if queue.unacked_count != len(line.held):
                return f"{name} has {queue.unacked_count} unacknowledged instead of {len(line.held)}"
        return ""

    def _adopt_deadlines(self, process: BrokerProcess) -> None:
        """Adopt the exact expiry times, which depend on when the broker has handled the publish."""
        for name, line in self._model.lines.items():
            deadlines = {
                each.sequence: each.deadline_ms for each in process.broker.vhosts["/"].queues[name].ready_entries()
            }
            for copies in (line.ready, line.returned):
                for i, each in enumerate(copies):
                    if each.deadline_ms and each.sequence in deadlines:
                        copies[i] = each._replace(deadline_ms=deadlines[each.sequence])


def _due_ms(model: Model) -> int:
    """Return when the first head of a queue expires, 0 if none does."""
    heads = [line.head().deadline_ms for line in model.lines.values() if len(line)]
    return min((deadline_ms for deadline_ms in heads if deadline_ms), default=0)


def _in_order(line: Line) -> list[Copy]:
    """Return the ready messages in the order in which they would leave."""
    line = copy.deepcopy(line)
    return [line.pop() for _ in range(len(line))]
