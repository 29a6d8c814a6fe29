"""Deduplication: a queue adds a message exactly if its id is free, whatever happens to messages, broker and time.

A state machine publishes, settles, purges, advances the clock, and crashes and restarts the broker. Its own record says
which ids are taken. See effort.py for the number of examples.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amqpbroker.broker.queues.deduplicating_queue import DeduplicatingQueue
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, longstr
from tests.broker.queueing import table
from tests.broker.storing import Node
from tests.fuzz.effort import effort

IDS = st.sampled_from(["a", "b", "c", "d", "e"])


class Machine(RuleBasedStateMachine):
    """waiting, held: the ids of messages in the queue, None for a message without one. taken: id -> end of its time."""

    @initialize(
        kind=st.sampled_from([{}, {"queue_type": "quorum"}, {"max_priority": 2}, {"single_active_consumer": True}]),
        ttl=st.sampled_from([None, 50, 1000]),
        size=st.sampled_from([None, None, 2]),
        length=st.sampled_from([None, None, 2]),
        page=st.sampled_from([1, 1024]),
    )
    def start(self, kind: dict[str, Any], ttl: int | None, size: int | None, length: int | None, page: int) -> None:
        optional = {"cache_ttl": ttl, "cache_size": size, "max_length": length}
        arguments = {name: value for name, value in optional.items() if value is not None}
        if length is not None:
            arguments["overflow"] = "reject-publish"
        self.ttl, self.size = ttl, size
        self.window = ttl is not None or size is not None
        self.limits = {"page_count": page, "read_count": 1}
        self.node = Node(limits=self.limits, q=table(message_deduplication=True, **kind, **arguments))
        self.node.persistence.log.segment_bytes = 2000
        self.held: list[Entry] = []
        self.taken: dict[str, int] = {}
        self.present: list[str | None] = []

    @property
    def queue(self) -> DeduplicatingQueue:
        queue = self.node.broker.vhosts["/"].queues["q"]
        assert isinstance(queue, DeduplicatingQueue)
        return queue

    def is_taken(self, id_: str | None) -> bool:
        if id_ is None:
            return False
        if not self.window:
            return id_ in self.present
        return id_ in self.taken and self.node.clock.wall_ms() < self.taken[id_]

    @rule(id_=st.one_of(st.none(), IDS), ttl=st.sampled_from([0, 0, 0, 20, 5000]))
    def publish(self, id_: str | None, ttl: int) -> None:
        headers = {} if id_ is None else {"x-deduplication-header": longstr(id_)}
        if ttl:
            headers["x-cache-ttl"] = Field("I", ttl)
        message = Message(encode_address("", b"q"), encode_properties({"headers": headers, "delivery_mode": 2}), b"m")
        message.persistent = message.undecoded = True
        before = self.queue.deduplicated
        count = self.queue.ready_count + self.queue.unacked_count
        is_taken = self.is_taken(id_)
        accepted = self.queue.publish(message)
        assert self.queue.deduplicated - before == is_taken
        added = accepted and not is_taken
        assert self.queue.ready_count + self.queue.unacked_count == count + added
        if is_taken:
            assert accepted
        elif accepted:
            self.present.append(id_)
            if id_ is not None:
                self.take(id_, ttl)
        self.node.broker.sync()

    def take(self, id_: str, ttl: int) -> None:
        now = self.node.clock.wall_ms()
        self.taken = {each: until for each, until in self.taken.items() if until > now and each != id_}
        self.taken[id_] = now + (ttl or self.ttl or 10**12)
        if self.size is not None and self.window:
            while len(self.taken) > self.size:
                del self.taken[next(iter(self.taken))]

    @rule()
    def get(self) -> None:
        entry = self.queue.get(no_ack=False)
        if entry is not None:
            self.held.append(entry)

    @rule()
    def take_without_acknowledgement(self) -> None:
        entry = self.queue.get(no_ack=True)
        if entry is not None:
            self.gone([entry])

    @precondition(lambda self: self.held)
    @rule(how=st.sampled_from(["ack", "ack_all", "reject", "requeue"]), data=st.data())
    def settle(self, how: str, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, len(self.held)))
        entries, self.held = self.held[:count], self.held[count:]
        if how == "ack":
            for entry in entries:
                self.queue.ack(entry)
        else:
            act: Callable[[list[Entry]], None] = getattr(self.queue, how)
            act(entries)
        if how != "requeue":
            self.gone(entries)
        self.node.broker.sync()

    @rule()
    def purge(self) -> None:
        self.queue.purge()
        self.present = [name_of(entry) for entry in self.held]
        self.node.broker.sync()

    @rule(ms=st.sampled_from([1, 49, 1000, 3000]))
    def advance(self, ms: int) -> None:
        self.node.clock.advance(ms)
        self.node.broker.sync()

    @rule()
    def restart(self) -> None:
        self.node.broker.sync()
        self.held = []
        self.node = self.node.crash()
        self.node.persistence.log.segment_bytes = 2000

    def gone(self, entries: list[Entry]) -> None:
        for entry in entries:
            self.present.remove(name_of(entry))

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "node"):
            assert self.queue.ready_count + self.queue.unacked_count == len(self.present)
            assert not self.node.failures


def name_of(entry: Entry) -> str | None:
    headers = entry.message.headers or {}
    field = headers.get("x-deduplication-header")
    return None if field is None else field.value.decode()


TestDeduplication = Machine.TestCase
TestDeduplication.settings = effort(100, 30)
