"""Returns of messages to a queue with message groups, and messages that failed for good."""

from amqpbroker.broker.queues.arguments.settings import QueueSettings
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.dispatcher import GroupDispatcher
from amqpbroker.broker.queues.groups.group import CLOSED, GROUP, OPEN, PARKED, Group
from amqpbroker.broker.queues.groups.groups import Groups
from amqpbroker.broker.queues.groups.ledger import GroupLedger
from amqpbroker.broker.queues.groups.line import GroupLine
from amqpbroker.broker.queues.groups.options import FOLLOW, SKIP
from amqpbroker.broker.queues.ledger import DELIVERY_LIMIT
from amqpbroker.broker.queues.returns import Returns


class GroupReturns(Returns):
    """Returns of a queue with groups, which messages that failed for good may stop.

    stopped: groups that were stopped since `end_stopped`.
    """

    stopped: list[Group]

    def apply(self, settings: QueueSettings) -> None:
        super().apply(settings)
        self.stopped = []

    def end_stopped(self) -> list[Group]:
        """Return the groups that were stopped, and begin to collect others."""
        stopped, self.stopped = self.stopped, []
        return stopped

    def _requeue(self, entries: list[Entry], failed: bool) -> None:
        # In the order of their groups, in which those leave that reach the delivery limit.
        super()._requeue(sorted(entries, key=in_order), failed)

    def fail(self, entries: list[Entry], reason: str) -> None:
        """Handle messages that failed for good: dead-letter them, or stop their groups. The caller offers messages."""
        if self._closed:
            self._ledger.dead_letter(entries, reason)
            return
        line = self._dispatcher.ready
        assert isinstance(line, GroupLine)
        if line.groups.options.on_dead == SKIP and not any(line.groups.stopped_count[1:]):
            self._ledger.dead_letter(entries, reason)
            return
        for entry in sorted(entries, key=in_order):
            self._fail(line, entry, reason)

    def _fail(self, line: GroupLine, entry: Entry, reason: str) -> None:
        ledger = self._ledger
        assert isinstance(ledger, GroupLedger)
        groups = line.groups
        group = groups.taken(entry.sequence)
        on_dead = groups.options.on_dead
        if group.state == OPEN and (group.key is None or on_dead == SKIP):
            ledger.dead_letter([entry], reason)
            return
        # While a closed group comes back, the message keeps its place in it.
        follows = groups.is_following(group) or (group.state == OPEN and on_dead == FOLLOW)
        if follows and ledger.is_letter_taken(group, entry, reason):
            if group.state == OPEN:
                # The record comes first: a message that remains after a crash follows to the dead letter queue.
                self._stop(groups, group, CLOSED, entry)
            ledger.send_letter(group, entry, reason)
            return
        self._return_failed(ledger, groups, group, entry, reason)
        self._dispatcher.requeue([entry])

    def retain(self, entry: Entry, reason: str) -> None:
        """Keep a message whose dead letter no queue takes any more: as if that had been known when it failed."""
        ledger, dispatcher = self._ledger, self._dispatcher
        assert isinstance(ledger, GroupLedger)
        assert isinstance(dispatcher, GroupDispatcher)
        assert isinstance(dispatcher.ready, GroupLine)
        groups, store, key = dispatcher.ready.groups, ledger.store, ledger.not_sent(entry, reason)
        if reason != GROUP:
            store.begin()
            try:
                group = groups.of_key(key)
                if group.state == CLOSED and not groups.letters.count(key):
                    # The group was closed because of this message.
                    self.stopped = [each for each in self.stopped if each is not group]
                    groups.open(group)
                    group = groups.of_key(key)
                self._return_failed(ledger, groups, group, entry, reason)
            finally:
                store.end()
        dispatcher.retain(entry)

    def _return_failed(self, ledger: GroupLedger, groups: Groups, group: Group, entry: Entry, reason: str) -> None:
        """Record that a message has failed for good and stays in its group, which stops."""
        store = ledger.store
        store.begin()
        try:
            ledger.failed(entry, reason)
            if group.state == OPEN:
                self._stop(groups, group, PARKED, entry)
        finally:
            store.end()
        if group.state == CLOSED:
            groups.failed_for(entry.sequence, reason)

    def _stop(self, groups: Groups, group: Group, state: int, entry: Entry) -> None:
        assert group.key is not None
        store = self._ledger.store
        store.begin()
        try:
            since_ms = self._clock.now_ms() + self._clock.ahead_ms
            note = groups.record(group.key, state, entry.sequence, since_ms, entry.queue.id).note
            if note is not None:
                note.set_time(since_ms, self._clock.ahead_ms)
        finally:
            store.end()
        self.stopped.append(group)

    def _rejoin(self, entries: list[Entry]) -> None:
        line = self._dispatcher.ready
        assert isinstance(line, GroupLine)
        # A consumer that has earlier messages of a group may take these ones, too.
        holders = {holder: None for entry in entries if (holder := line.holder(entry.message)) is not None}
        self._dispatcher.requeue(entries)
        self._move_on(holders, [])

    def _move_on(self, consumers: dict[Consumer, None], exhausted: list[Entry]) -> None:
        if exhausted:
            with self._dead_letters:
                self.fail(exhausted, DELIVERY_LIMIT)
                self._deliver(consumers)
        else:
            self._deliver(consumers)


def in_order(entry: Entry) -> int:
    """Return the sort key of an entry for the order of the messages of its group."""
    return entry.sequence
