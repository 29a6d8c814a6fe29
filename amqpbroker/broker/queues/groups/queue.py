"""A queue with message groups.

A subclass, so that no message of another queue pays for it.
"""

import contextlib
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.infos import QueueInfo
from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.dispatcher import GroupDispatcher
from amqpbroker.broker.queues.groups.group import CLOSED, OPEN, PARKED, Group
from amqpbroker.broker.queues.groups.groups import Groups
from amqpbroker.broker.queues.groups.key import group_key, key_type, shown_key
from amqpbroker.broker.queues.groups.ledger import GroupLedger
from amqpbroker.broker.queues.groups.letters import former_number, is_letter, letter_number, returned_key
from amqpbroker.broker.queues.groups.line import GroupLine
from amqpbroker.broker.queues.groups.redrive import (
    GroupRedrive,
    GroupRedriveRunsError,
    nobody_holds,
)
from amqpbroker.broker.queues.groups.resume import GroupResume
from amqpbroker.broker.queues.groups.returns import GroupReturns, in_order
from amqpbroker.broker.queues.groups.stopped_group import StoppedGroup
from amqpbroker.broker.queues.groups.stopped_group_records import StoppedGroupRecords
from amqpbroker.broker.queues.groups.task import COMPLETED, FAILED, RUNNING, GroupTask
from amqpbroker.broker.queues.groups.versions import VERSION, GroupVersions
from amqpbroker.broker.queues.ledger import REJECTED, Ledger
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.broker.queues.lines.ready_line import ReadyLine
from amqpbroker.broker.queues.local_parts import LocalParts
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.queue_info import queue_info
from amqpbroker.message.checksum import content_checksum
from amqpbroker.message.message import Message
from amqpbroker.store.message_id_record import MessageIdRecord
from amqpbroker.store.recovered import Copies


def group_parts(parts: LocalParts) -> LocalParts:
    """Return the components of a queue with groups, made of those of its kind."""
    return parts._replace(dispatcher=GroupDispatcher, returns=GroupReturns)


class GroupQueue(LocalQueue):
    """A queue in which the messages of a group are delivered in order.

    line: the ready line, which has the groups. redrives: redrives of stopped groups that are running, or have failed.
    """

    def _prepare(self) -> None:
        assert self.settings.groups is not None
        options, notes, versions = self.settings.groups, StoppedGroupRecords(self.store), None
        if options.version_header:
            versions = GroupVersions(
                self.clock,
                notes,
                self.vhost.config.bounds.deduplication_ids,
                options.header,
                options.version_header,
                options.version_ttl_ms,
            )
        self.line: GroupLine = GroupLine(Groups(options, notes, self.vhost.letter_numbers), versions)
        self.redrives: dict[Group, GroupTask] = {}

    def _new_ledger(self) -> Ledger:
        vhost = self.vhost
        totals = vhost.totals.dead_letters
        return GroupLedger(
            self.settings,
            self.kind,
            self.store,
            vhost.dead_letters,
            totals,
            vhost.deferred_free,
            vhost.tracker,
            self.line,
        )

    def _new_line(self, line: ReadyLine) -> ReadyLine:
        self.line.divide(self._pages())
        return self.line

    def info(self) -> QueueInfo:
        groups = self.line.groups
        return queue_info(self)._replace(
            groups=len(groups),
            groups_parked=groups.stopped_count[PARKED],
            groups_closed=groups.stopped_count[CLOSED],
            messages_parked=len(groups.parked),
        )

    def parked_following(self, sequence: int, count: int) -> list[Entry]:
        found = [self.line.lookup(each) for each in self.line.groups.parked.following(sequence, count)]
        return [each[1] for each in found if each is not None]

    def stopped_group(self, message: Message) -> StoppedGroup | None:
        group = self._stopped(message)
        if group is None or group.key is None:
            return None
        key, state = group.key, self.line.groups.state_name(group)
        return StoppedGroup(self.name, shown_key(key), key_type(key), state, group.first)

    def _stopped(self, message: Message) -> Group | None:
        groups = self.line.groups
        key = groups.key(message)
        group = None if key is None else groups.get(key)
        return group if group is not None and group.state else None

    def group_holding(self, message: Message) -> str:
        groups = self.line.groups
        key = groups.key(message)
        group = None if key is None else groups.get(key)
        if group is None or (group.state == OPEN and groups.options.fair):
            return ""
        state = groups.state_name(group)
        return "" if state == "free" else state

    def remove_ready(self, sequence: int, checksum: int) -> bool:
        group = self._parked_by(sequence, checksum)
        if group is None:
            return super().remove_ready(sequence, checksum)
        # The message that the others wait for is gone.
        self._resume(group, (), nobody_holds, discards=True)
        return True

    def _parked_by(self, sequence: int, checksum: int) -> Group | None:
        """Return the parked group of which a message is the first; None if it is not, or has another checksum."""
        found = self.line.lookup(sequence) if sequence in self.line.groups.parked else None
        if found is None or content_checksum(found[1].message) != checksum:
            return None
        group = self._stopped(found[1].message)
        if group is None or group.first != sequence:
            return None
        # A redrive that runs opens the group anyway.
        redrive = self.redrives.get(group)
        return group if redrive is None or redrive.state != RUNNING else None

    def move_ready(self, entry: Entry, message: Message, destinations: Sequence[Destination]) -> bool:
        group = self._stopped(entry.message) if entry.sequence in self.line.groups.parked else None
        is_first = group is not None and group.first == entry.sequence
        moved = super().move_ready(entry, message, destinations)
        if moved and is_first and group is not None:
            self._go_on(group)
        return moved

    def retain(self, entry: Entry, reason: str) -> None:
        returns = self.returns
        assert isinstance(returns, GroupReturns)
        returns.retain(entry, reason)
        self._announce()

    def dropped(self, entry: Entry) -> None:
        """Open a parked group in the next event loop iteration, if its first message is this one, which is leaving."""
        group = self._stopped(entry.message)
        if group is not None and not 0 < group.first < entry.sequence:
            self.clock.after(0, lambda: self._go_on(group))

    def _go_on(self, group: Group) -> None:
        """Open a parked group without its first message, for which the others waited."""
        # A redrive that runs opens the group anyway. If a message cannot be read now, the group stays.
        if group.state == PARKED and not self.closed:
            with contextlib.suppress(GroupRedriveRunsError, UnreadableError):
                self._resume(group, (), nobody_holds, discards=False)

    # --- publishing ---------------------------------------------------------------------------------------------------

    def publish(self, message: Message) -> bool:
        limited = self._limited
        if limited and not self.limit.accepts(self, message):
            self.refused += 1
            return False
        if message.died:
            self._letter_returned(message)
        if limited and self.schedule is not None:
            due_ms = self.schedule.due_ms(message)
            if due_ms:
                return self._delay(self.schedule, message, due_ms)
        deadline_ms = self.expiry.deadline_ms(message) if limited or message.expiration_ms >= 0 else 0
        line, dispatcher = self.line, self._dispatcher()
        before = line.count
        entry = self.ledger.enter(self, message, deadline_ms)
        line.push(entry)
        if deadline_ms:
            self.expiry.added(entry)
        stale_versions = dispatcher.stale_versions
        if stale_versions is not None and stale_versions.is_behind:
            dispatcher.catch_up(stale_versions)
        elif not before and line.count:
            dispatcher.drain()
        elif line.groups.following:
            dispatcher.follow()
        elif line.groups.options.prefetch > 1:
            consumer = line.holder(message)
            if consumer is not None:
                dispatcher.feed(consumer)
        if limited:
            # A message that a consumer takes at once does not wait.
            self.limit.trim()
        if deadline_ms:
            self.expiry.expire()
        return True

    def _letter_returned(self, message: Message) -> None:
        """Record that a message that comes is perhaps a dead letter of a closed group, which was not redriven."""
        groups = self.line.groups
        key = returned_key(message, groups.options.header)
        group = None if key is None else groups.get(key)
        if key is None or group is None or group.state != CLOSED:
            return
        first = groups.letters.first(key)
        if first and former_number(message, self.name) >= first:
            groups.letters.back(key, 1, self.id)
            redrive = self.redrives.get(group)
            if isinstance(redrive, GroupRedrive):
                redrive.letter_returned()

    def _dispatcher(self) -> GroupDispatcher:
        dispatcher = self.dispatcher
        assert isinstance(dispatcher, GroupDispatcher)
        return dispatcher

    # --- settlement ---------------------------------------------------------------------------------------------------

    def get(self, no_ack: bool) -> Entry | None:
        entry = super().get(no_ack)
        if no_ack and entry is not None and self.line.versions is not None:
            self.line.versions.acked(entry.message, self.id)
        return entry

    def ack(self, entry: Entry) -> None:
        self._leave_acked([entry])
        consumer = self.outstanding.settle(entry)
        self.dispatcher.offer_after_settling(() if consumer is None else (consumer,))

    def ack_all(self, entries: list[Entry]) -> None:
        self._leave_acked(entries)
        self.dispatcher.offer_after_settling(self.outstanding.settle_all(entries))

    def _leave_acked(self, entries: list[Entry]) -> None:
        """Remove acknowledged messages. To the store, a message and its version are one operation."""
        versions, store = self.line.versions, self.store
        if versions is None:
            for entry in entries:
                self.ledger.acknowledge(entry)
            return
        for entry in entries:
            store.begin()
            try:
                self.ledger.acknowledge(entry)
                versions.acked(entry.message, self.id)
            finally:
                store.end()

    def reject(self, entries: list[Entry]) -> None:
        consumers = self.outstanding.settle_returned(entries)
        returns = self.returns
        assert isinstance(returns, GroupReturns)
        with self.vhost.dead_letters:
            returns.fail(entries, REJECTED)
            self.dispatcher.offer_after_settling(consumers)
        self._announce()

    def ranked(self, entries: list[Entry]) -> list[Entry]:
        return sorted(entries, key=in_order)

    def requeue(self, entries: list[Entry], failed: bool = True) -> None:
        super().requeue(entries, failed)
        self._announce()

    def reclaim(self, entries: list[Entry]) -> None:
        super().reclaim(entries)
        self._announce()

    def _announce(self) -> None:
        """Emit an event for each group that was stopped."""
        returns = self.returns
        assert isinstance(returns, GroupReturns)
        if returns.stopped:
            for group in returns.end_stopped():
                if group.key is not None:
                    self.vhost.events.group_stopped(self.vhost.name, self, group.key, group.state == PARKED)

    # --- stopped groups -----------------------------------------------------------------------------------------------

    def redrive_group(
        self,
        group: Group,
        queues: Iterable[LocalQueue] = (),
        held: Callable[[Queue], Iterable[Entry]] = nobody_holds,
        forced: bool = False,
    ) -> int:
        """Return a stopped group to normal work. Return the number of messages that are delivered again, or are back.

        The count of failed deliveries of its first message starts anew. The messages of a closed group come back from
        the dead letter `queues`, before all messages that wait here. Messages of a parked group that may expire live as
        much longer as it was parked. If these are more than one slice, the redrive goes on after this call: it is in
        `redrives` until the group is open. If it fails, it remains there, and the group stays stopped. It fails if
        letters are missing, unless it is forced.

        held(queue): returns the messages of a queue that clients hold. Raises GroupRedriveRunsError, and
        UnreadableError if the first message of a parked group temporarily cannot be read.
        """
        return self._resume(group, queues, held, discards=False, forced=forced)

    def discard_first(
        self,
        group: Group,
        queues: Iterable[LocalQueue] = (),
        held: Callable[[Queue], Iterable[Entry]] = nobody_holds,
        forced: bool = False,
    ) -> int:
        """Discard the first message of a stopped group, and redrive the others, like `redrive_group`.

        Delivered and delayed messages are not discarded.
        """
        return self._resume(group, queues, held, discards=True, forced=forced)

    def is_letter_of(self, group: Group, message: Message) -> bool:
        """Return whether a message is a dead letter of a closed group."""
        name = self.name.encode("utf-8", "surrogateescape")
        key, groups = group.key, self.line.groups
        return (
            group.state == CLOSED
            and key is not None
            and is_letter(message, name, groups.options.header, key)
            and letter_number(message) >= groups.letters.first(key)
        )

    def redrive_ended(self, redrive: GroupTask, group: Group) -> None:
        """Offer the messages of a group whose redrive has ended, or let them follow again if it has failed."""
        self.line.groups.end_return(group)
        if redrive.state == COMPLETED:
            self.redrives.pop(group, None)
        self.line.groups_changed()
        self.dispatcher.offer_all(self.consumers.all)

    def _resume(
        self,
        group: Group,
        queues: Iterable[LocalQueue],
        held: Callable[[Queue], Iterable[Entry]],
        discards: bool,
        forced: bool = False,
    ) -> int:
        before = self.redrives.get(group)
        if before is not None and before.state == RUNNING:
            raise GroupRedriveRunsError(
                f"a redrive of this group is running: {before.moved} messages are back; wait until it ends"
            )
        if group.state == CLOSED:
            return self._reopen(group, queues, held, discards, forced)
        group_resume = self.redrives[group] = GroupResume(self, group, discards)
        group_resume.run()
        if group_resume.state == FAILED:
            del self.redrives[group]
            raise UnreadableError(group_resume.reason)
        return group_resume.moved

    def _reopen(
        self,
        group: Group,
        queues: Iterable[LocalQueue],
        held: Callable[[Queue], Iterable[Entry]],
        discards: bool,
        forced: bool,
    ) -> int:
        redrive = self.redrives[group] = GroupRedrive(self, group, queues, discards, held, forced)
        self.line.groups.begin_return(group)
        redrive.run()
        return redrive.moved

    def group_ledger(self) -> GroupLedger:
        ledger = self.ledger
        assert isinstance(ledger, GroupLedger)
        return ledger

    # --- start and end ------------------------------------------------------------------------------------------------

    def recover(self, copies: Copies) -> None:
        super().recover(copies)
        delayed = set()
        if copies.dues_ms:
            now_ms = self.clock.wall_ms()
            delayed = {
                sequence for sequence, due_ms in zip(copies.sequences, copies.dues_ms, strict=True) if due_ms > now_ms
            }
        self.line.groups.recover(self._stored_keys(copies.positions), copies.sequences, delayed)
        self.line.groups_changed()
        self.group_ledger().recovered_from(copies.sequences[0])

    def _stored_keys(self, positions: "array[int]") -> list[bytes | None]:
        """Read the keys of stored messages."""
        keys: list[bytes | None] = [None] * len(positions)
        # In the order of the positions, each part of the disk is read only once.
        order: Sequence[int] = range(len(positions))
        if array("Q", sorted(positions)) != positions:
            order = sorted(order, key=positions.__getitem__)
        count, header = self.vhost.config.bounds.page_count, self.line.groups.options.header
        for start in range(0, len(order), count):
            part = order[start : start + count]
            reading = self.store.load([positions[index] for index in part])
            for index in part:
                keys[index] = group_key(reading.message(positions[index]), header)
        return keys

    def recover_ids(self, ids: list[MessageIdRecord]) -> list[MessageIdRecord]:
        """Recover the stopped groups. See `IdKeeper`."""
        groups, versions = self.line.groups, self.line.versions
        groups.notes.recover(ids)
        # Before the groups, of which a parked one may end at once.
        ids = groups.letters.recover(ids)
        of_versions = [note for note in ids if note.key[0] == VERSION]
        for note in ids:
            if note.key[0] != VERSION:
                note.set_time(note.expires_ms, self.clock.ahead_ms)
                groups.recover_state(note)
        if versions is not None:
            versions.recover(of_versions)
        else:
            for note in of_versions:
                groups.notes.remove(note)
        self.line.groups_changed()
        return []

    def stored_count(self) -> int:
        """See `IdKeeper`."""
        return self.line.groups.notes.count

    def recovered(self) -> None:
        super().recovered()
        # The broker ended before these were opened, or the message that failed was not persistent.
        for group in self.line.groups.lost_failed():
            self._go_on(group)
        self._dispatcher().follow()

    def inherit(self, entries: list[Entry], delayed: Sequence[tuple[int, Entry]] = ()) -> None:
        super().inherit(entries, delayed)
        sequences = [entry.sequence for entry in (*entries, *[entry for _, entry in delayed])]
        if sequences:
            self.group_ledger().recovered_from(min(sequences))

    def inherit_groups(self, other: "GroupQueue") -> None:
        """Take over the stopped groups and the versions of the queue that this one replaces."""
        if self.line.versions is not None and other.line.versions is not None:
            self.line.versions.inherit(other.line.versions, self.id)
        groups = self.line.groups
        for group in other.line.groups.stopped():
            assert group.key is not None
            assert group.note is not None
            failed = other.line.groups.failed(group)
            note = groups.record(group.key, group.state, failed, group.note.expires_ms, self.id).note
            if note is not None:
                note.set_time(group.note.expires_ms, group.note.ahead_ms)
        groups.letters.inherit(other.line.groups.letters, self.id)
        self.line.groups_changed()

    def apply_settings(self, settings: QueueSettings) -> None:
        if settings.groups is not None:
            self.line.groups.apply(settings.groups)
            if self.line.versions is not None:
                self.line.versions.apply(settings.groups.version_ttl_ms)
            self.line.groups_changed()
        super().apply_settings(settings)
        self.dispatcher.offer_all(self.consumers.all)

    def _stop_redrives(self, reason: str) -> None:
        for redrive in self.redrives.values():
            redrive.stop(reason)
        self.redrives.clear()

    def discard(self) -> None:
        self._stop_redrives("the broker has ended")
        super().discard()

    def close(self) -> list[Consumer]:
        self._stop_redrives(f"queue '{self.name}' was deleted")
        consumers = super().close()
        groups, deferred_free = self.line.groups, self.vhost.deferred_free
        deferred_free.record(deque(groups.stopped()), groups.open_all, deferred_free.few)
        groups.letters.close()
        if self.line.versions is not None:
            deferred_free.record(self.line.versions.end(), groups.notes.remove_all, deferred_free.few)
        return consumers
