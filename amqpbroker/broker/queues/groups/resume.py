"""The redrive of a parked message group, in slices: its messages live as much longer as it was parked."""

from collections import deque
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.group import Group
from amqpbroker.broker.queues.groups.task import COMPLETED, GroupTask
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.broker.tracking.copy_tracker import PURGED
from amqpbroker.store.message_id_record import MessageIdRecord

if TYPE_CHECKING:
    from amqpbroker.broker.queues.groups.queue import GroupQueue


class GroupResume(GroupTask):
    """Renews the expiry times of the messages of a parked group, and then opens the group.

    It has one slice if no message of the queue may expire.

    moved: number of renewed messages, and at the end of all that are delivered again.
    """

    def __init__(self, queue: "GroupQueue", group: Group, discards: bool) -> None:
        """discards: the first message is discarded."""
        super().__init__(queue, group, queue.redrive_ended)
        self._queue: GroupQueue = queue
        self._discards: bool = discards
        self._note: MessageIdRecord | None = group.note
        #: Sequence numbers of the messages that are not renewed yet.
        self._rest: deque[int] = deque()

    @property
    def left(self) -> int:
        """The number of messages that are not renewed yet."""
        return len(self._rest)

    def _slice(self) -> None:
        group, note = self._group, self._note
        if self._slices == 1:
            self._begin()
        if group.note is note:
            self._renew()
        # A purge, or the removal of its last message, opens the group. It may even be parked again since.
        if not self._rest or group.note is not note:
            self._rest.clear()
            self.state = COMPLETED
            self.moved = group.waiting_count
            if group.note is note:
                self._queue.line.groups.open(group)

    def _begin(self) -> None:
        """Deal with the first message, and find the messages to renew. Raises UnreadableError."""
        queue, group = self._queue, self._group
        if not group.first:
            # Others of its messages are delivered or delayed.
            return
        if self._discards or self._has_first_failed():
            self._reset_first()
        if queue.expiry.count:
            self._rest.extend(group.waiting())

    def _has_first_failed(self) -> bool:
        """Return whether the first message was delivered before; the one that has stopped the group may be gone."""
        first = self._queue.ready_entry(self._group.first)
        return first is None or first.delivery_count > 0

    def _reset_first(self) -> None:
        """Discard the first message, or let the count of its failed deliveries start anew. Raises UnreadableError."""
        queue, group = self._queue, self._group
        first, ledger = queue.line.pop_first_of(group), queue.ledger
        if first is None:
            raise UnreadableError(f"a message of queue '{queue.name}' cannot be read")
        if first.deadline_ms:
            queue.expiry.replaced(first)
        if self._discards:
            ledger.discard([first], PURGED)
        else:
            first.restore(first.acquired_count, 0)
            if first.position:
                ledger.returned(first)
            queue.dispatcher.requeue([first])

    def _renew(self) -> None:
        """Renew the messages of one slice. Raises UnreadableError."""
        queue, rest, note = self._queue, self._rest, self._note
        parked_ms = queue.clock.now_ms() - (0 if note is None else note.expires_ms - note.ahead_ms)
        renewed: list[Entry] = []
        count = size = 0
        try:
            while rest and count < self._slice_count and size < self._slice_bytes:
                # Some may be removed or purged since.
                if rest[0] in queue.line.groups.parked:
                    entry = queue.line.remove(rest[0], 0)
                    if entry is None:
                        raise UnreadableError(f"a message of queue '{queue.name}' cannot be read")
                    size += entry.message.size
                    if entry.deadline_ms:
                        queue.expiry.replaced(entry)
                        entry = self._renewed(entry, parked_ms)
                    renewed.append(entry)
                rest.popleft()
                count += 1
                self.moved += 1
        finally:
            if renewed:
                queue.dispatcher.requeue(renewed)

    def _renewed(self, entry: Entry, more_ms: int) -> Entry:
        latest_ms = self._queue.expiry.deadline_ms(entry.message)
        deadline_ms = entry.deadline_ms + more_ms
        return self._queue.group_ledger().renew(entry, min(deadline_ms, latest_ms) if latest_ms else deadline_ms)
