"""A queue whose messages expire at any position, compared with a model: time advanced by hand, restarts, paging."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.ready_line import SLACK
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.clock import ManualClock
from amqpbroker.config import Config
from amqpbroker.config.bounds import Bounds
from tests.broker.queueing import message, reasons, table
from tests.broker.storing import Node as StoringNode
from tests.fuzz.effort import effort

LIMIT = 300
TTLS_MS = st.sampled_from([None, 0, 3, 10, 11, 30, 1_000, 900])


class Node(StoringNode):
    """Its pages are small, so that most messages are on disk."""

    config = Config(bounds=Bounds(page_count=3, read_count=2, least_page_count=1))


class Expiring(RuleBasedStateMachine):
    """All messages are persistent.

    waiting, held: name -> deadline, 0 for never. dead: names in the order in which they must expire.
    """

    arguments: dict[str, Any] = {}

    def __init__(self) -> None:
        super().__init__()
        queue = table(
            message_ttl_mode="any",
            dead_letter_exchange="",
            dead_letter_routing_key="grave",
            max_length=LIMIT,
            overflow="reject-publish",
            **self.arguments,
        )
        self.node: StoringNode = Node(clock=ManualClock(), q=queue, grave=table())
        self.number = 0
        self.waiting: dict[bytes, int] = {}
        self.held: dict[bytes, int] = {}
        self.entries: dict[bytes, Entry] = {}
        self.dead: list[bytes] = []

    @property
    def queue(self) -> LocalQueue:
        queue = self.node.broker.vhosts["/"].queues["q"]
        assert isinstance(queue, LocalQueue)
        return queue

    def expire(self) -> None:
        """Move what is overdue in the model, in order of deadline and age."""
        now_ms = self.node.clock.wall_ms()
        due = [(deadline_ms, int(name)) for name, deadline_ms in self.waiting.items() if 0 < deadline_ms <= now_ms]
        for _, number in sorted(due):
            self.dead.append(b"%d" % number)
            del self.waiting[b"%d" % number]

    @rule(
        ttls_ms=st.lists(TTLS_MS, min_size=1, max_size=8), times=st.sampled_from([1, 1, 10]), priority=st.integers(0, 9)
    )
    def publish(self, ttls_ms: list[int | None], times: int, priority: int) -> None:
        for ttl_ms in ttls_ms * times:
            self.number += 1
            name = b"%d" % self.number
            made = message(name, priority=(priority + self.number) % 10, expiration_ms=-1 if ttl_ms is None else ttl_ms)
            made.persistent = True
            if self.queue.publish(made):
                self.waiting[name] = 0 if ttl_ms is None else self.node.clock.wall_ms() + ttl_ms
                self.expire()
        self.node.broker.sync()

    @rule(milliseconds=st.integers(1, 20))
    def advance(self, milliseconds: int) -> None:
        for _ in range(milliseconds):
            self.node.clock.advance(1)
            self.expire()
        self.node.broker.sync()

    @rule(count=st.sampled_from([1, 5, 20, 200]))
    def get(self, count: int) -> None:
        for _ in range(count):
            entry = self.queue.get(False)
            if entry is None:
                assert not self.waiting
                return
            name = entry.message.body
            self.held[name] = self.waiting.pop(name)
            self.entries[name] = entry

    @precondition(lambda self: self.held)
    @rule(data=st.data(), returns=st.booleans())
    def settle(self, data: st.DataObject, returns: bool) -> None:
        names = data.draw(st.lists(st.sampled_from(sorted(self.held)), unique=True))
        entries = [self.entries.pop(name) for name in names]
        for name in names:
            deadline_ms = self.held.pop(name)
            if returns:
                self.waiting[name] = deadline_ms
        if returns and entries:
            self.queue.requeue(entries)
            self.expire()
        elif entries:
            self.queue.ack_all(entries)
        self.node.broker.sync()

    @rule()
    def purge(self) -> None:
        assert self.queue.purge() == len(self.waiting)
        self.waiting.clear()
        self.node.broker.sync()

    @rule()
    def switch_off_and_on(self) -> None:
        settings = self.queue.settings
        self.queue.apply_settings(replace(settings, message_ttl_mode="head"))
        self.queue.apply_settings(settings)

    @rule(down_ms=st.integers(0, 30))
    def restart(self, down_ms: int) -> None:
        self.node.broker.sync()
        self.node.files.power_loss()
        clock = ManualClock(self.node.clock.wall_ms() + down_ms)
        self.node = Node(self.node.files, clock, **self.node.queues)
        self.entries.clear()
        self.waiting |= self.held
        self.held.clear()
        self.expire()

    @invariant()
    def queue_has_the_messages_of_the_model(self) -> None:
        queue = self.queue
        grave = self.node.broker.vhosts["/"].queues["grave"]
        assert isinstance(grave, LocalQueue)
        assert reasons(grave) == [(name, "expired") for name in self.dead]
        assert sorted(entry.message.body for entry in queue.ready) == sorted(self.waiting)
        assert (queue.ready.count, queue.unacked_count) == (len(self.waiting), len(self.held))
        assert queue.ready.size == len(b"".join(self.waiting))
        expiring = [deadline_ms for deadline_ms in self.waiting.values() if deadline_ms]
        assert queue.expiry.count == len(expiring)
        deadlines = queue.expiry._deadlines
        assert deadlines is not None
        assert len(expiring) <= len(deadlines) <= 2 * len(expiring) + SLACK


KINDS: dict[str, dict[str, Any]] = {
    "classic": {},
    "priority": {"max_priority": 5},
    "quorum": {"queue_type": "quorum", "delivery_limit": 1000},
    "unlimited": {"queue_type": "quorum", "delivery_limit": -1},
}


@pytest.mark.parametrize("kind", KINDS)
def test_queue_expires_the_same_messages_as_its_model(kind: str) -> None:
    class Machine(Expiring):
        arguments = KINDS[kind]

    run_state_machine_as_test(Machine, settings=effort(8, 25))
