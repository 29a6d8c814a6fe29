"""A model of the broker: the effects of queues on messages, as plain lists, and after a crash.

The clock is the model's own, and nothing waits: after each operation every overdue message that may expire has left,
and every message that a consumer may receive is delivered. A queue has one consumer, or several of which one is active.
There are no exchanges: a publish names the queues.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from tests.model.batches import EVENTS, Batches
from tests.model.consumers import Consumer
from tests.model.copies import Copy
from tests.model.deliveries import CONSUMER, Delivery, by_consumer, first_due_ms, run_out
from tests.model.expiry import first_deadline_ms, pop_before, pop_expired
from tests.model.groups import FOLLOWING, GroupedLine
from tests.model.ids import Taken
from tests.model.last_value import admitted, is_superseded, put_in_place, replaced, stale, takes_place
from tests.model.letters import Letters
from tests.model.line import Line
from tests.model.redrive import Counts, Redrive
from tests.model.spec import Spec


def line_of(spec: Spec, number: int) -> Line:
    """Return a new queue."""
    return Line(spec, number) if spec.groups is None else GroupedLine(spec, number)


def letters_of(line: Line, queue: str, key: str) -> list[Copy]:
    """Return the ready dead letters of a group of a queue, in the order in which they failed."""
    found = [
        copy
        for copy in line.in_order()
        if copy.key == key and copy.deaths and copy.deaths[0][0] == queue and copy.deaths[0][1] in FOLLOWING
    ]
    return sorted(found, key=lambda copy: copy.letter)


class Stored(NamedTuple):
    """Contents of a queue on the disk."""

    copies: list[Copy]
    ids: tuple[Taken, ...]
    groups: tuple[Any, ...] = ()


#: Stands for the batches among the numbers of queues.
BATCHES = 0

#: Existing queues, and number -> what is stored of each.
State = tuple[tuple[tuple[Spec, int], ...], dict[int, Stored]]


class Model:
    """lines: the existing queues in the order of their declaration."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.lines: dict[str, Line] = {}
        self.numbers = 0
        self.batches = Batches()
        self._letters = Letters(self._bury, self._lose)
        self._deliveries = 0
        self._delivered: list[Delivery] = []
        self._run_out: list[Delivery] = []

    # --- operations of clients ----------------------------------------------------------------------------------------

    def declare(self, spec: Spec) -> None:
        if spec.name not in self.lines:
            self.numbers += 1
            self.lines[spec.name] = line_of(spec, self.numbers)

    def publish(self, copy: Copy, queues: Iterable[str]) -> None:
        self._route(copy, queues)
        self._settle_down()

    def get(self, name: str, no_ack: bool = False, channel: str = CONSUMER) -> Copy | None:
        """Get a message. Messages of a quorum queue that expire behind it leave after the answer: `advance`.

        With acknowledgement, `line.held` then has the delivery.
        """
        line = self.lines[name]
        with self._letters.waiting():
            copy = self._take(line)
        if copy is not None and not no_ack:
            self._hold(line, copy, channel, "")
        elif copy is not None:
            self._acked(line, copy)
        if no_ack or not line.spec.quorum:
            self._settle_down()
        return copy

    def subscribe(self, name: str, tag: str, prefetch: int, priority: int = 0) -> None:
        line = self.lines[name]
        line.consumers.add(Consumer(tag, prefetch, priority))
        self._drain(line)
        self._settle_down()

    def cancel(self, name: str, tag: str) -> None:
        line = self.lines[name]
        consumer = line.consumers.find(tag)
        assert consumer is not None
        line.consumers.remove(consumer)
        self._drain(line)
        self._settle_down()

    def settle(self, deliveries: list[Delivery], how: str) -> None:
        """Settle deliveries. how: ack, reject, requeue, or fail for a requeue that counts as a failure."""
        self._settle(deliveries, how)
        self._settle_down()

    def settle_late(self, deliveries: list[Delivery]) -> None:
        """Settle deliveries that were taken back from their consumers, which so get messages again."""
        for delivery in deliveries:
            line = delivery.line
            consumer = line.consumers.find(delivery.consumer)
            if consumer is None or not self.exists(line):
                continue
            consumer.owed -= 1
            if not consumer.owed:
                self._resume(line, consumer)
        self._settle_down()

    def renew(self, deliveries: list[Delivery], timeout_ms: int | None) -> None:
        """Renew locks. timeout_ms: None for the timeout of the queue; 0 returns the messages."""
        if timeout_ms == 0:
            self.settle(deliveries, "requeue")
            return
        for delivery in deliveries:
            lock = delivery.line.spec.lock
            if lock is not None:
                delivery.due_ms = self.now_ms + (lock.timeout_ms if timeout_ms is None else timeout_ms)

    def commit(self, copies: list[tuple[Copy, Iterable[str]]], deliveries: list[Delivery], how: str) -> None:
        """Commit a transaction: publishes, then everything it settles."""
        for copy, queues in copies:
            self._route(copy, queues)
        self._settle(deliveries, how)
        self._settle_down()

    def purge(self, name: str) -> int:
        line = self.lines[name]
        count = len(line) + len(line.delayed)
        for copy in (*line.waiting(), *line.delayed):
            self.batches.failed(line, copy, "purged")
        line.clear()
        return count

    def delete(self, name: str) -> int:
        line = self.lines.pop(name)
        for copy in (*line.waiting(), *line.delayed):
            self.batches.failed(line, copy, "deleted")
        return len(line)

    def send_events(self) -> bool:
        """Send the messages about batches, in the next event loop iteration. Return whether there were any."""
        copies = self.batches.take_events()
        for copy in copies:
            self._route(copy, [EVENTS])
        return bool(copies)

    def advance(self, ms: int) -> None:
        """Advance the clock, from one due time to the next."""
        end_ms = self.now_ms + ms
        while True:
            lines = self.lines.values()
            due = [due_ms for line in lines if (due_ms := first_deadline_ms(line))]
            due += [copy.due_ms for line in lines for copy in line.delayed]
            due += first_due_ms(lines)
            if not due or min(due) > end_ms:
                break
            self.now_ms = max(self.now_ms, min(due))
            for line in list(lines):
                self._release(line)
            self._end_locks()
            self._settle_down()
            self.send_events()
        self.now_ms = end_ms

    def may_tie(self) -> bool:
        """Return whether a lock may run out at the time at which a delayed copy is due, or one expires."""
        lines = self.lines.values()
        locks = any(line.spec.lock and (line.held or line.delayed) for line in lines)
        return locks and any(
            line.delayed or (line.held and line.spec.retry) or first_deadline_ms(line) for line in lines
        )

    def ties(self, now_ms: int) -> bool:
        """Return whether one does at a time: their order is not defined, and may decide what a queue drops."""
        lines = self.lines.values()
        return any(delivery.due_ms == now_ms for line in lines for delivery in line.held.values()) and any(
            first_deadline_ms(line) == now_ms or any(copy.due_ms == now_ms for copy in line.delayed) for line in lines
        )

    def take_delivered(self) -> list[Delivery]:
        """Return the deliveries to consumers since the last call."""
        delivered, self._delivered = self._delivered, []
        return delivered

    def take_run_out(self) -> list[Delivery]:
        """Return the deliveries whose locks have run out since the last call."""
        found, self._run_out = self._run_out, []
        return found

    # --- entering -----------------------------------------------------------------------------------------------------

    def _route(self, copy: Copy, queues: Iterable[str]) -> None:
        """Add copies to the queues. Copies that die are dead-lettered only after all queues have theirs."""
        queues = [name for name in queues if name in self.lines]
        with self._letters.waiting(), self.batches.publishing(copy, bool(queues)):
            for name in queues:
                self._enter(self.lines[name], copy)

    def _enter(self, line: Line, copy: Copy, checks: bool = True) -> None:
        if checks and line.ids.has(copy.key, self.now_ms):
            return
        ttls = [ttl for ttl in (line.spec.ttl_ms, copy.expiration_ms) if ttl >= 0]
        deadline_ms = self.now_ms + min(ttls) if ttls else 0
        copy = copy._replace(deadline_ms=deadline_ms, redelivered=False, count=0)
        old = replaced(line, copy.key)
        if old is not None and takes_place(line, old, copy):
            put_in_place(line, old, copy)
            self._leave_replaced(line, [old])
            self.batches.entered(line, copy)
        else:
            if old is not None:
                line.remove(old)
            line.sequence += 1
            copy = copy._replace(sequence=line.sequence)
            if line.spec.groups is not None:
                self.batches.entered(line, copy)
                self._enter_group(line, copy)
                return
            line.ids.entered(copy)
            consumer = None if old is not None or len(line) else line.consumers.taker()
            if consumer is not None:
                line.advance_turn()
                self.batches.entered(line, copy)
                self._deliver(line, consumer, copy)
                self._accepted(line, copy)
                return
            line.ready.append(copy)
            if old is not None:
                self._leave_replaced(line, [old])
            # A new message that replaces one of its own member is not counted in addition.
            self.batches.entered(line, copy)
        self._trim(line)
        if deadline_ms or old is not None:
            self._expire(line)
        self._accepted(line, copy)

    def _accepted(self, line: Line, copy: Copy) -> None:
        """Remember the id of a publish. One that was moved is none."""
        if not copy.moved:
            line.ids.accepted(copy, self.now_ms)

    def _enter_group(self, line: Line, copy: Copy) -> None:
        """Add a copy to a queue with groups, where it may be deliverable although others wait."""
        # While the broker starts, others may be overdue: without a consumer, one may exceed the length limit first.
        waits = line.first() is not None
        line.ready.append(copy)
        self._drain(line, feeds_only=waits)
        self._trim(line)
        if copy.deadline_ms:
            self._expire(line)

    # --- delivering ---------------------------------------------------------------------------------------------------

    def _deliver(self, line: Line, consumer: Consumer, copy: Copy) -> None:
        consumer.outstanding.add(copy.sequence)
        self._delivered.append(self._hold(line, copy, CONSUMER, consumer.tag))

    def _hold(self, line: Line, copy: Copy, channel: str, tag: str) -> Delivery:
        self._deliveries += 1
        due_ms = 0 if line.spec.lock is None else self.now_ms + line.spec.lock.timeout_ms
        delivery = line.held[copy.sequence] = Delivery(line, copy, channel, tag, self._deliveries, due_ms)
        return delivery

    def _drain(self, line: Line, feeds_only: bool = False) -> None:
        """Deliver copies. feeds_only: only more of the groups that consumers have."""
        self._letters.leave(line, line.pop_following(), "group")
        while (delivery := line.fed_delivery() if feeds_only else self._next_delivery(line)) is not None:
            consumer, copy = delivery
            if copy.is_overdue(self.now_ms):
                self._letters.leave(line, [copy], "expired")
            elif line.is_outdated(copy, self.now_ms):
                self._letters.leave(line, [copy], "superseded")
            else:
                self._deliver(line, consumer, copy)

    def _next_delivery(self, line: Line) -> tuple[Consumer, Copy] | None:
        delivery = line.fed_delivery()
        if delivery is None:
            self._expire(line)
            delivery = line.next_delivery()
        return delivery

    def _take(self, line: Line) -> Copy | None:
        while line.first() is not None:
            copy = line.pop()
            if not copy.is_overdue(self.now_ms):
                if not line.is_outdated(copy, self.now_ms):
                    return copy
                self._letters.leave(line, [copy], "superseded")
                continue
            if line.spec.expires_anywhere:
                self._letters.leave(line, pop_before(line, (copy.deadline_ms, copy.sequence)), "expired")
            self._letters.leave(line, [copy], "expired")
        return None

    # --- settling -----------------------------------------------------------------------------------------------------

    def _settle(self, deliveries: list[Delivery], how: str) -> None:
        for line, group in by_consumer(deliveries):
            if not self.exists(line):
                self._settle_deleted(line, group, how)
                continue
            if line.spec.returns_last and how in ("requeue", "fail"):
                for delivery in group:
                    self._return_last(line, self._released(line, [delivery]), how == "fail")
                continue
            copies = self._released(line, group)
            if how == "ack":
                for copy in copies:
                    self._acked(line, copy)
                self._drain(line)
            elif how == "reject":
                with self._letters.waiting():
                    self._fail(line, copies, "rejected")
                    self._drain(line)
            else:
                self._requeue(line, copies, how == "fail")

    def _settle_deleted(self, line: Line, deliveries: list[Delivery], how: str) -> None:
        """Settle deliveries of a deleted queue, which only batches count."""
        for delivery in deliveries:
            if line.held.pop(delivery.sequence, None) is None:
                continue
            if how == "ack":
                self.batches.acked(line, delivery.copy)
            else:
                self.batches.failed(line, delivery.copy, "rejected" if how == "reject" else "deleted")

    def _acked(self, line: Line, copy: Copy) -> None:
        line.acked(copy, self.now_ms)
        self.batches.acked(line, copy)

    def _released(self, line: Line, deliveries: list[Delivery]) -> list[Copy]:
        """Return the copies of deliveries that are not held any more."""
        for delivery in deliveries:
            del line.held[delivery.sequence]
        line.consumers.settled({delivery.sequence for delivery in deliveries})
        return [delivery.copy for delivery in deliveries]

    def _requeue(self, line: Line, copies: list[Copy], failed: bool) -> None:
        back, exhausted = [], []
        for copy in line.requeued(copies):
            copy = copy._replace(redelivered=True, count=copy.count + 1)
            delay_ms = 0 if line.spec.retry is None else line.spec.retry.delay_ms(failed, copy.count)
            if 0 <= line.spec.limit < copy.count:
                exhausted.append(copy)
            elif delay_ms:
                line.delayed.append(copy._replace(due_ms=self.now_ms + delay_ms))
            else:
                back.append(copy)
        self._rejoin(line, back)
        self._move_on(line, exhausted)

    def _return_last(self, line: Line, copies: list[Copy], failed: bool) -> None:
        """Requeue a copy at the end of the queue, unless it is delayed or drops out."""
        if line.spec.retry is not None and line.spec.retry.delays(failed):
            self._requeue(line, copies, failed)
            return
        (copy,) = copies
        copy = copy._replace(redelivered=True, count=copy.count + 1)
        if is_superseded(line, copy):
            self._leave_replaced(line, [copy])
        else:
            old = replaced(line, copy.key)
            if old is not None:
                line.remove(old)
            line.ready.append(line.renumber(copy))
            if old is not None:
                self._leave_replaced(line, [old])
        self._move_on(line, [])

    def _rejoin(self, line: Line, copies: list[Copy]) -> None:
        kept, dropped = admitted(line, copies)
        line.rejoin(kept)
        self._leave_replaced(line, dropped)

    def _release(self, line: Line) -> None:
        """Make the delayed copies ready that are due."""
        due = line.pop_due(self.now_ms)
        if due:
            self._rejoin(line, due)
            self._move_on(line, [])

    def _move_on(self, line: Line, exhausted: list[Copy]) -> None:
        """Drop exhausted copies and those over the limit, and deliver.

        Copies of a quorum queue that a consumer can receive immediately do not exceed the limit; excess ones leave
        before other dead copies.
        """
        letters = self._letters
        if line.spec.quorum and line.spec.groups is None:
            with letters.waiting():
                letters.leave(line, exhausted, "delivery_limit")
                self._drain(line)
                before = letters.count
                self._trim(line)
                letters.postpone(before)
        elif exhausted:
            with letters.waiting():
                self._fail(line, exhausted, "delivery_limit")
                self._trim(line)
                self._drain(line)
        else:
            self._trim(line)
            self._drain(line)

    # --- locks --------------------------------------------------------------------------------------------------------

    def _end_locks(self) -> None:
        """Return the messages whose locks have run out, and pause the consumers that did not settle them."""
        for deliveries in run_out(self.lines.values(), self.now_ms):
            self._run_out += deliveries
            for line, group in by_consumer([each for each in deliveries if each.action == "cancel"]):
                consumer = line.consumers.find(group[0].consumer)
                assert consumer is not None
                consumer.is_paused = True
                consumer.owed += len(group)
                for delivery in group:
                    delivery.is_owed = True
                self._settle(group, "requeue")
            returned = [each for each in deliveries if each.action == "return"]
            self._return(sorted(returned, key=lambda each: each.number))

    def _return(self, deliveries: list[Delivery]) -> None:
        """Return messages to other consumers before their own, unless that is the single active one."""
        paused = []
        for line, group in by_consumer(deliveries):
            consumer = line.consumers.find(group[0].consumer)
            if consumer is not None and not line.spec.single_active:
                consumer.is_paused = True
                paused.append((line, consumer))
        self._settle(deliveries, "fail")
        for line, consumer in paused:
            self._resume(line, consumer)

    def _resume(self, line: Line, consumer: Consumer) -> None:
        consumer.is_paused = False
        line.consumers.elect()
        self._drain(line)

    # --- stopped groups -----------------------------------------------------------------------------------------------

    def resume(self, name: str, key: str, discards: bool) -> int:
        """Redrive a stopped group, or discard its first message before. Return the number of its messages."""
        line = self.lines[name]
        assert isinstance(line, GroupedLine)
        with self._letters.waiting():
            if line.stopped[key].is_closed:
                count = self._reopen(line, key, discards)
            else:
                first = next(iter(line.of_group(key)), None)
                if discards and first is not None:
                    self._discard(line, [first])
                count = len(line.of_group(key))
                line.unpark(key, first, self.now_ms)
            self._drain(line)
        self._settle_down()
        return count

    def _reopen(self, line: GroupedLine, key: str, discards: bool) -> int:
        """Put the dead letters of a closed group before everything that waits in the queue."""
        source = self.lines.get(line.spec.letters)
        found = [] if source is None else letters_of(source, line.spec.name, key)
        found = [copy for copy in found if copy.letter >= line.stopped[key].first]
        if source is not None and discards:
            self._discard(source, found[:1])
            found = found[1:]
        del line.stopped[key]
        line.front -= len(found)
        for i, copy in reversed([*enumerate(found)]):
            assert source is not None
            deadline_ms = self.now_ms + line.spec.ttl_ms if line.spec.ttl_ms >= 0 else 0
            again = copy.revived().absolved()._replace(sequence=line.front + i, deadline_ms=deadline_ms)
            with self.batches.leaving(source, copy, "deleted"):
                source.take(copy)
                # A letter that was rejected in the dead letter queue counts again, too.
                self.batches.entered(line, again)
            line.rejoin([again._replace(redelivered=True)])
        return len(found)

    def _discard(self, line: Line, copies: list[Copy]) -> None:
        """Remove ready copies, which are not dead-lettered."""
        for copy in copies:
            self.batches.failed(line, copy, "purged")
            line.take(copy)

    # --- redrives -----------------------------------------------------------------------------------------------------

    def redrive(self, name: str, options: Redrive) -> Counts:
        """Move the ready messages of a queue back, in its order."""
        source = self.lines[name]
        moved = failed = skipped = 0
        with self._letters.waiting():
            for sequence in [copy.sequence for copy in source.in_order()]:
                if moved == options.limit:
                    break
                # It may have changed, or left, since its parked group goes on.
                copy = next((copy for copy in source.waiting() if copy.sequence == sequence), None)
                if copy is None:
                    continue
                target = options.target(self.lines, source, copy)
                if not options.accepts(copy):
                    skipped += 1
                elif target is None:
                    failed += 1
                else:
                    with self.batches.leaving(source, copy, "deleted"):
                        is_head = isinstance(source, GroupedLine) and source.of_group(copy.key)[0] == copy
                        source.take(copy)
                        # A parked group without messages is over at once, also if one of them comes back as a letter.
                        source.prune()
                        self._enter_moved(target, options.revived(copy))
                    if is_head:
                        self._go_on(source, copy.key)
                    moved += 1
        self._settle_down()
        return Counts(moved, failed, skipped)

    def _go_on(self, line: Line, key: str) -> None:
        """Open a parked group whose first copy has left."""
        assert isinstance(line, GroupedLine)
        if key in line.stopped and not line.stopped[key].is_closed:
            line.unpark(key, next(iter(line.of_group(key)), None), self.now_ms)
            self._drain(line)

    def _enter_moved(self, line: Line, copy: Copy) -> None:
        """Add a copy that no queue drops as a duplicate, and that is older than those that were published."""
        same = [each for each in line.waiting_or_held() if each.key == copy.key]
        newest = max(same, key=lambda each: each.sequence, default=None)
        if line.spec.last_value is not None and copy.key and newest is not None and not newest.moved:
            self.batches.entered(line, copy)
            self._leave_replaced(line, [copy])
        else:
            self._enter(line, copy._replace(moved=True), checks=False)

    # --- leaving ------------------------------------------------------------------------------------------------------

    def _trim(self, line: Line) -> None:
        dropped = []
        while len(line) and line.is_too_long():
            dropped.append(line.pop_dropped())
        self._letters.leave(line, dropped[::-1] if line.spec.quorum else dropped, "maxlen")
        if dropped:
            self._expire(line)

    def _expire(self, line: Line) -> None:
        self._letters.leave(line, pop_expired(line, self.now_ms), "expired")

    def _fail(self, line: Line, copies: list[Copy], reason: str) -> None:
        """Handle copies that failed for good."""
        for copy in line.failed(copies, reason, self.now_ms):
            self._letters.leave(line, [copy], reason)

    def _leave_replaced(self, line: Line, copies: list[Copy]) -> None:
        if line.spec.last_value is not None and line.spec.last_value.letters:
            self._letters.leave(line, copies, "replaced")
        else:
            for copy in copies:
                self._lose(line, copy, "replaced")

    def _bury(self, line: Line, copy: Copy, reason: str) -> None:
        """Remove a copy, and add its dead letter to the queue of dead letters."""
        line.ids.left(copy.sequence)
        letter = copy.died(line.spec.name, reason)
        with self.batches.leaving(line, copy, reason):
            if letter.may_enter(line.spec.letters) and line.spec.letters in self.lines:
                self._enter(self.lines[line.spec.letters], letter)

    def _lose(self, line: Line, copy: Copy, reason: str) -> None:
        """Remove a copy that has no dead letter."""
        line.ids.left(copy.sequence)
        self.batches.failed(line, copy, reason)

    def _settle_down(self) -> None:
        """Remove the overdue messages that may expire."""
        while any(0 < first_deadline_ms(line) <= self.now_ms for line in self.lines.values()):
            for line in list(self.lines.values()):
                self._expire(line)
        for line in self.lines.values():
            line.prune()

    def exists(self, line: Line) -> bool:
        """Return whether a queue is not deleted."""
        return self.lines.get(line.spec.name) is line

    # --- crashes ------------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return the state that the disk would have if everything so far were written."""
        lines = self.lines.values()
        stored = {line.number: Stored(line.stored(), line.ids.stored(), line.stored_groups()) for line in lines}
        stored[BATCHES] = Stored([], (), self.batches.stored())
        return tuple((line.spec, line.number) for line in lines), stored

    def has_stored(self, body: bytes) -> bool:
        """Return whether any copy of a message, or of its dead letters, is to be stored."""
        return any(
            copy.body == body and line.is_stored(copy)
            for line in self.lines.values()
            for copy in line.waiting_or_held()
        )

    def restarted(self, state: State) -> "Model":
        """Return the broker that starts with the state, at the current time."""
        after = Model(self.now_ms)
        after.numbers = self.numbers
        specs, stored = state
        after.batches.restart(stored[BATCHES].groups)
        for spec, number in specs:
            line = after.lines[spec.name] = line_of(spec, number)
            copies, ids, groups = stored.get(number, Stored([], ()))
            line.restart(copies, self.now_ms, groups)
            line.ids.restart(ids, copies, self.now_ms)
        for line in list(after.lines.values()):
            after._leave_replaced(line, stale(line))
            after._release(line)
            after._expire(line)
            after._trim(line)
            if isinstance(line, GroupedLine):
                line.unpark_lost(self.now_ms)
                after._expire(line)
            after._letters.leave(line, line.pop_following(), "group")
        after._settle_down()
        after.batches.lose()
        after.send_events()
        return after
