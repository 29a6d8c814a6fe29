"""Index of the active faults by event, so that the cost of an event does not depend on the number of other faults."""

import heapq
from bisect import insort
from collections import Counter
from collections.abc import Callable, Collection, Iterator

from amqpbroker.testing.faults.fault import Fault, Key, Only
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.line import Line

#: Method of a declaration -> argument with the declared name.
DECLARED = {"queue.declare": "queue", "exchange.declare": "exchange"}


def _any(fault: Fault) -> bool:
    return True


class Bucket:
    """Faults that count the same events; each is due from a certain event on.

    count: number of events so far.
    """

    def __init__(self) -> None:
        self.count = 0
        #: A heap of (number of the event, id, fault).
        self._waiting: list[tuple[int, int, Fault]] = []
        #: Due faults in the order in which they were added: (id, number of the event, fault).
        self._due: list[tuple[int, int, Fault]] = []

    def add(self, fault: Fault, first: int) -> None:
        """Add a fault that is due from the `first` event from now on."""
        heapq.heappush(self._waiting, (self.count + first, fault.id, fault))

    def advance(self, events: int = 1) -> None:
        self.count += events
        waiting = self._waiting
        while waiting and waiting[0][0] <= self.count:
            number, order, fault = heapq.heappop(waiting)
            insort(self._due, (order, number, fault))

    def first(self, number: int | None = None, allows: Callable[[Fault], bool] = _any) -> Fault | None:
        """Return the fault that triggers: the oldest one that is due and not spent.

        number: number of the event, the last event if None. A repeated event triggers a newer fault only if the fault
        triggers from the first event on.
        """
        due = self._due
        while due and due[0][2].is_spent:
            due.pop(0)
        for _, first, fault in due:
            if fault.is_spent or not (number is None or first <= number or fault.strikes_all):
                continue
            if allows(fault):
                return fault
        return None

    def all(self) -> list[Fault]:
        """Return the faults that are due and not spent, oldest first."""
        self._due = [each for each in self._due if not each[2].is_spent]
        return [fault for _, _, fault in self._due]

    def soonest(self) -> tuple[Fault, int] | None:
        """Return the due fault with the earliest event, and the number of this event; None if no fault is due."""
        self.all()
        if not self._due:
            return None
        _, number, fault = min(self._due, key=lambda each: each[1])
        return fault, number

    def discard(self, gone: Collection[Fault]) -> None:
        self._waiting = [each for each in self._waiting if each[2] not in gone]
        heapq.heapify(self._waiting)
        self._due = [each for each in self._due if each[2] not in gone]

    def __bool__(self) -> bool:
        return bool(self._waiting or self._due)


class Group:
    """The faults that apply to the same connections.

    buckets: faults by counted event. every: faults that see all events. lines: faults that count the events of each
    connection separately. slow: faults that slow or stop reading or writing.
    """

    def __init__(self) -> None:
        self.buckets: dict[Key, Bucket] = {}
        self.every: dict[Fault, None] = {}
        self.lines: dict[Fault, None] = {}
        self.slow: dict[Fault, None] = {}


class Index:
    """All active faults. version: number that changes with the faults."""

    def __init__(self) -> None:
        self.version = 0
        self._groups: dict[Only, Group] = {}
        #: Number of faults in each group.
        self._sizes: Counter[Only] = Counter()
        #: Number of places of faults for each kind of event.
        self._kinds: Counter[object] = Counter()

    def add(self, fault: Fault) -> None:
        self.version += 1
        self._sizes[fault.only] += 1
        group = self._groups.setdefault(fault.only, Group())
        if fault.asked_of_all:
            group.every[fault] = None
        if fault.is_slow:
            group.slow[fault] = None
        if fault.counts_lines:
            group.lines[fault] = None
            return
        for key, first in fault.places():
            self._kinds[key[0]] += 1
            group.buckets.setdefault(key, Bucket()).add(fault, first)

    def remove(self, gone: Collection[Fault]) -> None:
        self.version += 1
        emptied: dict[tuple[Only, Key], None] = {}
        for fault in gone:
            group = self._groups[fault.only]
            for faults in (group.every, group.slow, group.lines):
                faults.pop(fault, None)
            if not fault.counts_lines:
                for key, _ in fault.places():
                    self._kinds[key[0]] -= 1
                    emptied[fault.only, key] = None
        for only, key in emptied:
            bucket = self._groups[only].buckets[key]
            bucket.discard(gone)
            if not bucket:
                del self._groups[only].buckets[key]
        self._sizes.subtract(fault.only for fault in gone)
        for only in {fault.only for fault in gone}:
            if not self._sizes[only]:
                del self._sizes[only], self._groups[only]

    def groups(self, line: Line) -> list[Group]:
        """Return the faults that apply to a connection. The handshake may change them: it reveals user and vhost."""
        users, vhosts = {"": None, line.user: None}, {"": None, line.vhost: None}
        names = dict.fromkeys(("", *line.names))
        wanted = [Only(name, user, vhost) for name in names for user in users for vhost in vhosts]
        return [self._groups[only] for only in wanted if only in self._groups]

    def keys(self, line: Line, frame: Frame, received: bool) -> Iterator[Key]:
        """Yield the lookup keys of a frame with a method."""
        name, kinds = frame.name, self._kinds
        way = "received" if received else "sent"
        if kinds[way]:
            yield way, name
        if not received:
            return
        if name == "basic.publish" and kinds["publish"] and line.confirms(frame.channel):
            arguments = frame.arguments()
            exchange, routing_key = arguments.get("exchange"), arguments.get("routing_key")
            yield from dict.fromkeys(
                [("publish", each, key) for each in (None, exchange) for key in (None, routing_key)]
            )
        elif name in DECLARED and kinds[name] and frame.channel in line.connection.channels:
            yield from dict.fromkeys([(name, None), (name, frame.arguments().get(DECLARED[name]))])
