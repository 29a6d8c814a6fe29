"""A broker and its model, compared through operations and crashes that a seed chooses.

A run is a list of steps: plain tuples that stay valid if others are removed, so that a failing run can be shortened.
See durability_seeds.py for runs from seeds.
"""

import itertools
import json
import random
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from amqpbroker.broker.batches.batch import Batch
from amqpbroker.broker.broker import Broker
from amqpbroker.broker.queues.deduplicating_queue import DeduplicatingQueue
from amqpbroker.broker.queues.groups.group import CLOSED, PARKED
from amqpbroker.broker.queues.groups.key import shown_key
from amqpbroker.broker.queues.groups.letters import letter_queues
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.redrive.options import RedriveFilter
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.store.committer import Committer
from amqpbroker.store.journal.journal import Journal
from amqpbroker.store.persistence import Persistence
from amqpbroker.wire.values import Field, longstr, text
from tests.broker.durability_steps import (
    FANOUT,
    KEY,
    VERSION,
    Step,
    arguments,
    batch_headers,
    membership,
    specs,
    varied,
)
from tests.broker.redrive.driving import redrive
from tests.fault_definitions import FaultyDefinitions
from tests.fault_files import FaultyFiles, PowerCut
from tests.harness import Received, Wire
from tests.model.batches import EVENTS
from tests.model.batches import Batch as BatchInModel
from tests.model.copies import Copy
from tests.model.crashes import allowed
from tests.model.deliveries import Delivery
from tests.model.groups import GroupedLine
from tests.model.line import Line
from tests.model.model import Model, State, Stored
from tests.model.redrive import Counts, Redrive

DIRECTORY = Path("/journal")
START_MS = 1_700_000_000_000
STATES = {PARKED: "parked", CLOSED: "closed"}
CLIENTS = ("publisher", "transaction", "consumer", "admin")


class Disk(Committer):
    """Writes batches only when it is told to. on_start(), on_written(): called when a batch is closed, or durable."""

    def __init__(self, journal, definitions, on_start, on_written):
        super().__init__(journal, definitions.sync)
        self.on_start = on_start
        self.on_written = on_written
        self.work = None
        self.last = None

    def start(self, batch, on_done):
        assert self.work is None, "a batch while one is being written"
        self.work = batch, on_done
        if batch is not self.last:
            self.last = batch
            self.on_start()

    def close(self):
        pass

    def step(self):
        if self.work is None:
            return
        (batch, on_done), self.work = self.work, None
        failure = None
        try:
            self.commit(batch)
        except OSError as error:
            failure = error
        else:
            self.on_written()
        on_done(failure)


class Node:
    """A broker on files and definitions that outlive it."""

    config = Config()

    def __init__(self, files, definitions, now_ms, segment_bytes, on_start=lambda: None, on_written=lambda: None):
        self.clock = ManualClock(now_ms)
        self.failures: list[Exception] = []
        journal = Journal(DIRECTORY, files, segment_bytes)
        found = journal.recover()
        self.disk = Disk(journal, definitions, on_start, on_written)
        self.persistence = Persistence(journal, self.disk, self.failures.append, self.clock)
        self.broker = Broker(self.config, self.clock, self.persistence, definitions)
        self.broker.storage.recover(found)
        self.clock.advance(0)
        self.broker.sync()

    def client(self) -> Wire:
        return Wire(self.broker).log_in()


def ids_of(queue: LocalQueue, now_ms: int) -> list[tuple[str, int]]:
    """Return the ids by which a queue recognises duplicates, each with the end of its time, 0 for none."""
    if not isinstance(queue, DeduplicatingQueue):
        return []
    ids = queue.window if queue.window is not None else queue.queued_ids
    assert ids is not None
    taken = [each for each in ids._ids.values() if not each.expires_ms or each.expires_ms > now_ms]
    return sorted((each.key[1:].decode(), each.expires_ms) for each in taken)


def groups_of(queue: LocalQueue, now_ms: int) -> list[tuple[str, str, int]]:
    """Return the stopped groups of a queue, each with its state and since when, and the versions with their expiry."""
    if not isinstance(queue, GroupQueue):
        return []
    found = [
        (shown_key(group.key), STATES[group.state], group.note.expires_ms)
        for group in queue.line.groups.stopped()
        if group.key is not None and group.note is not None
    ]
    if queue.line.versions is not None:
        acked = queue.line.versions._acked.items()
        found += [(key[1:].decode(), str(number), note.expires_ms) for key, (number, note) in acked]
    return sorted(each for each in found if each[1] in STATES.values() or each[2] > now_ms)


def stopped_of(line: Line, now_ms: int) -> list[tuple[str, str, int]]:
    """Return the same of the model."""
    if not isinstance(line, GroupedLine):
        return []
    found = [(each.key, "closed" if each.is_closed else "parked", each.since_ms) for each in line.stopped.values()]
    return sorted([*found, *((each.key, str(each.number), each.expires_ms) for each in line.live_versions(now_ms))])


def batch_of(batch: Batch) -> tuple[Any, ...]:
    """Return the state of a batch, with the copies of each member that are open and failed, and the failures.

    It counts copies of queues whose deletion was stored before the loss of these.
    """
    copies = [(member.stored_copies, member.failed_copies) for member in batch.members.values()]
    members = sorted(each for each in copies if any(each))
    counts = batch.terms.size, batch.ok, batch.failed, batch.open
    failures = sorted(failure.message_id.decode() for failure in batch.failures.values())
    return ("batch", batch.id.decode(), *counts, *members, *failures, *sorted(batch.sent))


def batch_in_model(id_: str, batch: BatchInModel) -> tuple[Any, ...]:
    """Return the same of the model."""
    members = sorted((member.stored, member.failed) for _, member in batch.members if member.stored or member.failed)
    counts = batch.size, batch.ok, batch.count("failed"), batch.count("")
    failures = sorted(member.failure.member for _, member in batch.members if member.failure is not None)
    return ("batch", id_, *counts, *members, *failures, *sorted(batch.sent))


def content(body: bytes) -> bytes:
    """Return a body; that of a message about a batch with the failed members only.

    Which of several copies fails first, when they expire while the broker is down, is not defined.
    """
    if not body.startswith(b"{"):
        return body
    about = json.loads(body)
    about["failures"] = sorted(failure["message_id"] for failure in about["failures"])
    return json.dumps(about).encode()


def all_of(wire: Wire, queue: LocalQueue) -> Iterator[Received]:
    """Take all messages out of a queue, and iterate over them."""
    if not queue.kind.get_beside_single_active and queue.settings.single_active_consumer:
        wire.send(1, "basic.consume", queue=queue.name, no_ack=True, consumer_tag=queue.name)
        yield from [got for got in wire.receive() if got.name == "basic.deliver"]
        return
    while (got := wire.get(queue.name)).name == "basic.get-ok":
        yield got


def seen(got: Received, counts_returns: bool) -> tuple[Any, ...]:
    """Return what a client sees of a message that it gets."""
    assert got.properties is not None
    headers = got.properties.get("headers", {})
    deaths = tuple(
        (text(death.value["queue"].value), text(death.value["reason"].value), death.value["count"].value)
        for death in (headers["x-death"].value if "x-death" in headers else ())
    )
    first = None
    if deaths:
        first = text(headers["x-first-death-queue"].value), text(headers["x-first-death-reason"].value)
    count = headers["x-delivery-count"].value if "x-delivery-count" in headers else 0
    return (
        content(got.body),
        got.properties.get("delivery_mode") == 2,
        got.properties.get("priority", 0),
        got.properties.get("expiration"),
        deaths,
        first,
        got.arguments["redelivered"],
        count if counts_returns else 0,
    )


def wanted(copy: Copy, counts_returns: bool) -> tuple[Any, ...]:
    """Return what a client should see of a copy."""
    expiration = str(copy.expiration_ms).encode() if copy.expiration_ms >= 0 else None
    count = copy.count if counts_returns else 0
    return (
        copy.body,
        copy.persistent,
        copy.priority,
        expiration,
        copy.deaths,
        copy.first,
        copy.redelivered,
        count,
    )


class Commit(NamedTuple):
    """A tx.commit that is not answered yet. settled: the messages that it settled."""

    operation: int
    published: list[bytes]
    settled: list[Delivery]


class Run:
    """Executes steps on both, and compares all visible results. Raises AssertionError if they differ."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.specs = {spec.name: spec for spec in varied(specs(chance), chance)}
        for spec in [*self.specs.values()]:
            if spec.groups is not None and spec.groups.on_dead == "follow" and spec.letters:
                # The model does not know whether a queue would drop a letter of a closed group as a duplicate.
                self.specs[spec.letters] = self.specs[spec.letters]._replace(deduplication=None)
        self.segment_bytes = chance.choice((600, 1_500, 4_000, 20_000))
        self.files = FaultyFiles()
        self.definitions = FaultyDefinitions()
        self.model = Model(START_MS)
        self.bodies = itertools.count(1)
        self.crashes = 0
        self.messages = 0
        self.history: list[State] = []
        self._forget()
        self._start()
        admin = self.wires["admin"]
        admin.call(1, "exchange.declare", exchange="fan", exchange_type="fanout", durable=True)
        for spec in self.specs.values():
            self.declare(spec.name)
        for name in FANOUT:
            admin.call(1, "queue.bind", queue=name, exchange="fan")
        self.definitions.sync()
        self.history[:] = [self.model.state()]

    # --- restarts -----------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        """Forget what is lost when a broker ends."""
        self.synced = self.closed = 0
        self.ending = "power", 0
        self.published: dict[int, tuple[int, bytes]] = {}
        self.tags = 0
        self.unread: list[Received] = []
        self.committing: Commit | None = None
        self.held: dict[str, dict[int, Delivery]] = {"consumer": {}, "transaction": {}}
        #: Deliveries that the broker has taken back, by tag, for as long as the client may still settle them.
        self.late: dict[str, dict[int, Delivery]] = {"consumer": {}, "transaction": {}}
        self.consumers = 0
        self.cancelled: list[str] = []
        self.unrouted = 0

    def _start(self) -> None:
        self.node = Node(
            self.files, self.definitions, self.model.now_ms, self.segment_bytes, self._on_start, self._on_written
        )
        self.wires = {name: self.node.client() for name in CLIENTS}
        self.wires["publisher"].call(1, "confirm.select")
        self.wires["transaction"].call(1, "tx.select")

    def _on_start(self) -> None:
        self.closed = len(self.history)

    def _on_written(self) -> None:
        self.synced = self.closed

    def crash(self, how: str, seed: int) -> None:
        """End the broker, and check that the next broker restores a state that the model allows."""
        self.crashes += 1
        synced, killed = min(self.synced, len(self.history) - 1), how == "kill"
        # No two brokers start at the same time, so deadlines show in which one a message was published.
        self.model.now_ms += 1
        chance = random.Random(seed)
        if killed:
            self.files.kill()
            self.definitions = self.definitions.killed()
        else:
            self.files.power_loss(chance=chance)
            self.definitions = self.definitions.after_power_loss(chance)
        clone = Node(self.files.copy(), self.definitions.killed(), self.model.now_ms, self.segment_bytes)
        found = self.drained(clone)
        states = list(allowed(self.history, synced, killed))
        matches = [(i, state) for i, state in states if self.expected(state) == found]
        if not matches:
            self._explain(found, [state for _, state in states], f"{how}, {synced} of {len(self.history) - 1} was safe")
        last, state = matches[0]
        # A machine failure may still undo what the end of the process has left: the messages, and the objects since.
        later = [(specs, state[1]) for specs, _ in self.history[last + 1 :]]
        # Of several states that look the same now, any one may be on the disk. After a further crash they may differ:
        # a message that has expired by then failed before the copies that the first crash lost, or after them.
        alike = [state for _, state in reversed(matches)]
        self.history = [*self.history[synced : last + 1], *later, state] if killed else alike
        self.model = self.model.restarted(state)
        self._forget()
        if chance.random() < 0.2:
            self.files.cut_at = self.files.steps + chance.randint(1, 4)
        try:
            self._start()
        except PowerCut:
            self.model = self.model.restarted(state)
            self.crash("power", seed + 1)
            return
        self.history.append(self.model.state())

    def drained(self, node: Node) -> list[tuple[str, tuple[Any, ...]]]:
        """Return each queue with its hidden state, and each message that it delivers."""
        wire = node.client()
        found: list[tuple[str, tuple[Any, ...]]] = []
        for name, queue in node.broker.vhost("/").queues.items():
            assert isinstance(queue, LocalQueue)
            info = queue.info()
            delayed = info.messages_delayed, info.next_delayed_at, info.last_delayed_at
            line = getattr(queue.ready, "_line", queue.ready)
            ready = sorted((entry.deadline_ms - START_MS, entry.delivery_count) for entry in queue.ready)
            late = sorted(
                (due_ms - START_MS, entry.message.body, entry.delivery_count, entry.redelivered)
                for due_ms, entry in queue.delayed_entries()
            )
            found.append((name, ("hidden", getattr(line, "turn", 0), tuple(ready), tuple(late), delayed)))
            found += [(name, ("id", *taken)) for taken in ids_of(queue, node.clock.wall_ms())]
            found += [(name, ("group", *each)) for each in groups_of(queue, node.clock.wall_ms())]
            taken = [(name, seen(got, queue.counts_returns)) for got in all_of(wire, queue)]
            found += sorted(taken) if name == EVENTS else taken
            found += [(name, ("stays", entry.message.body)) for entry in queue.ready]
        batches = node.broker.vhost("/").batches
        assert batches is not None
        found += sorted((EVENTS, batch_of(each)) for each in batches.all())
        return found

    def expected(self, state: State) -> list[tuple[str, tuple[Any, ...]]]:
        """Return the same for the model that starts with a state."""
        model = self.model.restarted(state)
        found: list[tuple[str, tuple[Any, ...]]] = []
        for name, line in model.lines.items():
            dues = sorted([copy.due_ms for copy in line.delayed]) or [None]
            delayed = len(line.delayed), dues[0], dues[-1]
            ready = sorted((copy.deadline_ms - START_MS, copy.count) for copy in line.waiting())
            late = sorted((copy.due_ms - START_MS, copy.body, copy.count, copy.redelivered) for copy in line.delayed)
            found.append((name, ("hidden", line.turn, tuple(ready), tuple(late), delayed)))
            taken = sorted((taken.key, taken.expires_ms) for taken in line.ids.live(model.now_ms))
            found += [(name, ("id", *each)) for each in taken]
            found += [(name, ("group", *each)) for each in stopped_of(line, model.now_ms)]
            expected = []
            while (copy := model.get(name, no_ack=True)) is not None:
                expected.append((name, wanted(copy, line.spec.counts_returns)))
            found += sorted(expected) if name == EVENTS else expected
            found += [(name, ("stays", copy.body)) for copy in line.waiting()]
        found += sorted((EVENTS, batch_in_model(id_, each)) for id_, each in model.batches.by_id.items())
        return found

    def _explain(self, found: list[tuple[str, tuple[Any, ...]]], states: list[State], when: str) -> NoReturn:
        lines = [f"{when}: what is found is none of {len(states)} allowed states. Found, and the two nearest:"]
        lines += [f"  {name}: {shown(message)}" for name, message in found]
        nearest = []
        for expected in map(self.expected, states):
            missing = [item for item in expected if item not in found]
            more = [item for item in found if item not in expected]
            nearest.append((len(missing) + len(more), missing, more, expected))
        for _, missing, more, expected in sorted(nearest, key=lambda item: item[0])[:2]:
            lines.append("or")
            lines += [f"  is missing {name}: {shown(message)}" for name, message in missing]
            lines += [f"  is too much {name}: {shown(message)}" for name, message in more]
            if not missing and not more:
                first = next(i for i, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other)
                lines.append(f"  the order differs, from {expected[first][0]}: {shown(expected[first][1])}")
        raise AssertionError("\n".join(lines))

    # --- steps --------------------------------------------------------------------------------------------------------

    def do(self, step: Step) -> None:
        """Execute one step. It is skipped if its object does not exist."""
        self._do(step)
        # The order in which locks of two channels run out at the same time is not defined.
        self._do(("advance", 1))

    def _do(self, step: Step) -> None:
        name, *details = step
        if name == "crash":
            self.crash(*details)
            return
        try:
            getattr(self, name)(*details)
            self._end_iteration()
            self.read()
        except PowerCut:
            self.crash(*self.ending)
            return
        self.history.append(self.model.state())
        if self.node.failures:
            self.crash("power", len(self.history))

    def _end_iteration(self) -> None:
        """Send the messages about batches."""
        self.node.clock.advance(0)
        before = self.model.state()
        if self.model.send_events():
            self.history.append(before)
        line, queue = self.model.lines.get(EVENTS), self.node.broker.vhost("/").queues[EVENTS]
        if not self.node.failures:
            assert line is not None
            assert queue.ready_count == len(line), f"{queue.ready_count} messages about batches instead of {len(line)}"

    def end(self) -> None:
        """Consume everything, and check that nothing is left, and hardly a file."""
        self.crash("kill", 0)
        self.disk(100)
        self.read()
        for name in self.specs:
            if name in self.model.lines:
                self._purge(name)
                self.model.purge(name)
                self._end_iteration()
        self.read()
        self.disk(100)
        # The states of batches remain.
        most = 3 + len(self.model.batches.by_id)
        assert len(self.files.contents) <= most, f"{len(self.files.contents)} segments of nothing"
        self.history = [self.model.state()]
        self.synced = 0
        self.crash("kill", 0)

    def _copy(
        self,
        persistent: bool,
        priority: int,
        expiration_ms: int,
        size: int,
        key: str,
        version: int,
        batch: int,
        member: int,
    ) -> tuple[Copy, dict[str, Any]]:
        self.messages += 1
        body = b"%d " % next(self.bodies)
        properties: dict[str, Any] = {"delivery_mode": 2 if persistent else 1, "priority": priority}
        if expiration_ms >= 0:
            properties["expiration"] = str(expiration_ms)
        headers = {KEY: longstr(key)} if key else {}
        of_batch = membership(batch, member)
        if of_batch is not None:
            headers |= batch_headers(of_batch)
            properties["message_id"] = of_batch.member
        if version:
            headers[VERSION] = Field("I", version)
        if headers:
            properties["headers"] = headers
        copy = Copy(body + b"x" * size, persistent, priority, expiration_ms, key=key, version=version, batch=of_batch)
        return copy, properties

    def publish(self, target: str, *message: Any) -> None:
        copy, properties = self._copy(*message)
        fan = target == "*"
        self.tags += 1
        self.model.publish(copy, FANOUT if fan else [target])
        self.published[self.tags] = len(self.history), copy.body
        exchange, key = ("fan", "") if fan else ("", target)
        self.wires["publisher"].publish(key, copy.body, exchange=exchange, **properties)

    def fan(self, *message: Any) -> None:
        self.publish("*", *message)

    def transact(
        self,
        targets: tuple[str, ...],
        persistent: bool,
        priority: int,
        expiration_ms: int,
        size: int,
        key: str,
        version: int,
        batch: int,
        member: int,
        settled: int,
        how: str,
        commit: bool,
    ) -> None:
        """Run a transaction. One that is rolled back has no effect."""
        if self.committing is not None:
            return
        wire, held = self.wires["transaction"], self.held["transaction"]
        copies = []
        for target in targets:
            copy, properties = self._copy(persistent, priority, expiration_ms, size, key, version, batch, member)
            copies.append((copy, FANOUT if target == "*" else [target]))
            exchange, routing_key = ("fan", "") if target == "*" else ("", target)
            wire.publish(routing_key, copy.body, exchange=exchange, **properties)
        tags = list(held)[:settled]
        for tag in tags:
            if how == "ack":
                wire.send(1, "basic.ack", delivery_tag=tag)
            elif how == "fail":
                wire.send(1, "basic.reject", delivery_tag=tag, requeue=True)
            else:
                wire.send(1, "basic.nack", delivery_tag=tag, requeue=how == "requeue")
        if not commit:
            wire.send(1, "tx.rollback")
            return
        wire.send(1, "tx.commit")
        taken = [held.pop(tag) for tag in tags]
        self.committing = Commit(
            len(self.history), [copy.body for copy, _ in copies], [] if how in ("requeue", "fail") else taken
        )
        self.model.commit(copies, taken, how)

    def get(self, name: str, who: str) -> None:
        line = self.model.lines.get(name)
        if line is None or line.spec.refuses_get or (who == "transaction" and self.committing is not None):
            return
        self.wires[who].send(1, "basic.get", queue=name)
        copy = self.model.get(name, channel=who)
        received = self.wires[who].receive()
        answers = [got for got in received if got.name in ("basic.get-ok", "basic.get-empty")]
        assert len(answers) == 1, received
        (got,) = answers
        self.unread += [other for other in received if other is not got]
        if copy is None:
            assert got.name == "basic.get-empty", got
            return
        assert got.name == "basic.get-ok", (got, copy)
        assert got.arguments["message_count"] == len(line), f"{name}: {got.arguments}, but {len(line)} are ready"
        self.held[who][got.arguments["delivery_tag"]] = line.held[copy.sequence]
        if line.spec.quorum:
            self.history.append(self.model.state())
            self.model.advance(0)
        self._compare(name, seen(got, line.spec.counts_returns), wanted(copy, line.spec.counts_returns))

    def take(self, name: str, count: int) -> None:
        """Get messages without acknowledgement, which frees space in the journal."""
        line = self.model.lines.get(name)
        if line is None or (line.spec.quorum and line.spec.single_active):
            return
        wire = self.wires["admin"]
        for _ in range(count):
            wire.send(1, "basic.get", queue=name, no_ack=True)
        expected = [copy for _ in range(count) if (copy := self.model.get(name, no_ack=True)) is not None]
        received = wire.receive()
        assert len(received) == count
        for got, copy in zip(received, expected, strict=False):
            assert got.name == "basic.get-ok", (got, copy)
            self._compare(name, seen(got, line.spec.counts_returns), wanted(copy, line.spec.counts_returns))
        assert all(got.name == "basic.get-empty" for got in received[len(expected) :]), received

    def _compare(self, name: str, found: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
        assert found == expected, f"{name}: got {shown(found)} instead of {shown(expected)}"

    def consume(self, name: str, prefetch: int, priority: int) -> None:
        line = self.model.lines.get(name)
        if line is None or len(line.consumers.all) >= (3 if line.spec.single_active else 1):
            return
        # A consumer with the tag of a cancelled one would take over what that one holds, which the model does not know.
        self.consumers += 1
        tag = f"{name} {self.consumers}"
        wire = self.wires["consumer"]
        wire.send(1, "basic.qos", prefetch_count=prefetch)
        wire.send(1, "basic.consume", queue=name, consumer_tag=tag, arguments={"x-priority": Field("I", priority)})
        self.model.subscribe(name, tag, prefetch, priority)

    def cancel(self, name: str, number: int) -> None:
        line = self.model.lines.get(name)
        if line is None or not line.consumers.all:
            return
        consumer = line.consumers.all[number % len(line.consumers.all)]
        if consumer.outstanding and line.spec.lock is not None and line.spec.lock.action == "cancel":
            return  # When its locks run out, the channel is closed: there is no consumer to cancel.
        self.wires["consumer"].send(1, "basic.cancel", consumer_tag=consumer.tag)
        self.model.cancel(name, consumer.tag)

    def _settled(self, number: int, multiple: bool) -> int:
        """Choose a delivery of the consumer's channel, and have the model settle those that were taken back.

        Return its tag, 0 if there is none.
        """
        held, late = self.held["consumer"], self.late["consumer"]
        if not held:
            return 0
        tag = sorted(held)[number % len(held)]
        if multiple:
            self._settle_late([each for each in late if each < tag])
        return tag

    def _taken(self, tag: int, multiple: bool) -> list[Delivery]:
        held = self.held["consumer"]
        tags = [each for each in sorted(held) if each == tag or (multiple and each < tag)]
        return [held.pop(each) for each in tags]

    def _settle_late(self, tags: list[int]) -> None:
        """Settle, in the model, deliveries that the broker has taken back."""
        late = self.late["consumer"]
        self.model.settle_late([late.pop(tag) for tag in sorted(tags) if late[tag].is_owed])

    def ack(self, number: int, multiple: bool) -> None:
        if tag := self._settled(number, multiple):
            self.wires["consumer"].send(1, "basic.ack", delivery_tag=tag, multiple=multiple)
            self.model.settle(self._taken(tag, multiple), "ack")

    def nack(self, number: int, multiple: bool, requeue: bool) -> None:
        if tag := self._settled(number, multiple):
            self.wires["consumer"].send(1, "basic.nack", delivery_tag=tag, multiple=multiple, requeue=requeue)
            self.model.settle(self._taken(tag, multiple), "requeue" if requeue else "reject")

    def fail(self, number: int) -> None:
        """Requeue a message by basic.reject, which counts as a failure."""
        if tag := self._settled(number, False):
            self.wires["consumer"].send(1, "basic.reject", delivery_tag=tag, requeue=True)
            self.model.settle(self._taken(tag, False), "fail")

    def settle_late(self, number: int, multiple: bool, requeue: bool) -> None:
        """Settle a delivery that the broker has taken back, which has no effect on its message."""
        late = self.late["consumer"]
        if late:
            tag = sorted(late)[number % len(late)]
            self.wires["consumer"].send(1, "basic.nack", delivery_tag=tag, multiple=multiple, requeue=requeue)
            self._settle_late([each for each in late if each == tag or (multiple and each < tag)])
            if multiple:
                self.model.settle(self._taken(tag, True), "requeue" if requeue else "reject")

    def renew(self, who: str, number: int, timeout_ms: int) -> None:
        """Renew the lock of a delivery. timeout_ms: below 0 for that of the queue."""
        deliveries = {tag: each for tag, each in self.held[who].items() if each.due_ms and self.model.exists(each.line)}
        if not deliveries:
            return
        tag = sorted(deliveries)[number % len(deliveries)]
        self._renew(who, tag, timeout_ms)
        self.model.renew([deliveries[tag]], timeout_ms if timeout_ms >= 0 else None)
        if not timeout_ms:
            self._take_back(who, tag)

    def renew_all(self, who: str) -> None:
        """Renew all locks of a channel. Deliveries without one are locked for so long that it does not matter."""
        self._renew(who, 0, -1)
        held = self.held[who].values()
        self.model.renew([each for each in held if each.due_ms and self.model.exists(each.line)], None)
        self.unrouted += not held and who == "consumer"

    def renew_late(self, number: int) -> None:
        """Renew a lock that has run out."""
        late = self.late["consumer"]
        if late:
            self._renew("consumer", sorted(late)[number % len(late)], -1)
            self.unrouted += 1

    def _renew(self, who: str, tag: int, timeout_ms: int) -> None:
        headers = {"x-delivery-tag": Field("l", tag)}
        if timeout_ms >= 0:
            headers["x-consumer-timeout"] = Field("I", timeout_ms)
        self.wires[who].publish("amq.renew-lock", mandatory=who == "consumer", headers=headers)

    def _take_back(self, who: str, tag: int) -> None:
        self.late[who][tag] = self.held[who].pop(tag)

    def resume(self, number: int, discards: bool) -> None:
        """Redrive a stopped group, or discard its first message."""
        lines = [line for line in self.model.lines.values() if isinstance(line, GroupedLine)]
        stopped = sorted((line.spec.name, key) for line in lines for key in line.stopped)
        if not stopped:
            return
        name, key = stopped[number % len(stopped)]
        vhost = self.node.broker.vhost("/")
        queue = vhost.queues[name]
        assert isinstance(queue, GroupQueue)
        self.node.clock.now_ms()  # begins an event loop iteration
        group = queue.line.groups.get(b"S" + key.encode())
        assert group is not None, f"group {key} of {name} is not stopped"
        found = letter_queues(queue, queue.line.groups.letters.queues(), vhost.queues)
        operation = queue.discard_first if discards else queue.redrive_group
        # Letters may have left their queue by other ways.
        count = operation(group, found, forced=True)
        expected = self.model.resume(name, key, discards)
        assert count == expected, f"{count} messages of group {key} of {name} instead of {expected}"

    def redrive(self, name: str, destination: str, keeps_history: bool, limit: int, reason: str) -> None:
        if name not in self.model.lines:
            return
        queue = self.node.broker.vhost("/").queues[name]
        filter_ = RedriveFilter(reason or None)
        task = redrive(queue, destination=destination or None, limit=limit, filter=filter_, keep_history=keeps_history)
        expected = self.model.redrive(name, Redrive(destination, keeps_history, limit, reason))
        found = Counts(task.moved, task.failed, task.skipped)
        assert (task.state, found) == ("COMPLETED", expected), f"{name}: {task.state}, {found} instead of {expected}"

    def purge(self, name: str) -> None:
        if name in self.model.lines:
            count = self._purge(name)
            assert count == self.model.purge(name)

    def _purge(self, name: str) -> int:
        """Purge a queue, and return how many messages were ready.

        No answer is requested, because it may wait for the disk.
        """
        count = self.node.broker.vhost("/").queues[name].ready_count
        self.wires["admin"].send(1, "queue.purge", queue=name, nowait=True)
        return count

    def delete(self) -> None:
        if "loose" in self.model.lines:
            got = self.wires["admin"].call(1, "queue.delete", queue="loose")
            assert got.arguments["message_count"] == self.model.delete("loose")

    def declare(self, name: str = "loose") -> None:
        self.wires["admin"].declare(name, durable=True, arguments=arguments(self.specs[name]))
        self.model.declare(self.specs[name])

    def advance(self, ms: int) -> None:
        """Advance both clocks. Two events whose order is not defined do not happen: the broker ends before them."""
        end_ms = self.model.now_ms + ms
        while (left_ms := end_ms - self.model.now_ms) > 0:
            if self.model.ties(self.model.now_ms + 1):
                self.history.append(self.model.state())
                self.crash("kill", left_ms)
                continue
            step_ms = 1 if self.model.may_tie() else left_ms
            self.node.clock.advance(step_ms)
            self.model.advance(step_ms)

    def disk(self, batches: int) -> None:
        for _ in range(batches):
            self.node.disk.step()
            self.read()

    def cut(self, after: int, how: str, seed: int) -> None:
        """End the broker in the middle of a file operation, soon."""
        self.ending = how, seed
        self.files.cut_at = self.files.steps + after

    def break_disk(self, what: str, after: int) -> None:
        """Make a write or sync fail, soon."""
        if what == "write":
            self.files.fail_write = self.files.writes + after
        else:
            self.files.fail_sync = self.files.syncs + after

    # --- events of clients --------------------------------------------------------------------------------------------

    def read(self) -> None:
        expected: dict[str, deque[Delivery]] = {}
        for delivery in self.model.take_delivered():
            expected.setdefault(delivery.consumer, deque()).append(delivery)
        unread, self.unread = self.unread, []
        for got in unread + [got for wire in self.wires.values() for got in wire.receive()]:
            if got.name == "basic.deliver":
                tag = got.arguments["consumer_tag"]
                assert expected.get(tag), f"a delivery of {tag} that is not due: {got}"
                delivery = expected[tag].popleft()
                counts_returns = delivery.line.spec.counts_returns
                self._compare(tag, seen(got, counts_returns), wanted(delivery.copy, counts_returns))
                self.held["consumer"][got.arguments["delivery_tag"]] = delivery
            else:
                self.answered(got)
        missing = [f"{tag}: {shown(wanted(each.copy, True))}" for tag, due in expected.items() for each in due]
        assert not missing, f"not delivered: {missing}"
        self._read_locks()
        assert not self.unrouted, f"{self.unrouted} renewals of nothing were not returned"
        if not self.node.failures:
            late = [tag for tag, (operation, _) in self.published.items() if operation <= self.synced]
            assert not late, f"not confirmed though synced: {late}"
            assert self.committing is None or self.committing.operation > self.synced, "not committed though synced"

    def _read_locks(self) -> None:
        """Take back the deliveries whose locks have run out, and compare the consumers that were notified."""
        notified = []
        for delivery in self.model.take_run_out():
            held = self.held[delivery.channel]
            (tag,) = [tag for tag, each in held.items() if each is delivery]
            self._take_back(delivery.channel, tag)
            if delivery.is_owed:
                notified.append(delivery)
        tags = {(each.consumer, each.due_ms) for each in notified}
        expected = sorted(tag for tag, _ in tags)
        assert sorted(self.cancelled) == expected, f"cancelled: {self.cancelled}, expected: {expected}"
        self.cancelled.clear()

    def answered(self, got: Received) -> None:
        if got.name == "basic.ack":
            last = got.arguments["delivery_tag"]
            for tag in [tag for tag in self.published if tag == last or (got.arguments["multiple"] and tag < last)]:
                operation, body = self.published.pop(tag)
                assert not self._must_wait(operation, body), f"publish {tag} was confirmed before it was synced"
        elif got.name == "tx.commit-ok":
            commit, self.committing = self.committing, None
            assert commit is not None
            if commit.operation > self.synced:
                early = [body for body in commit.published if self._must_wait(commit.operation, body)]
                assert not early, "committed before it was synced"
                safe = self.history[self.synced][1]
                back = [
                    copy
                    for settled in commit.settled
                    for copy in safe.get(settled.line.number, Stored([], ())).copies
                    if copy.sequence == settled.sequence
                ]
                assert not back, f"committed, but acks were not synced: {back}"
        elif got.name == "basic.cancel":
            # A deleted queue cancels its consumers too.
            if got.arguments["consumer_tag"].split()[0] in self.model.lines:
                self.cancelled.append(got.arguments["consumer_tag"])
        elif got.name == "basic.return":
            assert got.arguments["reply_code"] == 312
            self.unrouted -= 1
        else:
            assert got.name in (
                "basic.consume-ok",
                "basic.cancel-ok",
                "basic.qos-ok",
                "tx.rollback-ok",
            ), got

    def _must_wait(self, operation: int, body: bytes) -> bool:
        """Return whether the confirm of a message has to wait until the operation that published it is synced.

        A confirm promises the copies that the publish has stored, as long as they or their successors exist. For a
        transient message that a redrive has since moved into a quorum queue, which stores it, it promises nothing more.
        """
        if operation <= self.synced or not self.model.has_stored(body):
            return False
        stored = (self.history[operation] if operation < len(self.history) else self.model.state())[1]
        return any(copy.body == body for line in stored.values() for copy in line.copies)


def shown(message: tuple[Any, ...]) -> str:
    if message[0] == "id":
        return f"id {message[1]} until {message[2]}"
    if message[0] == "batch":
        return str(message)
    if message[0] == "group":
        return f"group {message[1]}: {message[2]}, {message[3]}"
    if message[0] == "stays":
        return f"undelivered {message[1].partition(b' ')[0].decode()}"
    if message[0] == "hidden":
        _, turn, ready, late, delayed = message
        deadlines = [(ms if ms >= 0 else None, count) for ms, count in ready]
        dues = [(ms, body.partition(b" ")[0].decode(), *rest) for ms, body, *rest in late]
        return f"turn {turn}, deadlines and counts {deadlines}, of delayed ones {dues}, {delayed}"
    body, persistent, priority, expiration, deaths, _, redelivered, count = message
    if body.startswith(b"{"):
        return body.decode()
    facts = [f"priority {priority}" if priority else "", f"expiration {expiration}" if expiration else ""]
    facts += ["redelivered" if redelivered else "", f"count {count}" if count else ""]
    facts += [f"{queue} {reason} {times}" for queue, reason, times in deaths]
    kind = "persistent" if persistent else "transient"
    return ", ".join([f"message {body.partition(b' ')[0].decode()} ({kind})", *filter(None, facts)])
