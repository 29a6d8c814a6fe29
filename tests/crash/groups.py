"""Queues with message groups, in which failed messages stop their groups, and a redrive over HTTP resumes them.

Each key belongs to one publisher, so its messages are numbered in the order in which they are published.

- **One at a time**: a message is not delivered, to any consumer, before the one before it in its group is settled.
- **Order**: in one life of the broker, the numbers of a group only grow. A confirmed message is acked before a later
  one of its group is delivered. The deliveries of a group that are synced also remain in order after a kill: the ack of
  each message is on the disk before the delivery of the next one.
- **Stopped**: after a rejection, nothing of the group is delivered before a redrive is requested. This is also true
  after a kill if the rejection was synced; then the group is listed as stopped.
- **Resumed**: a group is not listed as stopped if nothing was rejected since a redrive of it was answered with 200.
- When all groups are resumed, each confirmed message is in the queue, and none is in the dead letter queue.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Any

from amqpbroker.wire.values import Field, longstr
from tests.crash.clients import Consumer, CrashClient, LedgerClient, RawPublisher, Workload
from tests.crash.dead_letters import RedrivenLetters
from tests.crash.ledger import SMALL_BACKLOG, Ledger, Mark, Session
from tests.harness import published
from tests.load.client import request

HEADER = "key"
PUBLISHERS = 2
CONSUMERS = 3
#: Keys of each publisher.
KEYS = 10
#: The state of a stopped group, for each value of x-group-on-dead.
STATES = {"park": "parked", "follow": "closed"}
#: The longest time between two lists of stopped groups.
PAUSE_S = 0.3


class GroupLedger(Ledger):
    """A queue with message groups. Its publishers and consumers run at the same time, and share the `lock`.

    out: the message of each key that a consumer has and has not settled, with its session. last: the last delivered one
    in this life of the broker. stopped: the message that stopped each group that no redrive was requested for since.
    """

    in_order = False
    backlog = SMALL_BACKLOG

    def __init__(self, queue: str, on_dead: str, **arguments: object) -> None:
        own = {"x-group-header": longstr(HEADER), "x-group-on-dead": longstr(on_dead)}
        super().__init__(queue, **own, **arguments)
        self.state = STATES[on_dead]
        self.lock = threading.RLock()
        self.keys: dict[int, str] = {}
        self.out: dict[str, tuple[int, GroupSession]] = {}
        #: Messages that were delivered again, with the sessions that had them. Their connections have ended, or are
        #: with a broker that is stopped: nothing that they send has an effect.
        self.taken: dict[int, GroupSession] = {}
        self.last: dict[str, int] = {}
        #: The newest message of each key of which a delivery is synced.
        self.newest: dict[str, int] = {}
        self.stopped: dict[str, int] = {}
        self.stops: int = 0
        self.redrives: int = 0
        self.survived: int = 0
        #: The time of each rejection that is not synced, and the session of the last one, by key.
        self._unsynced: dict[str, float] = {}
        self._rejecting: dict[str, GroupSession] = {}
        #: Number of rejections of each key, in all and before the last redrive that was answered.
        self._rejections: dict[str, int] = {}
        self._resumed: dict[str, int] = {}
        #: Rejections that a broker has not received, since it had closed the connection, by message.
        self._missed: dict[int, float] = {}
        #: Groups that were certainly stopped when the broker was killed.
        self._through_kill: set[str] = set()
        self._sessions: int = 0
        #: Messages of each key whose acks are not synced, in order.
        self._unsettled: dict[str, deque[int]] = {}

    def publish_with(self, key: str) -> tuple[int, bytes]:
        """Return the next message, with a key that no other client publishes."""
        with self.lock:
            number, data = self.publish()
            self.keys[number] = key
            self._unsettled.setdefault(key, deque()).append(number)
            return number, data

    def properties(self, number: int) -> dict[str, Any]:
        return {"headers": {HEADER: longstr(self.keys[number])}}

    def session(self) -> "GroupSession":
        with self.lock:
            self._sessions += 1
            return GroupSession(self)

    def ended(self, session: "GroupSession") -> None:
        """Record that a consumer has lost its connection."""
        with self.lock:
            for number in session.held:
                self.settled(number, session)
            self.taken = {number: other for number, other in self.taken.items() if other is not session}
            self._sessions -= 1
            if not self._sessions:
                # The broker was killed: a rejection that is not synced may be undone.
                for key in self._unsynced:
                    del self.stopped[key]
                self._unsynced.clear()
                self._through_kill = set(self.stopped)
                self.last.clear()

    def settled(self, number: int, session: "GroupSession") -> None:
        """Record that a consumer settles a message, or loses it."""
        key = self.keys[number]
        if self.out.get(key) == (number, session):
            del self.out[key]

    def earlier(self, number: int) -> list[int]:
        """Return the messages that must be delivered and acked before this one."""
        key = self.keys[number]
        waiting = self._unsettled[key] = deque(each for each in self._unsettled[key] if each not in self.gone)
        before = [each for each in waiting if each < number]
        exist = [each for each in before if each in self.confirmed or each in self.seen]
        return [each for each in exist if each not in self.acked and each not in self.drained]

    # --- stopped groups -----------------------------------------------------------------------------------------------

    def stop(self, number: int, at: float, session: "GroupSession") -> None:
        """Record a rejection. Call it before it is sent."""
        key = self.keys[number]
        self.stops += 1
        self.stopped[key] = number
        self._unsynced[key] = at
        self._rejecting[key] = session
        self._rejections[key] = self._rejections.get(key, 0) + 1

    def is_stopped(self, number: int, session: "GroupSession") -> bool:
        """Return whether the group of a message that is delivered is stopped.

        It is not if another session has rejected this message, and that is not synced: a broker that hands its vhosts
        over may close a connection before it has received the rejection, and deliver the message over another one.
        """
        key = self.keys[number]
        if self.stopped.get(key) == number and key in self._unsynced and self._rejecting[key] is not session:
            del self.stopped[key]
            self._missed[number] = self._unsynced.pop(key)
        return key in self.stopped

    def stop_synced(self, number: int, at: float) -> None:
        """Record that the rejection at that time is synced."""
        key = self.keys[number]
        if self._missed.get(number) == at:
            self.complain(number, "was delivered again, although its rejection is synced")
        if self._unsynced.get(key) == at:
            del self._unsynced[key]

    def certain(self) -> set[str]:
        """Return the keys of groups that are certainly stopped. Call it before the stopped groups are requested."""
        with self.lock:
            return set(self.stopped) - set(self._unsynced)

    def listed(self, keys: Iterable[str], certain: set[str]) -> None:
        """Check a list of stopped groups."""
        with self.lock:
            found = set(keys)
            for key in sorted(certain - found):
                self.wrong.append(f"{self.queue}: group {key} is not {self.state}, though a rejection was synced")
            for key in sorted(found):
                if self._rejections.get(key, 0) <= self._resumed.get(key, 0):
                    self.wrong.append(f"{self.queue}: group {key} is {self.state}, and nothing was rejected")
            self.survived += len(self._through_kill & found)
            self._through_kill -= found

    def redriving(self, key: str) -> int:
        """Return the number of rejections of a group. Call it before a redrive of the group is requested."""
        with self.lock:
            self.stopped.pop(key, None)
            self._unsynced.pop(key, None)
            return self._rejections.get(key, 0)

    def redriven(self, key: str, rejections: int) -> None:
        """Record that a redrive was answered. rejections: the number of them before it was requested."""
        with self.lock:
            self.redrives += 1
            self._resumed[key] = rejections

    def is_tested(self) -> bool:
        return super().is_tested() and self.redrives > 0 and self.survived > 0

    def details(self) -> str:
        through = f"{self.state} through a kill {self.survived}"
        return f", rejections {self.stops}, redrives {self.redrives}, {through}"


class GroupSession(Session):
    """One of the consumers of a queue with message groups."""

    ledger: GroupLedger

    def delivered(self, data: bytes, redelivered: bool) -> int:
        with self.ledger.lock:
            return super().delivered(data, redelivered)

    def check(self, number: int) -> None:
        ledger = self.ledger
        key = ledger.keys[number]
        if ledger.is_stopped(number, self):
            ledger.complain(number, f"is delivered, though message {ledger.stopped[key]} stopped its group")
        out, other = ledger.out.get(key, (0, self))
        if out == number and other is not self:
            # The broker may know sooner than the other consumer that its connection has ended.
            ledger.taken[number] = other
        elif out and out not in ledger.drained:
            ledger.complain(number, f"is delivered while message {out} of its group is not settled")
        last = max(ledger.last.get(key, 0), ledger.newest.get(key, 0))
        if number < last:
            ledger.complain(number, f"is delivered after message {last} of its group")
        for earlier in ledger.earlier(number):
            ledger.complain(number, f"is delivered before message {earlier} of its group")
        ledger.out[key] = number, self
        ledger.last[key] = number

    def ack(self, number: int, until: float = float("inf")) -> None:
        with self.ledger.lock:
            if self._was_taken(number):
                self._next.acked[number] = until
            else:
                super().ack(number, until)
            self.ledger.settled(number, self)

    def give_back(self, number: int) -> None:
        with self.ledger.lock:
            super().give_back(number)
            self.ledger.settled(number, self)

    def _was_taken(self, number: int) -> bool:
        """Return whether another consumer has got a message that this one had."""
        return self.ledger.taken.get(number) is self

    def reject(self, number: int) -> None:
        """Record a rejection for good. Call it before it is sent."""
        with self.ledger.lock:
            self.give_back(number)
            if not self._was_taken(number):
                self.ledger.stop(number, self._next.returned[number], self)

    def synced(self, mark: Mark) -> None:
        ledger = self.ledger
        with ledger.lock:
            super().synced(mark)
            for number in (*mark.acked, *mark.returned):
                if self._was_taken(number):
                    ledger.complain(number, "was delivered to another consumer while this one had it")
            for number in mark.delivered:
                key = ledger.keys[number]
                ledger.newest[key] = max(ledger.newest.get(key, 0), number)
            for number, at in mark.returned.items():
                ledger.stop_synced(number, at)

    def end(self) -> None:
        """Record the end of the connection."""
        self.ledger.ended(self)


class GroupPublisher(RawPublisher):
    """Publishes messages with its own keys."""

    def __init__(self, chance: random.Random, ledger: GroupLedger, name: str) -> None:
        super().__init__(chance, ledger)
        self._groups = ledger
        self._keys = [f"{name}{number}" for number in range(KEYS)]

    def _message(self) -> tuple[int, bytes]:
        ledger = self._groups
        number, data = ledger.publish_with(self.chance.choice(self._keys))
        return number, published(ledger.queue, data, delivery_mode=2, **ledger.properties(number))


class GroupConsumer(Consumer[GroupSession]):
    """Acks most messages, immediately or when others have come; returns some, and rejects a few."""

    marked = 0.3
    prefetch = 5
    #: Number of messages that it keeps unsettled, and so of groups that it keeps busy.
    kept = 2

    def __init__(self, chance: random.Random, ledger: GroupLedger) -> None:
        super().__init__(chance, ledger)
        self._groups = ledger
        self._session: GroupSession | None = None
        self._later: deque[tuple[int, int]] = deque()

    def work(self) -> None:
        try:
            super().work()
        finally:
            if self._session is not None:
                self._session.end()
                self._session = None

    def session(self) -> GroupSession:
        self._later.clear()
        self._session = self._groups.session()
        return self._session

    def react(self, session: GroupSession, tag: int, number: int) -> bytes:
        choice = self.chance.random()
        if choice < 0.05:
            session.reject(number)
            return request("basic.reject", delivery_tag=tag, requeue=False)
        if choice < 0.15:
            session.give_back(number)
            return request("basic.reject", delivery_tag=tag, requeue=True)
        if choice < 0.35:
            self._later.append((tag, number))
            if len(self._later) <= self.kept:
                return b""
            tag, number = self._later.popleft()
        session.ack(number)
        return request("basic.ack", delivery_tag=tag)


class GroupRedriver(LedgerClient):
    """Lists the stopped groups, and redrives most of them; once, and then all of them, if `last`."""

    def __init__(self, chance: random.Random, ledger: GroupLedger, last: bool = False) -> None:
        super().__init__(chance, ledger)
        self._groups = ledger
        self._last = last

    def work(self) -> None:
        with self.connect() as client:
            self.ledger.declare(client)
        self._redrive()
        self.working.set()
        while not self._last:
            time.sleep(self.chance.uniform(0, PAUSE_S))
            self._redrive()

    def _redrive(self) -> None:
        ledger = self._groups
        certain = ledger.certain()
        keys = [row["key"] for row in self.call("GET", self._path() + f"?state={ledger.state}")]
        ledger.listed(keys, certain)
        for key in keys:
            if self._last or self.chance.random() < 0.7:
                rejections = ledger.redriving(key)
                if "left" in self.call("POST", self._path("redrive"), {"key": key}):
                    while self._is_redriven(key):
                        time.sleep(0.05)
                    # Its end may not be on the disk yet: a kill may undo it.
                else:
                    ledger.redriven(key, rejections)

    def _is_redriven(self, key: str) -> bool:
        """Return whether a redrive of a group goes on."""
        rows = self.call("GET", self._path() + f"?state={self._groups.state}")
        tasks = [row["redrive"] for row in rows if row["key"] == key]
        return any(task is not None and task["state"] == "RUNNING" for task in tasks)

    def _path(self, *parts: str) -> str:
        return self.queue_path(self.ledger.queue, "groups", *parts)


def ledgers() -> list[GroupLedger]:
    """Return a queue of each type for each effect of a failed message."""
    quorum = {"x-queue-type": longstr("quorum"), "x-delivery-limit": Field("l", -1)}
    return [
        GroupLedger(f"groups {on_dead} {kind}", on_dead, **arguments)
        for on_dead in STATES
        for kind, arguments in (("classic", {}), ("quorum", quorum))
    ]


def workload(chance: random.Random, ledger: GroupLedger) -> Workload:
    """Return the clients of a queue."""
    clients: list[CrashClient] = [GroupPublisher(chance, ledger, f"{number}.") for number in range(PUBLISHERS)]
    clients += [GroupConsumer(chance, ledger) for _ in range(CONSUMERS)]
    clients.append(GroupRedriver(chance, ledger))
    return Workload(clients, [ledger, *([RedrivenLetters(ledger)] if ledger.state == "closed" else [])])
