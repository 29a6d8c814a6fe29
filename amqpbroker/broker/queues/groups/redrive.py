"""The redrive of a closed message group: its dead letters come back to their queue, in slices."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from amqpbroker.broker.queues.dead_letters.original_message import absolved
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.group import Group
from amqpbroker.broker.queues.groups.head_of_queue import HeadOfQueue
from amqpbroker.broker.queues.groups.letters import letter_number, restored
from amqpbroker.broker.queues.groups.task import COMPLETED, GroupTask, StopError
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.message.checksum import content_checksum

if TYPE_CHECKING:
    from amqpbroker.broker.queues.groups.queue import GroupQueue

#: Number of messages that are read at a time.
_STEP: Final = 16


class GroupRedriveRunsError(Exception):
    """A redrive of the group is running, so that no other can start."""


def nobody_holds(_: Queue) -> Iterable[Entry]:
    """Return the messages of a queue that clients hold, if there are no clients."""
    return ()


class GroupRedrive(GroupTask):
    """Brings the dead letters of a closed group back, and opens the group when all of them are back.

    The last letter comes first, before all messages of the queue. So the letters that are back and those that are not
    are in order at any time: if the redrive ends early, those that are back follow to the dead letter queue again,
    behind the others. Until its end, the group is closed, and its new messages wait in the queue.

    If letters are missing, only a forced redrive opens the group.
    """

    def __init__(
        self,
        queue: "GroupQueue",
        group: Group,
        sources: Iterable[LocalQueue],
        discards: bool,
        held: Callable[[Queue], Iterable[Entry]],
        forced: bool,
    ) -> None:
        """sources: dead letter queues. If several have a letter, it comes back from the first of them.

        discards: the first message is discarded. held(queue): returns the messages of a queue that clients hold.
        forced: the group is opened even if letters are missing.
        """
        super().__init__(queue, group, queue.redrive_ended)
        self._queue: GroupQueue = queue
        self._slice_visits: int = queue.vhost.config.bounds.slice_visits
        self._discards: bool = discards
        self._held: Callable[[Queue], Iterable[Entry]] = held
        self._forced: bool = forced
        self._sources: list[LocalQueue] = list(sources)
        #: For each source, how many messages its clients have returned, as far as is known.
        self._returned: list[tuple[LocalQueue, int]] = [(each, each.outstanding.returned) for each in self._sources]
        #: The source that is searched, and the place of the last message in it that was looked at.
        self._searched: int = 0
        self._place: int = 0
        self._found: bool = False
        #: The letters that are not back, in their order: number, index of the source, and sequence number there.
        self._letters: list[tuple[int, int, int]] = []
        self._numbers: set[int] = set()
        self._is_sorted: bool = True
        self._has_returned: bool = False

    @property
    def left(self) -> int | None:
        """The number of messages that are not back yet, None while they are searched."""
        return len(self._letters) if self._found else None

    def letter_returned(self) -> None:
        """Record that a letter has returned to the queue by itself: it is behind those that are back."""
        self._has_returned = True

    def _slice(self) -> None:
        queue, before = self._queue, self.moved
        front = HeadOfQueue(queue, queue.group_ledger(), queue.expiry)
        try:
            self._check_sources()
            self._go_on(front)
        finally:
            assert self._group.key is not None
            queue.line.groups.letters.back(self._group.key, self.moved - before, queue.id)
            queue.dispatcher.requeue(front.entries)

    def _check_sources(self) -> None:
        """Raises StopError if letters were lost, or may be where they have been looked for already."""
        if self._has_returned:
            raise StopError(
                f"a dead letter of the group has returned to queue '{self._queue.name}' by itself: redrive the group "
                "again"
            )
        for source, returned in self._returned:
            if source.closed:
                raise StopError(f"queue '{source.name}' was deleted")
            if source.outstanding.returned != returned:
                raise StopError(
                    f"a client has returned messages to queue '{source.name}': stop its consumers, and redrive the "
                    "group again"
                )

    def _check_held(self) -> None:
        """Raises StopError if a client holds a letter, which would come back behind the others."""
        queue, group = self._queue, self._group
        for source in self._sources:
            if any(queue.is_letter_of(group, entry.message) for entry in self._held(source)):
                raise StopError(
                    f"a client took a message of the group from queue '{source.name}': let it return or acknowledge "
                    "the message, and redrive the group again"
                )

    def _go_on(self, front: HeadOfQueue) -> None:
        size = 0
        if not self._found:
            size = self._find()
            if self.left is None:
                return
            if self._slices > 1:
                self._check_held()
            self._check_complete()
        letters, kept, most, is_checked = self._letters, int(self._discards), self._slice_count, False
        while len(letters) > kept:
            if not most or size >= self._slice_bytes:
                return
            _, index, sequence = letters[-1]
            source = self._sources[index]
            entry = source.ready_entry(sequence)
            if entry is not None:
                size += entry.message.size
                again = restored(entry.message, self._queue.line.groups.options.header)
                if self._queue.vhost.tracker.follows(again):
                    again = absolved(again)
                source.move_ready(entry, again, (front,))
                self.moved += 1
            elif not is_checked:
                self._check_held()
                is_checked = True
            letters.pop()
            most -= 1
        if letters:
            self._discard_first()
        self.state = COMPLETED
        self._queue.line.groups.open(self._group)

    def _find(self) -> int:
        """Look for letters of the group. Return the bytes of the bodies of the messages that were looked at."""
        queue, group = self._queue, self._group
        most, size = self._slice_visits, 0
        while self._searched < len(self._sources):
            source = self._sources[self._searched]
            while found := source.ready_following(self._place, _STEP):
                for place, entry in found:
                    self._place = place
                    most -= 1
                    size += entry.message.size
                    if queue.is_letter_of(group, entry.message):
                        self._add(letter_number(entry.message), entry.sequence)
                if most <= 0 or size >= self._slice_bytes:
                    return size
            self._searched += 1
            self._place = 0
        if not self._is_sorted:
            self._letters.sort()
        self._numbers.clear()
        self._found = True
        return size

    def _add(self, number: int, sequence: int) -> None:
        """Add a letter, unless another queue has it, too."""
        if number:
            if number in self._numbers:
                return
            self._numbers.add(number)
        letter = number, self._searched, sequence
        self._is_sorted = self._is_sorted and (not self._letters or letter > self._letters[-1])
        self._letters.append(letter)

    def _check_complete(self) -> None:
        """Raises StopError if letters are missing, and the redrive is not forced."""
        key, queue = self._group.key, self._queue
        assert key is not None
        count = queue.line.groups.letters.count(key)
        self.missing = max(0, count - len(self._letters))
        if not self.missing or self._forced:
            return
        names = ", ".join([f"'{source.name}'" for source in self._sources]) or "none"
        raise StopError(
            f"{self.missing} of {count} dead letters of the group are missing; queues that were searched: {names}. "
            "They were acknowledged, moved, purged or dropped, or have expired. Set force to open the group without "
            "them"
        )

    def _discard_first(self) -> None:
        _, index, sequence = self._letters[0]
        source = self._sources[index]
        entry = source.ready_entry(sequence)
        if entry is None:
            self._check_held()
        else:
            source.remove_ready(sequence, content_checksum(entry.message))
        self._letters.pop()
