"""A model of the broker on one page: the effects of queues on messages, as plain lists, and after a crash.

The clock is the model's own, and nothing waits: after each operation every overdue message at the head of a queue has
left, and every message that a consumer may receive is delivered. Each queue has one consumer. There are no exchanges: a
publish names the queues.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

NONE = -1


class Copy(NamedTuple):
    """One queue's copy of a message. deaths: (queue, reason, times), the latest first. first: the first death of all.

    is_normal: it was returned to a quorum queue without a delivery limit, which ignores its priority until a restart.
    due_ms: end of its last delay, 0 if it was never delayed. A stored copy keeps it after its delay.
    """

    body: bytes
    persistent: bool
    priority: int = 0
    expiration_ms: int = NONE
    deaths: tuple[tuple[str, str, int], ...] = ()
    first: tuple[str, str] | None = None
    sequence: int = 0
    deadline_ms: int = 0
    redelivered: bool = False
    count: int = 0
    is_normal: bool = False
    due_ms: int = 0

    def died(self, queue: str, reason: str) -> "Copy":
        times = sum([times for at, why, times in self.deaths if (at, why) == (queue, reason)])
        others = tuple(death for death in self.deaths if death[:2] != (queue, reason))
        deaths = ((queue, reason, times + 1), *others)
        return Copy(self.body, self.persistent, self.priority, NONE, deaths, self.first or (queue, reason))

    def is_high(self) -> bool:
        """Return whether it has high priority in a quorum queue."""
        return self.priority > 4 and not self.is_normal

    def may_enter(self, queue: str) -> bool:
        """Return whether it may enter the queue: False if it would cycle without a client's doing."""
        for at, reason, _ in self.deaths:
            if reason == "rejected":
                return True
            if at == queue:
                return False
        return True


class Retry(NamedTuple):
    """Delay of returned messages. returns: all, failed or returned. multiplier: 0 for a delay that grows linearly."""

    returns: str
    min_ms: int
    max_ms: int
    multiplier: float = 0

    def delay_ms(self, failed: bool, count: int) -> int:
        if self.returns != "all" and failed != (self.returns == "failed"):
            return 0
        times = max(1, count)
        factor = self.multiplier ** (times - 1) if self.multiplier else times
        return int(min(self.min_ms * factor, self.max_ms))


class Spec(NamedTuple):
    """The arguments of a queue. delivery_limit: None for the default of its type.

    letters: the queue of its dead letters, through the default exchange. expires_anywhere: messages expire behind the
    head too.
    """

    name: str
    quorum: bool = False
    max_priority: int = 0
    ttl_ms: int = NONE
    max_length: int = NONE
    delivery_limit: int | None = None
    letters: str = ""
    retry: Retry | None = None
    expires_anywhere: bool = False

    @property
    def limit(self) -> int:
        """Return the delivery limit, NONE for none."""
        if self.delivery_limit is None:
            return 20 if self.quorum else NONE
        return self.delivery_limit

    @property
    def counts_returns(self) -> bool:
        """Return whether consumers see the number of returns."""
        return self.quorum or self.limit >= 0


@dataclass
class Line:
    """A queue. number: distinguishes queues with the same name. delayed: returned copies that are not ready yet.
    held: sequence -> copies that are delivered and not settled.

    delivered: those of them that a consumer received. outstanding: those of the current consumer.
    """

    spec: Spec
    number: int
    ready: list[Copy] = field(default_factory=list)
    returned: list[Copy] = field(default_factory=list)
    delayed: list[Copy] = field(default_factory=list)
    held: dict[int, Copy] = field(default_factory=dict)
    sequence: int = 0
    turn: int = 0
    prefetch: int = NONE
    delivered: set[int] = field(default_factory=set)
    outstanding: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.ready) + len(self.returned)

    def head(self) -> Copy:
        spec = self.spec
        if self.returned:
            return self.returned[0]
        if not spec.quorum:
            return min(self.ready, key=lambda copy: (-min(copy.priority, spec.max_priority), copy.sequence))
        high, normal = ([copy for copy in self.ready if copy.is_high() is which] for which in (True, False))
        if not high or (normal and self.turn == 2 and normal[0].sequence < high[0].sequence):
            return normal[0]
        return high[0]

    def pop(self) -> Copy:
        copy = self.head()
        if self.returned:
            return self.returned.pop(0)
        if self.spec.quorum:
            self.turn = (self.turn + 1) % 3
        self.ready.remove(copy)
        return copy

    def can_take(self) -> bool:
        return self.prefetch == 0 or len(self.outstanding) < self.prefetch

    def is_stored(self, copy: Copy) -> bool:
        return copy.persistent or self.spec.quorum

    def stored(self) -> list[Copy]:
        """Return the copies after a crash: in their old order, including held ones."""
        held = [copy._replace(redelivered=True) for copy in self.held.values()]
        copies = [copy for copy in (*self.ready, *self.returned, *self.delayed, *held) if self.is_stored(copy)]
        return sorted([copy._replace(is_normal=False) for copy in copies], key=lambda copy: copy.sequence)


#: Existing queues, and number -> stored copies.
State = tuple[tuple[tuple[Spec, int], ...], dict[int, list[Copy]]]


class Model:
    """lines: the existing queues in the order of their declaration."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.lines: dict[str, Line] = {}
        self.numbers = 0
        self._delivered: list[tuple[Line, Copy]] = []
        self._dying: list[tuple[Line, list[Copy], str]] = []
        self._burying = False

    # --- operations of clients
    # ------------------------------------------------------------------------------------------

    def declare(self, spec: Spec) -> None:
        if spec.name not in self.lines:
            self.numbers += 1
            self.lines[spec.name] = Line(spec, self.numbers)

    def publish(self, copy: Copy, queues: Iterable[str]) -> None:
        self._route(copy, queues)
        self._settle_down()

    def get(self, name: str, no_ack: bool = False) -> Copy | None:
        """Get a message. Messages of a quorum queue that expire behind it leave after the answer: `advance`."""
        line = self.lines[name]
        copy = self._take(line)
        if copy is not None and not no_ack:
            line.held[copy.sequence] = copy
        if no_ack or not line.spec.quorum:
            self._settle_down()
        return copy

    def subscribe(self, name: str, prefetch: int) -> None:
        self.lines[name].prefetch = prefetch
        self._drain(self.lines[name])
        self._settle_down()

    def cancel(self, name: str) -> None:
        self.lines[name].prefetch = NONE
        self.lines[name].outstanding.clear()

    def settle(self, taken: list[tuple[Line, int]], how: str) -> None:
        """Settle copies.

        how: ack, reject, requeue, or fail for a requeue that counts as a failure. Queues are in the order of names; in
        each, gets before deliveries.
        """
        self._settle(taken, how)
        self._settle_down()

    def commit(self, copies: list[tuple[Copy, Iterable[str]]], taken: list[tuple[Line, int]], how: str) -> None:
        """Commit a transaction: publishes, then everything it settles."""
        for copy, queues in copies:
            self._route(copy, queues)
        self._settle(taken, how)
        self._settle_down()

    def _settle(self, taken: list[tuple[Line, int]], how: str) -> None:
        groups: dict[tuple[int, bool], tuple[Line, list[Copy]]] = {}
        for line, sequence in taken:
            key = id(line), sequence in line.delivered
            groups.setdefault(key, (line, []))[1].append(line.held.pop(sequence))
        for _, (line, copies) in sorted(groups.items(), key=lambda group: (group[1][0].spec.name, group[0][1])):
            settled = {copy.sequence for copy in copies}
            own = line.outstanding & settled
            line.outstanding -= settled
            line.delivered -= settled
            if self.lines.get(line.spec.name) is not line:
                continue
            if how == "reject":
                highest_first = sorted(copies, key=lambda copy: -min(copy.priority, line.spec.max_priority))
                self._leave(line, highest_first, "rejected")
            elif how in ("requeue", "fail"):
                self._requeue(line, copies, how == "fail")
            if own:
                self._drain(line)

    def purge(self, name: str) -> int:
        line = self.lines[name]
        count = len(line) + len(line.delayed)
        line.ready.clear()
        line.returned.clear()
        line.delayed.clear()
        line.turn = 0
        return count

    def delete(self, name: str) -> int:
        return len(self.lines.pop(name))

    def advance(self, ms: int) -> None:
        """Advance the clock, from one deadline to the next."""
        end_ms = self.now_ms + ms
        while True:
            due = [line.head().deadline_ms for line in self.lines.values() if len(line) and line.head().deadline_ms]
            due += [copy.due_ms for line in self.lines.values() for copy in line.delayed]
            if not due or min(due) > end_ms:
                break
            self.now_ms = max(self.now_ms, min(due))
            for line in list(self.lines.values()):
                self._release(line)
            self._settle_down()
        self.now_ms = end_ms

    def take_delivered(self) -> list[tuple[Line, Copy]]:
        """Return the deliveries to consumers since the last call."""
        delivered, self._delivered = self._delivered, []
        return delivered

    # --- effects of queues
    # ----------------------------------------------------------------------------------------------

    def _route(self, copy: Copy, queues: Iterable[str]) -> None:
        """Add copies to the queues. Copies that die are dead-lettered only after all queues have theirs."""
        burying, self._burying = self._burying, True
        for name in queues:
            if name in self.lines:
                self._enter(self.lines[name], copy)
        self._burying = burying
        if not burying:
            self._bury()

    def _enter(self, line: Line, copy: Copy) -> None:
        line.sequence += 1
        ttls = [ttl for ttl in (line.spec.ttl_ms, copy.expiration_ms) if ttl >= 0]
        deadline_ms = self.now_ms + min(ttls) if ttls else 0
        copy = copy._replace(sequence=line.sequence, deadline_ms=deadline_ms, redelivered=False, count=0)
        if not len(line) and line.can_take():
            line.turn = (line.turn + 1) % 3
            self._deliver(line, copy)
        else:
            line.ready.append(copy)
            self._trim(line)
            if deadline_ms:
                self._expire(line)

    def _deliver(self, line: Line, copy: Copy) -> None:
        line.held[copy.sequence] = copy
        line.delivered.add(copy.sequence)
        line.outstanding.add(copy.sequence)
        self._delivered.append((line, copy))

    def _drain(self, line: Line) -> None:
        while len(line) and line.can_take():
            copy = self._take(line)
            if copy is not None:
                self._deliver(line, copy)

    def _take(self, line: Line) -> Copy | None:
        while len(line):
            copy = line.pop()
            if not self._is_overdue(copy):
                return copy
            self._leave(line, [copy], "expired")
        return None

    def _requeue(self, line: Line, copies: list[Copy], failed: bool) -> None:
        spec = line.spec
        copies = [copy._replace(redelivered=True, count=copy.count + 1) for copy in copies]
        limit = spec.limit if spec.limit >= 0 else 1 << 30
        back = []
        for copy in copies:
            delay_ms = 0 if spec.retry is None else spec.retry.delay_ms(failed, copy.count)
            if copy.count > limit:
                continue
            if delay_ms:
                line.delayed.append(copy._replace(due_ms=self.now_ms + delay_ms))
            else:
                back.append(copy)
        if spec.quorum and spec.limit < 0:
            for copy in back:
                line.sequence += 1
                line.ready.append(copy._replace(sequence=line.sequence, is_normal=True, due_ms=0))
        else:
            self._rejoin(line, back)
            if not spec.quorum:
                self._trim(line)
        burying, self._burying = self._burying, True
        waiting = len(self._dying)
        self._leave(line, [copy for copy in copies if copy.count > limit], "delivery_limit")
        self._expire(line)
        self._drain(line)
        if spec.quorum:
            # Copies that a consumer can receive immediately do not exceed the limit; excess ones leave before other
            # dead copies.
            before = len(self._dying)
            self._trim(line)
            self._dying[waiting:] = self._dying[before:] + self._dying[waiting:before]
        self._burying = burying
        if not burying:
            self._bury()

    def _rejoin(self, line: Line, copies: list[Copy]) -> None:
        """Make returned copies ready: first in a quorum queue, at their old places in others."""
        if line.spec.quorum:
            line.returned += copies
        else:
            line.ready = sorted([*line.ready, *copies], key=lambda copy: copy.sequence)

    def _release(self, line: Line) -> None:
        """Make the delayed copies ready that are due."""
        due = sorted(
            [copy for copy in line.delayed if copy.due_ms <= self.now_ms], key=lambda copy: (copy.due_ms, copy.sequence)
        )
        if due:
            line.delayed = [copy for copy in line.delayed if copy.due_ms > self.now_ms]
            self._rejoin(line, due)
            self._trim(line)
            self._expire(line)
            self._drain(line)

    def _trim(self, line: Line) -> None:
        dropped = []
        while len(line) and 0 <= line.spec.max_length < len(line) + len(line.delayed):
            dropped.append(line.pop())
        self._leave(line, dropped[::-1] if line.spec.quorum else dropped, "maxlen")
        if dropped:
            self._expire(line)

    def _leave(self, line: Line, copies: list[Copy], reason: str) -> None:
        self._dying.append((line, copies, reason))
        if not self._burying:
            self._bury()

    def _bury(self) -> None:
        self._burying = True
        while self._dying:
            line, copies, reason = self._dying.pop(0)
            for copy in copies:
                letter = copy.died(line.spec.name, reason)
                if letter.may_enter(line.spec.letters) and line.spec.letters in self.lines:
                    self._enter(self.lines[line.spec.letters], letter)
        self._burying = False

    def _is_overdue(self, copy: Copy) -> bool:
        return 0 < copy.deadline_ms <= self.now_ms

    def _expire(self, line: Line) -> None:
        expired = []
        while len(line) and self._is_overdue(line.head()):
            expired.append(line.pop())
        self._leave(line, expired, "expired")

    def _settle_down(self) -> None:
        """Remove overdue copies from the heads of queues."""
        while any(len(line) and self._is_overdue(line.head()) for line in self.lines.values()):
            for line in list(self.lines.values()):
                self._expire(line)

    # --- crashes ----------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return the state that the disk would have if everything so far were written."""
        lines = self.lines.values()
        return tuple((line.spec, line.number) for line in lines), {line.number: line.stored() for line in lines}

    def has_stored(self, body: bytes) -> bool:
        """Return whether any copy of a message, or of its dead letters, is to be stored."""
        return any(copy.body == body for line in self.lines.values() for copy in line.stored())

    def restarted(self, state: State) -> "Model":
        """Return the broker that starts with the state, at the current time."""
        after = Model(self.now_ms)
        after.numbers = self.numbers
        specs, copies = state
        for spec, number in specs:
            stored = copies.get(number, ())
            line = Line(spec, number, sequence=stored[-1].sequence if stored else 0)
            # Overdue copies of a quorum queue are released again, and are first.
            waits = [copy.due_ms > (0 if spec.quorum else self.now_ms) for copy in stored]
            line.ready = [copy for copy, wait in zip(stored, waits, strict=True) if not wait]
            line.delayed = [copy for copy, wait in zip(stored, waits, strict=True) if wait]
            after.lines[spec.name] = line
        for line in list(after.lines.values()):
            after._release(line)
            after._expire(line)
            after._trim(line)
        after._settle_down()
        return after


def allowed(history: list[State], synced: int, killed: bool) -> Iterator[tuple[int, State]]:
    """Yield the states that may be found after a crash, each with the last operation in it.

    history[i] is the state after operation i, and everything up to `synced` is safe.

    Operations take effect in order, each as a whole, up to some point. The definitions may be of a later time than the
    messages, as they are synced first; if only the process died, the definitions are the latest ones.
    """
    last = len(history) - 1
    latest = {last: history[last][0]} if killed else {}
    if not killed:
        for i in range(synced, last + 1):
            if i == last or history[i + 1][0] != history[i][0]:
                latest[i] = history[i][0]
    seen: list[State] = []
    for i in range(last, synced - 1, -1):
        for until, specs in latest.items():
            if until >= i:
                numbers = {number for _, number in specs}
                state = specs, {number: copies for number, copies in history[i][1].items() if number in numbers}
                if state not in seen:
                    seen.append(state)
                    yield i, state
