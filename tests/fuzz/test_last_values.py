"""Last values: at most one message of a key waits, it is the newest, and it has the right place, whatever happens.

A state machine publishes, settles, purges, advances the clock, moves messages to disk, and crashes and restarts the
broker. Its own record has the waiting messages in order. See effort.py for the number of examples.
"""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.last_value.queue import LastValueQueue
from amqpbroker.config import Config
from amqpbroker.config.bounds import Bounds
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import table
from tests.broker.storing import Node as StoringNode
from tests.fuzz.effort import effort

HEADER = "key"
KEYS = st.sampled_from(["a", "b", "c", "d", "e", "f", "g", None])


class Node(StoringNode):
    """Its pages are small, so that most messages are on disk."""

    config = Config(bounds=Bounds(page_count=2, read_count=2, least_page_count=1))


class Machine(RuleBasedStateMachine):
    """All messages are persistent, and numbered in the order in which they are published.

    order: numbers of the ready messages. held: those delivered and not settled. late: number -> due time of the delayed
    ones. keys: number -> key. replaced: number of replaced messages. places_known: `order` has the places, not only the
    messages.
    """

    @initialize(
        kind=st.sampled_from([{}, {}, {"queue_type": "quorum"}, {"max_priority": 2}, {"single_active_consumer": True}]),
        tail=st.booleans(),
        retry=st.sampled_from([False, False, True]),
        anywhere=st.booleans(),
    )
    def start(self, kind: dict[str, Any], tail: bool, retry: bool, anywhere: bool) -> None:
        arguments: dict[str, Any] = {"last_value_key": HEADER, "last_value_dead_letter": True, **kind}
        arguments |= {"dead_letter_exchange": "", "dead_letter_routing_key": "grave"}
        if tail:
            arguments["last_value_position"] = "tail"
        if retry:
            arguments |= {"delayed_retry_type": "all", "delayed_retry_min": 10}
        if anywhere:
            arguments["message_ttl_mode"] = "any"
        self.tail, self.retry, self.anywhere = tail, retry, anywhere
        self.fifo = "queue_type" not in kind and "max_priority" not in kind
        self.node = Node(q=table(**arguments), grave=table())
        self.node.persistence.log.segment_bytes = 2000
        self.number = 0
        self.order: list[int] = []
        self.keys: dict[int, str | None] = {}
        self.held: dict[int, Entry] = {}
        self.late: dict[int, int] = {}
        self.replaced = 0

    @property
    def queue(self) -> LastValueQueue:
        queue = self.node.broker.vhosts["/"].queues["q"]
        assert isinstance(queue, LastValueQueue)
        return queue

    @rule(key=KEYS, priority=st.sampled_from([0, 0, 0, 1, 7]))
    def publish(self, key: str | None, priority: int) -> None:
        self.add(key, priority)

    @rule(keys=st.lists(KEYS, min_size=5, max_size=20))
    def publish_many(self, keys: list[str | None]) -> None:
        for key in keys:
            self.add(key, 0)

    def add(self, key: str | None, priority: int) -> None:
        self.number += 1
        headers: dict[str, Field] = {} if key is None else {HEADER: longstr(key)}
        properties = {"headers": headers, "delivery_mode": 2, "priority": priority}
        message = Message(encode_address("", b"q"), encode_properties(properties), b"%d" % self.number)
        message.persistent = message.undecoded = True
        message.priority = priority
        assert self.queue.publish(message)
        older = [each for each in self.order if key is not None and self.keys[each] == key]
        self.keys[self.number] = key
        newer_late = any(self.keys[each] == key and each > min(older, default=0) for each in self.late)
        if older:
            self.replaced += 1
        if older and not self.tail and not newer_late and not self.is_held_after(key, older[0]):
            self.order[self.order.index(older[0])] = self.number
        else:
            self.order = [each for each in self.order if each not in older]
            self.order.append(self.number)

    def is_held_after(self, key: str | None, number: int) -> bool:
        return any(self.keys[each] == key and each > number for each in self.held)

    def enter_again(self, numbers: list[int]) -> None:
        """Return messages to their places unless newer ones of their keys are there."""
        present = {*self.order, *self.held, *self.late, *numbers}
        for number in numbers:
            key = self.keys[number]
            if key is not None and any(self.keys[each] == key and each > number for each in present):
                self.replaced += 1
                continue
            older = [each for each in self.order if key is not None and self.keys[each] == key]
            self.replaced += len(older)
            self.order = [each for each in self.order if each not in older]
            self.order.append(number)
            self.places_known = False

    places_known = True

    def sync_order(self) -> None:
        """Take over the order of the queue, after checking that it has the right messages."""
        found = [int(entry.message.body) for entry in self.queue.ready]
        assert sorted(found) == sorted(self.order)
        self.order = found
        self.places_known = True

    @rule()
    def sync(self) -> None:
        self.node.broker.sync()

    @rule()
    def get(self) -> None:
        entry = self.queue.get(no_ack=False)
        assert (entry is None) == (not self.order)
        if entry is not None:
            number = int(entry.message.body)
            self.order.remove(number)
            self.held[number] = entry

    @rule()
    def get_without_acknowledgement(self) -> None:
        entry = self.queue.get(no_ack=True)
        if entry is not None:
            self.order.remove(int(entry.message.body))

    @precondition(lambda self: self.held)
    @rule(how=st.sampled_from(["ack", "reject", "requeue", "requeue", "reclaim"]), data=st.data())
    def settle(self, how: str, data: st.DataObject) -> None:
        numbers = data.draw(st.lists(st.sampled_from(sorted(self.held)), min_size=1, unique=True))
        entries = [self.held.pop(number) for number in numbers]
        if how == "ack":
            for entry in entries:
                self.queue.ack(entry)
        elif how == "reject":
            self.queue.reject(entries)
        else:
            getattr(self.queue, how)(entries)
            if self.retry:
                for number, entry in zip(numbers, entries, strict=True):
                    if entry.delivery_count <= self.queue.settings.delivery_limit or self.fifo_limitless():
                        self.late[number] = self.node.clock.wall_ms() + 10
            else:
                self.enter_again(numbers)

    def fifo_limitless(self) -> bool:
        return self.queue.settings.delivery_limit < 0

    @rule(ms=st.sampled_from([1, 10, 30]))
    def advance(self, ms: int) -> None:
        self.node.clock.advance(ms)
        due = [number for number, due_ms in self.late.items() if due_ms <= self.node.clock.wall_ms()]
        for number in due:
            del self.late[number]
        if due:
            self.enter_again(due)

    @rule()
    def page_out(self) -> None:
        self.queue.page_out()

    @rule()
    def purge(self) -> None:
        self.queue.purge()
        self.order, self.late = [], {}

    @rule()
    def restart(self) -> None:
        self.node.broker.sync()
        self.node = self.node.crash()
        self.node.persistence.log.segment_bytes = 2000
        self.replaced = 0
        numbers, self.held = sorted(self.held), {}
        self.enter_again(numbers)

    @invariant()
    def queue_has_the_expected_messages(self) -> None:
        if not hasattr(self, "node"):
            return
        queue = self.queue
        found = [int(entry.message.body) for entry in queue.ready]
        if self.places_known and self.fifo:
            assert found == self.order
        else:
            self.sync_order()
        assert queue.ready.count == len(found)
        assert queue.ready.size == sum([len(str(number)) for number in found])
        assert queue.replaced == self.replaced
        assert queue.delayed_count == len(self.late)
        assert queue.unacked_count == len(self.held)
        keyed = [number for number in (*found, *self.held, *self.late) if self.keys[number] is not None]
        assert len(queue.values) == len(keyed)
        assert not self.node.failures


TestLastValues = Machine.TestCase
TestLastValues.settings = effort(100, 40)
