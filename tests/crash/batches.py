"""Batches, whose publishers repeat members after a lost confirm, and whose workers reject some of them.

Each number is one attempt to publish a member; its message id is that of the member. The messages about the events of a
batch are counted in a ledger of their own, which has the promises of any other queue: an event that comes again after
its delivery was synced is flagged as redelivered, and one whose ack was synced does not come again.

- **Not too early**: at the event complete, each member has an attempt that was acked or rejected, and all attempts that
  certainly count were. At success, each member has an attempt that was acked. At death, an attempt was rejected.
- An attempt certainly counts if it was confirmed before an attempt of its member was settled.
- **Settled for good**: an attempt that counts and was not rejected is not delivered after a delivery of the event
  complete is synced: its ack is on the disk before the event.
- **Not missing**: in the end, a batch all of whose members were confirmed has had the events complete and success, and
  death if the rejection of an attempt that counts was synced.
- The numbers in an event message agree with the event and the size of the batch.
- Rejected messages are redriven, and each confirmed attempt is acked or drained.
"""

import json
import random
import threading
import time
from collections import deque
from typing import Any, NamedTuple

from amqpbroker.wire.values import Field, longstr
from tests.crash.clients import Consumer, CrashClient, LedgerClient, RawConsumer, RawPublisher, Workload
from tests.crash.dead_letters import RedrivenLetters
from tests.crash.ledger import SMALL_BACKLOG, Ledger, Mark, Session
from tests.load.client import LoadClient, request

DEATH, COMPLETE, SUCCESS = EVENTS = ("death", "complete", "success")
PUBLISHERS = 2
WORKERS = 2
MAX_SIZE = 12
#: Members that may be repeated although nothing was lost.
LAST = 20
#: The longest time between two redrives, and between two questions about one.
PAUSE_S = 0.3
POLL_S = 0.01


class Batch:
    """A batch. attempts: of each member. counted: attempts that certainly count.

    died: one of those has failed. completed: a delivery of the event complete is synced.
    """

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.size = size
        self.attempts: list[list[int]] = [[] for _ in range(size)]
        self.counted: set[int] = set()
        self.died = False
        self.completed = False


class Member(NamedTuple):
    """A member of a batch. index: in `Batch.attempts`."""

    batch: Batch
    index: int


class BatchLedger(Ledger):
    """A queue of members of batches. Its clients, and those of the queue of events, share the `lock`.

    rejected: attempts that a worker has rejected. repeated: number of members that were published again because their
    confirm was lost.
    """

    in_order = False
    backlog = SMALL_BACKLOG

    def __init__(self, chance: random.Random, queue: str, **arguments: object) -> None:
        super().__init__(queue, **arguments)
        self.lock = threading.RLock()
        self.batches: list[Batch] = []
        self.members: dict[int, Member] = {}
        self.rejected: set[int] = set()
        self.repeated: int = 0
        self.redriven: int = 0
        self._chance = chance
        #: Members to publish, members without a confirm, and the last ones that were published.
        self._next: deque[Member] = deque()
        self._unconfirmed: dict[Member, None] = {}
        self._last: deque[Member] = deque(maxlen=LAST)

    @property
    def events(self) -> str:
        """The name of the queue of events."""
        return f"{self.queue} events"

    def declare(self, client: LoadClient) -> None:
        super().declare(client)
        client.declare(self.events, durable=True)

    def repeat(self) -> None:
        """Publish the members again whose confirms were lost."""
        with self.lock:
            lost = [each for each in self._unconfirmed if each not in self._next]
            self.repeated += len(lost)
            self._next.extendleft(lost)

    def publish(self) -> tuple[int, bytes]:
        with self.lock:
            number, data = super().publish()
            if self._last and self._chance.random() < 0.1:
                member = self._last[self._chance.randrange(len(self._last))]
            else:
                if not self._next:
                    batch = Batch(len(self.batches) + 1, self._chance.randint(1, MAX_SIZE))
                    self.batches.append(batch)
                    self._next.extend(Member(batch, index) for index in range(batch.size))
                member = self._next.popleft()
            self.members[number] = member
            member.batch.attempts[member.index].append(number)
            if not self._is_confirmed(member):
                self._unconfirmed[member] = None
            self._last.append(member)
            return number, data

    def properties(self, number: int) -> dict[str, Any]:
        batch, index = self.members[number]
        headers = {"x-batch-id": longstr(f"{self.queue} {batch.number}")}
        headers["x-batch-routing-key"] = longstr(self.events)
        headers["x-batch-events"] = longstr(",".join(EVENTS))
        # The last member is enough.
        if batch.number % 2 or index == batch.size - 1:
            headers["x-batch-size"] = Field("l", batch.size)
        return {"message_id": f"{batch.number}.{index}", "headers": headers}

    def confirm(self, number: int) -> None:
        with self.lock:
            super().confirm(number)
            member = self.members[number]
            self._unconfirmed.pop(member, None)
            if not any(self.is_settled(each) for each in member.batch.attempts[member.index]):
                member.batch.counted.add(number)

    def _is_confirmed(self, member: Member) -> bool:
        return any(each in self.confirmed for each in member.batch.attempts[member.index])

    def is_done(self, number: int) -> bool:
        """Return whether an attempt was acked and did not come back."""
        return number in self.acked or number in self.drained

    def is_settled(self, number: int) -> bool:
        return number in self.rejected or self.is_done(number)

    def problem(self, batch: Batch, event: str) -> str:
        """Return why an event is too early, or an empty string."""
        if event == DEATH:
            rejected = any(each in self.rejected for attempts in batch.attempts for each in attempts)
            return "" if rejected else "no member was rejected"
        reached = self.is_done if event == SUCCESS else self.is_settled
        for index, attempts in enumerate(batch.attempts):
            if not any(reached(each) for each in attempts):
                return f"member {index} is open (attempts {attempts})"
        for each in sorted(batch.counted):
            if not self.is_settled(each):
                return f"attempt {each} is open"
        return ""

    def expected(self, batch: Batch) -> tuple[str, ...]:
        """Return the events that a batch must have had in the end."""
        if not all(any(each in self.confirmed for each in attempts) for attempts in batch.attempts):
            return ()
        return EVENTS if batch.died else (COMPLETE, SUCCESS)

    def session(self) -> "WorkSession":
        return WorkSession(self)

    def is_tested(self) -> bool:
        return super().is_tested() and self.repeated > 0 and self.redriven > 0

    def details(self) -> str:
        return (
            f", batches {len(self.batches)}, repeated after a lost confirm {self.repeated}, rejected"
            f" {len(self.rejected)}, redriven {self.redriven}"
        )


class WorkSession(Session):
    """One of the workers."""

    ledger: BatchLedger

    def __init__(self, ledger: BatchLedger) -> None:
        super().__init__(ledger)
        #: The time of the last rejection of each message.
        self._rejections: dict[int, float] = {}

    def delivered(self, data: bytes, redelivered: bool) -> int:
        with self.ledger.lock:
            return super().delivered(data, redelivered)

    def check(self, number: int) -> None:
        ledger = self.ledger
        batch = ledger.members[number].batch
        if batch.completed and number in batch.counted and number not in ledger.rejected:
            ledger.complain(number, f"is delivered, though batch {batch.number} was complete")

    def ack(self, number: int, until: float = float("inf")) -> None:
        with self.ledger.lock:
            super().ack(number, until)

    def reject(self, number: int) -> None:
        """Record a rejection for good. Call it before it is sent."""
        with self.ledger.lock:
            self.give_back(number)
            self.ledger.rejected.add(number)
            # Another worker may get it, redriven, before the next mark is synced.
            self.ledger.seen.discard(number)
            self._rejections[number] = self._next.returned[number]

    def synced(self, mark: Mark) -> None:
        ledger = self.ledger
        with ledger.lock:
            super().synced(mark)
            # A redriven message is delivered as if it had not been before.
            ledger.seen -= ledger.rejected
            for number, at in mark.returned.items():
                batch = ledger.members[number].batch
                if number in batch.counted and self._rejections.get(number) == at:
                    batch.died = True


class EventLedger(Ledger):
    """The queue of the event messages of batches. Each event of each batch has a number."""

    in_order = False

    def __init__(self, work: BatchLedger) -> None:
        super().__init__(work.events)
        self.work = work

    def named(self, number: int) -> tuple[Batch, str]:
        """Return the batch and the event with this number."""
        index, event = divmod(number - 1, len(EVENTS))
        return self.work.batches[index], EVENTS[event]

    def identify(self, data: bytes) -> int:
        content = json.loads(data)
        batch = int(content["id"].rpartition(" ")[2])
        return (batch - 1) * len(EVENTS) + EVENTS.index(content["event"]) + 1

    def is_intact(self, number: int, data: bytes) -> bool:
        content = json.loads(data)
        batch, event = self.named(number)
        ok, failed = content["ok"], content["failed"]
        if event == DEATH:
            return True
        if event == COMPLETE and ok + failed != batch.size:
            return False
        return bool(content["size"] == batch.size and (event == COMPLETE or (ok == batch.size and not failed)))

    def complain(self, number: int, text: str) -> None:
        batch, event = self.named(number)
        self.wrong.append(f"{self.queue}: {event} of batch {batch.number} {text}")

    @property
    def awaited(self) -> set[int]:
        every = range(1, len(self.work.batches) * len(EVENTS) + 1)
        return {number for number in every if self.named(number)[1] in self.work.expected(self.named(number)[0])}

    def settle_accounts(self) -> None:
        for number in sorted(self.awaited - self.finished):
            self.complain(number, "is missing")

    def details(self) -> str:
        return f", awaited {len(self.awaited)}"

    def session(self) -> "EventSession":
        return EventSession(self)


class EventSession(Session):
    """One consumer of event messages."""

    ledger: EventLedger

    def delivered(self, data: bytes, redelivered: bool) -> int:
        with self.ledger.work.lock:
            self.ledger.sent = len(self.ledger.work.batches) * len(EVENTS)
            return super().delivered(data, redelivered)

    def check(self, number: int) -> None:
        problem = self.ledger.work.problem(*self.ledger.named(number))
        if problem:
            self.ledger.complain(number, f"is sent too early: {problem}")

    def synced(self, mark: Mark) -> None:
        with self.ledger.work.lock:
            super().synced(mark)
            for number in mark.delivered:
                batch, event = self.ledger.named(number)
                batch.completed = batch.completed or event == COMPLETE


class BatchPublisher(RawPublisher):
    """Repeats the members whose confirms were lost, then publishes others."""

    def __init__(self, chance: random.Random, ledger: BatchLedger) -> None:
        super().__init__(chance, ledger)
        self._batches = ledger

    def work(self) -> None:
        self._batches.repeat()
        super().work()


class Worker(Consumer[WorkSession]):
    """Acks most messages, immediately or when others have come; returns some, and rejects some."""

    marked = 0.3
    prefetch = 20
    #: Number of messages that it keeps unsettled.
    kept = 10

    def __init__(self, chance: random.Random, ledger: BatchLedger) -> None:
        super().__init__(chance, ledger)
        self._batches = ledger
        self._later: deque[tuple[int, int]] = deque()

    def session(self) -> WorkSession:
        self._later.clear()
        return self._batches.session()

    def react(self, session: WorkSession, tag: int, number: int) -> bytes:
        choice = self.chance.random()
        if choice < 0.08:
            session.reject(number)
            return request("basic.reject", delivery_tag=tag, requeue=False)
        if choice < 0.13:
            session.give_back(number)
            return request("basic.reject", delivery_tag=tag, requeue=True)
        if choice < 0.4:
            self._later.append((tag, number))
            if len(self._later) <= self.kept:
                return b""
            tag, number = self._later.popleft()
        session.ack(number)
        return request("basic.ack", delivery_tag=tag)


class LetterRedriver(LedgerClient):
    """Redrives the dead letters of members again and again; once, and to its end, if `last`."""

    def __init__(self, chance: random.Random, ledger: BatchLedger, last: bool = False) -> None:
        super().__init__(chance, ledger)
        self._batches = ledger
        self._last = last

    def work(self) -> None:
        with self.connect() as client:
            self.ledger.declare(client)
        self.working.set()
        while True:
            self._redrive()
            if self._last:
                return
            time.sleep(self.chance.uniform(0, PAUSE_S))

    def _redrive(self) -> None:
        assert self.ledger.dead is not None
        path = self.queue_path(self.ledger.dead.queue, "redrive")
        handle = self.call("POST", path, {})["task_handle"]
        while True:
            task = next((each for each in self.call("GET", path) if each["task_handle"] == handle), None)
            if task is None:
                raise ConnectionError("the broker that had the task has ended")
            if task["state"] != "RUNNING":
                break
            time.sleep(POLL_S)
        assert (task["state"], task["failed"]) == ("COMPLETED", 0), task
        self._batches.redriven += task["moved"]


def ledgers(chance: random.Random) -> list[BatchLedger]:
    """Return a queue of each type."""
    quorum = {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("l", -1)}
    return [BatchLedger(chance, "batches"), BatchLedger(chance, "batches quorum", **quorum)]


def workload(chance: random.Random, ledger: BatchLedger) -> Workload:
    """Return the clients of a queue."""
    events = EventLedger(ledger)
    clients: list[CrashClient] = [BatchPublisher(chance, ledger) for _ in range(PUBLISHERS)]
    clients += [Worker(chance, ledger) for _ in range(WORKERS)]
    clients += [RawConsumer(chance, events), LetterRedriver(chance, ledger)]
    return Workload(clients, [ledger, RedrivenLetters(ledger), events])
