"""Batches: each event is sent exactly once and with the right counts, whatever happens to members, broker and time.

A state machine publishes members to one queue or two, settles, expires, purges and moves their copies, and crashes and
restarts the broker. Its own record of the copies says which members succeeded or failed. See effort.py for the number
of examples.
"""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.values import Field
from tests.broker.batches.batching import KINDS, TO_GRAVE, Job
from tests.fuzz.effort import effort

MEMBERS = st.sampled_from(["a", "b", "c", "d"])
SIZE = 4
TTL = {"x-message-ttl": Field("l", 100)}


@dataclass
class Member:
    """Copies of a member: those that count and are stored, those that are lost by a crash, and those that failed."""

    stored: int = 0
    transient: int = 0
    failed: int = 0
    outcome: str = "open"


@dataclass
class Model:
    """The batch as it should be. sent: events, in order."""

    members: dict[str, Member] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    has_failed: bool = False

    def counts(self) -> tuple[int, int, int]:
        outcomes = [member.outcome for member in self.members.values()]
        return outcomes.count("ok"), outcomes.count("failed"), outcomes.count("open")

    def end(self, id_: str, kept: bool, failed: bool) -> None:
        """A copy that counts is acknowledged, or failed."""
        member = self.members.get(id_)
        if member is None or member.outcome == "ok" or not (member.stored if kept else member.transient):
            return
        if kept:
            member.stored -= 1
        else:
            member.transient -= 1
        member.failed += failed
        self.has_failed = self.has_failed or failed
        if not member.stored and not member.transient:
            member.outcome = "failed" if member.failed else "ok"

    def begin(self, id_: str, kept: bool) -> None:
        """A copy of a member enters a queue; it may be one that failed."""
        member = self.members.get(id_)
        if member is None:
            if "complete" in self.sent:
                return
            member = self.members[id_] = Member()
        if member.outcome == "ok":
            return
        member.failed -= member.failed > 0
        if kept:
            member.stored += 1
        else:
            member.transient += 1

    def due(self) -> list[tuple[str, int, int]]:
        """Return the events that have occurred since the last call."""
        ok, failed, open_ = self.counts()
        found = []
        if self.has_failed and "death" not in self.sent:
            found.append("death")
        if "complete" not in self.sent and len(self.members) == SIZE and not open_:
            found.append("complete")
        if ("complete" in self.sent or "complete" in found) and not failed and "success" not in self.sent:
            found.append("success")
        self.sent += found
        return [(event, ok, failed) for event in found]


class Machine(RuleBasedStateMachine):
    """held: delivered messages, with their queues. rejected: messages in the grave that were rejected."""

    @initialize(kind=st.sampled_from(list(KINDS.values())), ttl=st.booleans(), page=st.sampled_from([1, 1024]))
    def start(self, kind: dict[str, Field], ttl: bool, page: int) -> None:
        arguments: dict[str, Any] = {**kind, **TO_GRAVE, **(TTL if ttl else {})}
        self.stores_all = kind == KINDS["quorum"]
        self.job = Job(limits={"page_count": page, "read_count": 1}, **arguments)
        self.job.node.persistence.log.segment_bytes = 3000
        self.fan_out()
        self.held: list[Entry] = []
        self.model = Model()

    def fan_out(self) -> None:
        # The exchange does not survive a crash.
        self.job.fan_out("q", "other")

    def queue(self, name: str) -> Queue:
        return self.job.node.broker.vhosts["/"].queues[name]

    # --- operations ---------------------------------------------------------------------------------------------------

    @rule(id_=MEMBERS, both=st.booleans(), kept=st.booleans())
    def publish(self, id_: str, both: bool, kept: bool) -> None:
        # A quorum queue also stores transient messages, and other queues do not.
        kept = kept or self.stores_all
        for _ in range(1 + both):
            self.model.begin(id_, kept)
        self.job.send(
            id_,
            via="all" if both else "",
            persistent=kept,
            size=SIZE,
            events="complete,success,death",
        )

    @rule(name=st.sampled_from(["q", "q", "other", "grave"]))
    def get(self, name: str) -> None:
        entry = self.queue(name).get(no_ack=False)
        if entry is not None:
            self.held.append(entry)

    @rule(name=st.sampled_from(["q", "other", "grave"]))
    def take_without_acknowledgement(self, name: str) -> None:
        waiting = next(iter(self.queue(name).ready_entries()), None)
        if waiting is not None:
            self.end(waiting, failed=False)
            self.queue(name).get(no_ack=True)

    @precondition(lambda self: self.held)
    @rule(how=st.sampled_from(["ack", "reject", "requeue"]), data=st.data())
    def settle(self, how: str, data: st.DataObject) -> None:
        entry = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        if how == "ack":
            self.end(entry, failed=False)
            entry.queue.ack(entry)
        elif how == "reject":
            self.end(entry, failed=True)
            entry.queue.reject([entry])
        else:
            entry.queue.requeue([entry])

    @rule(name=st.sampled_from(["q", "other", "grave"]))
    def purge(self, name: str) -> None:
        for entry in list(self.queue(name).ready_entries()):
            self.end(entry, failed=True)
        self.queue(name).purge()

    @rule()
    def move_back(self) -> None:
        for entry in list(self.queue("grave").ready_entries()):
            if self.is_rejected(entry):
                self.model.begin(id_of(entry), self.is_kept(entry))
        self.queue("grave").move(self.queue("q"), 1000, 1 << 30)

    @rule()
    def advance(self) -> None:
        """Advance the clock, so that messages expire."""
        self.job.node.clock.advance(50)

    @rule(acknowledged=st.booleans())
    def crash(self, acknowledged: bool) -> None:
        """acknowledged: a message is acknowledged, and the broker crashes before it sends messages about events."""
        if acknowledged and self.held:
            entry = self.held.pop()
            self.end(entry, failed=False)
            entry.queue.ack(entry)
        self.job.node.broker.sync()
        self.held = []
        for member in self.model.members.values():
            if member.outcome == "ok" or not member.transient:
                continue
            member.failed += member.transient
            member.transient = 0
            self.model.has_failed = True
            if not member.stored:
                member.outcome = "failed"
        self.job.crash()
        self.job.node.persistence.log.segment_bytes = 3000
        self.fan_out()

    # --- copies -------------------------------------------------------------------------------------------------------

    def end(self, entry: Entry, failed: bool) -> None:
        if not self.is_rejected(entry) or entry.queue.name == "q":
            self.model.end(id_of(entry), self.is_kept(entry), failed)

    def is_rejected(self, entry: Entry) -> bool:
        deaths = (entry.message.headers or {}).get("x-death")
        return deaths is not None and any(death.value["reason"].value == b"rejected" for death in deaths.value)

    def is_kept(self, entry: Entry) -> bool:
        return entry.message.persistent

    @invariant()
    def events_and_counts_are_right(self) -> None:
        job = self.job
        job.advance()
        assert job.results() == self.model.due()
        if self.model.members:
            ok, failed, open_ = self.model.counts()
            assert job.counts() == (ok, failed, open_)


def id_of(entry: Entry) -> str:
    found: bytes = decode_properties(entry.message.properties)["message_id"]
    return found.decode()


TestBatches = Machine.TestCase
TestBatches.settings = effort(60, steps=40)
