"""Jobs: the places of a job are its copies, and its state and reply are right, whatever happens to them and the broker.

A state machine publishes jobs to one queue or two, settles, expires, purges and moves their copies, replies to them,
and crashes and restarts the broker. The copies are found in the queues; the machine counts failures and replies. See
effort.py for the number of examples.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.wire.properties import decode_properties
from amqpbroker.wire.values import Field
from tests.broker.jobs.working import KINDS, TO_GRAVE, Work
from tests.fuzz.effort import effort

IDS = st.sampled_from(["a", "b", "c"])
QUEUES = ("q", "other", "grave")
TTL = {"x-message-ttl": Field("l", 100)}


@dataclass
class Expected:
    """failed: number of copies that failed. reply: the last one."""

    failed: int = 0
    reply: bytes | None = None


class Machine(RuleBasedStateMachine):
    """held: delivered messages."""

    @initialize(kind=st.sampled_from(list(KINDS.values())), ttl=st.booleans(), page=st.sampled_from([1, 1024]))
    def start(self, kind: dict[str, Field], ttl: bool, page: int) -> None:
        arguments: dict[str, Any] = {**kind, **TO_GRAVE, **(TTL if ttl else {})}
        self.stores_all = kind == KINDS["quorum"]
        self.work = Work(limits={"page_count": page, "read_count": 1}, **arguments)
        self.after_start()
        self.held: list[Entry] = []
        self.expected: dict[str, Expected] = {}
        self.replies = 0

    def after_start(self) -> None:
        # The exchange does not survive a crash.
        self.work.fan_out("q", "other")
        self.work.node.persistence.log.segment_bytes = 3000

    def queue(self, name: str) -> Queue:
        return self.work.node.broker.vhosts["/"].queues[name]

    # --- operations ---------------------------------------------------------------------------------------------------

    @rule(id_=IDS, both=st.booleans(), kept=st.booleans())
    def publish(self, id_: str, both: bool, kept: bool) -> None:
        if not self.copies(id_):
            self.expected[id_] = Expected()
        # A quorum queue also stores transient messages, and other queues do not.
        self.work.send(id_, via="all" if both else "", persistent=kept or self.stores_all)

    @rule(name=st.sampled_from(["q", "q", "other", "grave"]), how=st.sampled_from(["hold", "hold", "reject"]))
    def get(self, name: str, how: str) -> None:
        entry = self.queue(name).get(no_ack=False)
        if entry is not None:
            self.held.append(entry)
            if how == "reject":
                self.end(self.held.pop(), how)

    @rule(id_=IDS)
    def fail_and_move_back(self, id_: str) -> None:
        """Publish a job, reject the first message, and move the dead letters back."""
        self.publish(id_, both=False, kept=True)
        self.get("q", "reject")
        self.move_back()

    @rule(name=st.sampled_from(QUEUES))
    def take_without_acknowledgement(self, name: str) -> None:
        self.queue(name).get(no_ack=True)

    @precondition(lambda self: self.held)
    @rule(how=st.sampled_from(["ack", "reject", "requeue"]), data=st.data())
    def settle(self, how: str, data: st.DataObject) -> None:
        self.end(self.held.pop(data.draw(st.integers(0, len(self.held) - 1))), how)

    def end(self, entry: Entry, how: str) -> None:
        if how == "ack":
            entry.queue.ack(entry)
        elif how == "reject":
            self.fail([entry])
            entry.queue.reject([entry])
        else:
            with self.expiries(entry):
                entry.queue.requeue([entry])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def reply(self, data: st.DataObject) -> None:
        properties = decode_properties(data.draw(st.sampled_from(self.held)).message.properties)
        self.replies += 1
        body = b"%d" % self.replies
        self.work.client.publish(properties["reply_to"].decode(), body)
        self.work.advance()
        job = self.work.find(properties["message_id"].decode())
        if job is not None and properties["reply_to"].endswith(job.token.encode()):
            self.expected[job.id.decode()].reply = body

    @rule(name=st.sampled_from(QUEUES))
    def purge(self, name: str) -> None:
        self.fail(list(self.queue(name).ready_entries()))
        self.queue(name).purge()

    @rule()
    def move_back(self) -> None:
        for entry in list(self.queue("grave").ready_entries()):
            if is_rejected(entry):
                expected = self.expected[id_of(entry)]
                expected.failed = max(expected.failed - 1, 0)
        self.queue("grave").move(self.queue("q"), 1000, 1 << 30)

    @rule()
    def advance(self) -> None:
        """Advance the clock, so that messages expire."""
        with self.expiries():
            self.work.advance(50)

    @rule()
    def crash(self) -> None:
        self.fail([entry for entry in self.entries() if not entry.message.persistent])
        with self.expiries(*self.held, crashes=True):
            self.held = []
            self.work.crash()
            self.after_start()

    # --- copies -------------------------------------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        return self.held + [entry for name in QUEUES for entry in self.queue(name).ready_entries()]

    @contextmanager
    def expiries(self, *returned: Entry, crashes: bool = False) -> Iterator[None]:
        """Count the messages that expire meanwhile although they were rejected before: these end in the grave.

        returned: entries that are returned to their queues meanwhile.
        """
        before = [*returned, *self.queue("q").ready_entries()]
        before = [entry for entry in before if entry.message.persistent or not crashes]
        rejected = {entry.sequence: id_of(entry) for entry in before if is_rejected(entry) and counts(entry)}
        yield
        waiting = {entry.sequence for entry in self.queue("q").ready_entries()}
        for sequence, id_ in rejected.items():
            self.expected[id_].failed += sequence not in waiting

    def copies(self, id_: str) -> list[Entry]:
        return [entry for entry in self.entries() if id_of(entry) == id_ and counts(entry)]

    def fail(self, entries: list[Entry]) -> None:
        for entry in entries:
            if counts(entry):
                self.expected[id_of(entry)].failed += 1

    @invariant()
    def jobs_are_right(self) -> None:
        self.work.advance()
        for id_, expected in self.expected.items():
            job = self.work.job(id_)
            copies = self.copies(id_)
            places = Counter((place.queue, place.sequence) for place in job.places)
            assert places == Counter((entry.queue.name, entry.sequence) for entry in copies)
            assert job.failed == expected.failed
            state = self.work.state(id_)
            if not copies:
                assert state == ("failed" if expected.failed else "done")
            else:
                assert not job.has_ended
                assert state in ("queued", "running", "retrying")
            assert self.work.result(id_) == expected.reply


def counts(entry: Entry) -> bool:
    return not is_rejected(entry) or entry.queue.name == "q"


def is_rejected(entry: Entry) -> bool:
    deaths = (entry.message.headers or {}).get("x-death")
    return deaths is not None and any(death.value["reason"].value == b"rejected" for death in deaths.value)


def id_of(entry: Entry) -> str:
    found: bytes = decode_properties(entry.message.properties)["message_id"]
    return found.decode()


TestJobs = Machine.TestCase
TestJobs.settings = effort(60, steps=40)
