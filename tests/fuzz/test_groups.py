"""Message groups: no message of a key is delivered while an earlier one is out, delayed, parked or followed.

A state machine publishes, settles, fails, redrives, discards, purges, advances the clock, moves messages to disk, and
crashes and restarts the broker. Its own record has each message and its place; each delivery is compared with it. See
effort.py for the number of examples.
"""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.group import Group
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.config import Config
from amqpbroker.config.bounds import Bounds
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import Subscriber, table
from tests.broker.storing import Node as StoringNode
from tests.broker.storing import crashed_copy
from tests.fuzz.effort import effort

HEADER = "key"
KEYS = st.sampled_from(["a", "b", "c", "d", None])
LIMIT = 1


class Node(StoringNode):
    """Its pages are small, so that most messages are on disk."""

    config = Config(bounds=Bounds(page_count=2, read_count=2, least_page_count=1))


class Worker(Subscriber):
    """Compares each delivery with the record of the machine."""

    machine: "Machine"

    def deliver(self, entry: Entry) -> None:
        super().deliver(entry)
        # The clock still fires the timers of a broker that has crashed.
        if entry.queue is self.machine.queue:
            self.machine.delivered(int(entry.message.body), self)


class Machine(RuleBasedStateMachine):
    """All messages are persistent, and numbered in the order in which they are published.

    keys: number -> key. places: number -> place in the queue, lower ones first. waiting: ready messages. held:
    delivered and unsettled ones -> their worker. late: delayed ones -> due time. grave: dead letters, in order. counts:
    failed deliveries.
    """

    @initialize(
        kind=st.sampled_from([{}, {"queue_type": "quorum"}, {"single_active_consumer": True}]),
        on_dead=st.sampled_from(["skip", "park", "follow"]),
        prefetch=st.sampled_from([1, 1, 2]),
        retry=st.booleans(),
    )
    def start(self, kind: dict[str, Any], on_dead: str, prefetch: int, retry: bool) -> None:
        arguments: dict[str, Any] = {
            "group_header": HEADER,
            "group_on_dead": on_dead,
            "group_prefetch": prefetch,
            **kind,
        }
        arguments |= {"dead_letter_exchange": "", "dead_letter_routing_key": "grave", "delivery_limit": LIMIT}
        if retry:
            arguments |= {"delayed_retry_type": "all", "delayed_retry_min": 10, "delayed_retry_max": 10}
        self.on_dead, self.prefetch, self.retry = on_dead, prefetch, retry
        self.node = Node(q=table(**arguments), grave=table())
        self.node.persistence.log.segment_bytes = 2000
        self.number = self.first_place = 0
        self.keys: dict[int, str | None] = {}
        self.places: dict[int, int] = {}
        self.waiting: set[int] = set()
        self.held: dict[int, Worker | None] = {}
        self.entries: dict[int, Entry] = {}
        self.late: dict[int, int] = {}
        self.counts: dict[int, int] = {}
        self.grave: list[int] = []
        self.parked: set[str] = set()
        self.closed: set[str] = set()
        self.has_letters = False
        self.workers: list[Worker] = []
        self.publish(["a", "a", "b", None, "a", "b"])
        self.add_worker(3)

    @property
    def queue(self) -> GroupQueue:
        queue = self.node.broker.vhosts["/"].queues["q"]
        assert isinstance(queue, GroupQueue)
        return queue

    @property
    def graves(self) -> LocalQueue:
        queue = self.node.broker.vhosts["/"].queues["grave"]
        assert isinstance(queue, LocalQueue)
        return queue

    # --- the record ---------------------------------------------------------------------------------------------------

    def of_group(self, number: int, numbers: Any) -> list[int]:
        """Return those of the numbers that are in the group of a message, in order."""
        key = self.keys[number]
        same = [each for each in numbers if each == number or (key is not None and self.keys[each] == key)]
        return sorted(same, key=self.places.__getitem__)

    def is_free(self, number: int) -> bool:
        """Return whether a waiting message is the next of a group that is free."""
        key = self.keys[number]
        if key in self.parked or key in self.closed or self.of_group(number, self.held):
            return False
        return self.of_group(number, {number, *self.waiting, *self.late})[0] == number

    def by_key(self, numbers: list[int]) -> dict[str | None, list[int]]:
        found: dict[str | None, list[int]] = {None: sorted(number for number in numbers if self.keys[number] is None)}
        for number in numbers:
            key = self.keys[number]
            if key is not None:
                found.setdefault(key, []).append(number)
        return found

    def free(self) -> list[int]:
        found = [number for number in self.waiting if self.is_free(number)]
        return sorted(found, key=self.places.__getitem__)

    def delivered(self, number: int, worker: Worker | None) -> None:
        """Compare a delivery with the record."""
        key = self.keys[number]
        assert number in self.waiting
        assert key not in self.parked
        assert key not in self.closed
        out = self.of_group(number, {number, *self.held})
        before = [each for each in self.of_group(number, {*self.waiting, *self.late}) if each != number]
        assert all(self.places[each] > self.places[number] for each in before), "an earlier one waits or is delayed"
        if len(out) == 1:
            assert number == self.free()[0], "another group was first"
        else:
            assert len(out) <= self.prefetch, "the group is busy"
            assert {self.held[each] for each in out if each != number} == {worker}, "another consumer has the group"
        self.waiting.remove(number)
        self.held[number] = worker

    def fail(self, number: int) -> None:
        """Record that a message, which is in none of the sets, failed for good."""
        key = self.keys[number]
        if key is None or (self.on_dead == "skip"):
            self.grave.append(number)
        elif self.on_dead == "park":
            self.waiting.add(number)
            self.parked.add(key)
        else:
            self.grave.append(number)
            self.closed.add(key)
            self.has_letters = True

    def follow(self) -> None:
        """Record that messages of closed groups, which nothing precedes, have followed."""
        for key in sorted(self.closed):
            waiting = [number for number in self.waiting if self.keys[number] == key]
            if not waiting or any(self.keys[number] == key for number in self.held):
                continue
            for number in self.of_group(waiting[0], waiting):
                if any(self.places[each] < self.places[number] for each in self.of_group(number, self.late)):
                    break
                self.waiting.remove(number)
                self.grave.append(number)

    # --- publishing and getting ---------------------------------------------------------------------------------------

    @rule(keys=st.lists(KEYS, min_size=1, max_size=4))
    def publish(self, keys: list[str | None]) -> None:
        for key in keys:
            self.number += 1
            headers: dict[str, Field] = {} if key is None else {HEADER: longstr(key)}
            properties = {"headers": headers, "delivery_mode": 2}
            message = Message(encode_address("e", b"k"), encode_properties(properties), b"%d" % self.number)
            message.persistent = message.undecoded = True
            self.keys[self.number], self.places[self.number] = key, self.number
            self.counts[self.number] = 0
            self.waiting.add(self.number)
            assert self.queue.publish(message)
            self.follow()

    @rule(no_ack=st.sampled_from([False, False, True]))
    def get(self, no_ack: bool) -> None:
        free = self.free()
        entry = self.queue.get(no_ack)
        assert (entry is None) == (not free)
        if entry is None:
            return
        number = int(entry.message.body)
        self.delivered(number, None)
        if no_ack:
            del self.held[number]
        else:
            self.entries[number] = entry

    # --- workers ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.workers) < 3)
    @rule(limit=st.integers(1, 4))
    def add_worker(self, limit: int) -> None:
        worker = Worker(self.queue, f"c{len(self.workers)}", limit)
        worker.machine = self
        self.workers.append(worker)
        worker.subscribe()

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def remove_worker(self, data: st.DataObject) -> None:
        worker = self.workers.pop(data.draw(st.integers(0, len(self.workers) - 1)))
        held, worker.held = worker.held, []
        self.queue.remove_consumer(worker, gives_back=True)
        self.returned(held, failed=True, reclaims=True)
        self.queue.offer_all(())
        self.follow()

    @precondition(lambda self: self.held)
    @rule(first=st.integers(0, 5), count=st.integers(1, 3))
    def ack(self, first: int, count: int) -> None:
        self.settle("ack", first, count)

    @precondition(lambda self: self.held)
    @rule(first=st.integers(0, 5))
    def reject(self, first: int) -> None:
        self.settle("reject", first, 1)

    @precondition(lambda self: self.held)
    @rule(first=st.integers(0, 5), count=st.integers(1, 3))
    def requeue(self, first: int, count: int) -> None:
        self.settle("requeue", first, count)

    def settle(self, how: str, first: int, count: int) -> None:
        number = sorted(self.held)[first % len(self.held)]
        worker = self.held[number]
        held = list(self.entries.values()) if worker is None else worker.held
        start = [int(entry.message.body) for entry in held].index(number)
        entries = held[start : start + count]
        for entry in entries:
            self.release(entry)
        if how == "requeue":
            self.returned(entries, failed=True)
        elif how == "reject":
            del self.held[number]
            self.fail(number)
            self.follow_later(lambda: self.queue.reject(entries))
        else:
            for entry in entries:
                del self.held[int(entry.message.body)]
            self.follow_later(lambda: self.queue.ack(entries[0]) if count == 1 else self.queue.ack_all(entries))
        self.follow()

    def follow_later(self, operation: Any) -> None:
        """Carry out an operation, before whose deliveries closed groups follow."""
        self.follow()
        operation()

    def release(self, entry: Entry) -> None:
        number = int(entry.message.body)
        worker = self.held[number]
        if worker is None:
            del self.entries[number]
        elif entry in worker.held:
            worker.held.remove(entry)

    def returned(self, entries: list[Entry], failed: bool, reclaims: bool = False) -> None:
        dead = []
        for entry in entries:
            number = int(entry.message.body)
            del self.held[number]
            self.counts[number] += 1
            if self.counts[number] > LIMIT:
                dead.append(number)
            elif self.retry:
                self.late[number] = self.node.clock.now_ms() + 10
            else:
                self.waiting.add(number)
        for number in sorted(dead, key=self.places.__getitem__):
            self.fail(number)
        self.follow()
        if reclaims:
            self.queue.reclaim(entries)
        else:
            self.queue.requeue(entries, failed)

    # --- stopped groups -----------------------------------------------------------------------------------------------

    def group(self, key: str) -> Group:
        found = self.queue.line.groups.get(b"S" + key.encode())
        assert found is not None
        return found

    @precondition(lambda self: self.parked)
    @rule(discards=st.booleans(), data=st.data())
    def resume_parked(self, discards: bool, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.parked)))
        waiting = [number for number in self.waiting if self.keys[number] == key]
        group = self.group(key)
        if waiting:
            first = self.of_group(waiting[0], waiting)[0]
            self.counts[first] = 0
            self.parked.remove(key)
            if discards:
                self.waiting.remove(first)
        count = self.queue.discard_first(group) if discards else self.queue.redrive_group(group)
        assert count == max(0, len(waiting) - discards)

    @precondition(lambda self: self.closed)
    @rule(discards=st.booleans(), data=st.data())
    def resume_closed(self, discards: bool, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.closed)))
        letters = [number for number in self.grave if self.keys[number] == key]
        # The second of several messages in work may fail before the first.
        assert self.prefetch > 1 or letters == sorted(letters, key=self.places.__getitem__)
        self.grave = [number for number in self.grave if self.keys[number] != key]
        self.closed.remove(key)
        if discards:
            del letters[:1]
        self.first_place -= len(letters)
        for index, number in enumerate(letters):
            self.places[number] = self.first_place + index
            self.counts[number] = 0
        self.waiting.update(letters)
        group = self.group(key)
        operation = self.queue.discard_first if discards else self.queue.redrive_group
        assert operation(group, [self.graves]) == len(letters)

    # --- others -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.waiting) > 12)
    @rule()
    def purge(self) -> None:
        assert self.queue.purge() == len(self.waiting) + len(self.late)
        self.waiting.clear()
        self.late.clear()
        self.parked.clear()

    @precondition(lambda self: self.late)
    @rule()
    def advance(self) -> None:
        due = sorted(self.late, key=lambda number: (self.late[number], self.places[number]))
        first_ms = self.late[due[0]]
        for number in due:
            if self.late[number] == first_ms:
                del self.late[number]
                self.waiting.add(number)
        self.follow()
        self.node.clock.advance(first_ms - self.node.clock.now_ms())

    @rule()
    def sync(self) -> None:
        self.node.broker.sync()

    @rule()
    def page_out(self) -> None:
        self.queue.page_out()

    @precondition(lambda self: self.number % 3 == 0)
    @rule()
    def crash(self) -> None:
        self.node.broker.sync()
        self.node = crashed_copy(self.node)
        self.node.persistence.log.segment_bytes = 2000
        self.waiting.update(self.held)
        self.held.clear()
        self.entries.clear()
        self.workers.clear()
        self.follow()

    @invariant()
    def matches_the_record(self) -> None:
        if not hasattr(self, "node"):
            return
        queue = self.queue
        places = self.places
        found = [int(entry.message.body) for entry in queue.ready]
        assert found == sorted(self.waiting, key=places.__getitem__)
        assert (queue.ready_count, queue.unacked_count, queue.delayed_count) == (
            len(self.waiting),
            len(self.held),
            len(self.late),
        )
        # Messages of different groups follow in an order that does not matter.
        assert self.by_key([int(entry.message.body) for entry in self.graves.ready]) == self.by_key(self.grave)
        groups = queue.line.groups
        assert queue.ready.count == len(self.free())
        keys = {self.keys[number] for number in (*self.waiting, *self.held, *self.late)} | self.closed
        assert len(groups) == len(keys - {None})
        assert len(groups.stopped()) == len(self.parked | self.closed)
        # The state of each stopped group, the letters of each closed one, their queue, and the numbers of letters.
        notes = len(self.parked) + 2 * len(self.closed) + bool(self.closed) + self.has_letters
        assert queue.stored_count() == notes
        assert len(groups.parked) == len([number for number in self.waiting if self.keys[number] in self.parked])
        if queue.ready.count:
            active = queue.consumers.active if queue.settings.single_active_consumer else None
            takers = (
                self.workers if not queue.settings.single_active_consumer else [w for w in self.workers if w is active]
            )
            assert not [worker for worker in takers if worker.can_take()]

    def teardown(self) -> None:
        if hasattr(self, "node"):
            assert self.node.failures == []


TestGroups = Machine.TestCase
TestGroups.settings = effort(examples=100, steps=40)
