"""Dispatcher the messages of a queue with message groups to its consumers."""

from collections.abc import Iterable, Sequence

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.consumers import Consumers
from amqpbroker.broker.queues.dead_letters.deadletter import DeadLetters
from amqpbroker.broker.queues.dispatcher import Dispatcher
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.expiry import Expiry
from amqpbroker.broker.queues.groups.following import Following
from amqpbroker.broker.queues.groups.group import PARKED, Group
from amqpbroker.broker.queues.groups.ledger import GroupLedger
from amqpbroker.broker.queues.groups.line import GroupLine
from amqpbroker.broker.queues.groups.stale_versions import StaleVersions
from amqpbroker.broker.queues.ledger import Ledger
from amqpbroker.broker.queues.lines.ready_line import ReadyLine
from amqpbroker.broker.queues.outstanding import Outstanding
from amqpbroker.clock import Clock
from amqpbroker.config.bounds import Bounds
from amqpbroker.message.message import MESSAGE_BYTES


class GroupDispatcher(Dispatcher):
    """Offers the first messages of free groups, and further ones to the consumers that have such a group.

    stale_versions: removes messages with old versions, None if messages have no versions.
    """

    #: The last run of dead letters in which dead-lettered messages followed, and their number.
    _run: int = 0
    _returned: int = 0

    def __init__(
        self,
        clock: Clock,
        ready: ReadyLine,
        consumers: Consumers,
        expiry: Expiry,
        outstanding: Outstanding,
        ledger: Ledger,
        bounds: Bounds,
    ) -> None:
        super().__init__(clock, ready, consumers, expiry, outstanding, ledger, bounds)
        self._most_follows: int = bounds.follows
        self._leaving_bytes: int = bounds.leaving_bytes
        self._most_returned: int = bounds.returned_follows
        self._following: Following = Following(clock, self.follow)
        line = self.line
        versions = None if line is None else line.versions
        self.stale_versions: StaleVersions | None = (
            None if versions is None else StaleVersions(clock, versions, ledger, bounds, self._go_on)
        )

    @property
    def line(self) -> GroupLine | None:
        """The ready line; None when the queue is deleted."""
        line = self.ready
        return line if isinstance(line, GroupLine) else None

    def discard(self) -> None:
        # The queue and its ledger keep the line, whose entries refer to them.
        line = self.line
        if line is not None:
            line.discard()
        self._following.stop()
        if self.stale_versions is not None:
            self.stale_versions.stop()
            self.stale_versions = None
        super().discard()

    def pop_oldest(self) -> Entry | None:
        line = self.line
        entry = None if line is None else line.pop_oldest()
        if entry is not None and line is not None:
            if entry.deadline_ms:
                self._expiry.removed()
            if line.groups.stopped_count[PARKED]:
                entry.queue.dropped(entry)
        return entry

    def offer(self, consumer: Consumer) -> None:
        self.feed(consumer)
        super().offer(consumer)

    def offer_all(self, consumers: Sequence[Consumer]) -> None:
        self.consumers.revive(consumers)
        for consumer in consumers:
            self.feed(consumer)
        self.drain()

    def offer_after_settling(self, consumers: Iterable[Consumer]) -> None:
        for consumer in consumers:
            self.consumers.settled(consumer)
            self.feed(consumer)
        self.drain()

    def offer_rest(self) -> None:
        for consumer in self.consumers.all:
            self.feed(consumer)
        self.drain()

    def drain(self) -> None:
        line = self.line
        if line is not None and line.groups.following:
            self.follow()
        stale_versions = self.stale_versions
        if stale_versions is None:
            super().drain()
            return
        while not stale_versions.is_behind and self._may_deliver() and self.ready.count and self.ready.load_head():
            consumer = self.consumers.next()
            if consumer is None:
                return
            entry = self.pop()
            if stale_versions.remove(entry):
                # The consumer was chosen, and can take another message.
                self.consumers.settled(consumer)
            else:
                self.deliver(consumer, entry)

    def deliver(self, consumer: Consumer, entry: Entry) -> None:
        line = self.line
        if line is None or consumer.no_ack or line.groups.options.prefetch == 1:
            super().deliver(consumer, entry)
            if consumer.no_ack and line is not None and line.versions is not None:
                line.versions.acked(entry.message, entry.queue.id)
            return
        line.groups.hold(entry.sequence, consumer)
        super().deliver(consumer, entry)
        self.feed(consumer)

    def take_head(self) -> Entry | None:
        stale_versions = self.stale_versions
        if stale_versions is None:
            return super().take_head()
        while not stale_versions.is_behind:
            entry = super().take_head()
            if entry is None or not stale_versions.remove(entry):
                return entry
        return None

    def catch_up(self, stale_versions: StaleVersions) -> None:
        """Remove some more superseded messages in this iteration, because another message was published."""
        stale_versions.allow_more()
        self._remove_superseded()
        self.drain()

    def _go_on(self) -> None:
        """Go on after superseded messages, and all behind them, had to wait for this iteration."""
        self._remove_superseded()
        self.offer_all(self.consumers.all)

    def _remove_superseded(self) -> None:
        """Remove superseded messages from the head, also without a consumer: a client may ask with basic.get."""
        first = self.take_head()
        if first is not None:
            self.requeue([first])

    def feed(self, consumer: Consumer) -> None:
        """Deliver more messages of the groups that a consumer has, for as long as it can take them."""
        line = self.line
        if line is None or line.groups.options.prefetch == 1:
            return
        groups, stale_versions, expired = line.groups, self.stale_versions, 0
        while (group := groups.fed_by(consumer)) is not None and self.consumers.may_take(consumer):
            if stale_versions is not None and stale_versions.is_behind:
                return
            entry = self._pop_of(line, group)
            if entry is None:
                return
            if entry.deadline_ms and self._expiry.is_due(entry):
                expired += 1
                if not self._expiry.expired(entry):
                    return
                if expired == self._expiry.most:
                    self._expiry.resume_next(self._resume)
                    return
                continue
            if stale_versions is None or not stale_versions.remove(entry):
                super().deliver(consumer, entry)

    def _pop_of(self, line: GroupLine, group: Group) -> Entry | None:
        entry = line.pop_first_of(group)
        if entry is not None and entry.deadline_ms:
            self._expiry.removed()
        return entry

    def follow(self) -> None:
        """Dead-letter messages of closed groups, in order, for as long as a queue takes them; the others wait.

        At most `Bounds.follows` messages are tried, and `leaving_bytes` of their bodies leave, in one event loop
        iteration. The next one begins with other groups. It comes after a pause if messages were refused.
        """
        if self._following.may_try:
            self._follow()

    def _follow(self) -> None:
        line, ledger = self.line, self._ledger
        assert isinstance(ledger, GroupLedger)
        if line is None:
            return
        self._following.begin()
        letters, count, size, is_refused = ledger.dead_letters, 0, 0, False
        # The letters are sent at the end. Until then, each counts for the length limit of the queue that it goes to.
        with letters:
            for group in list(line.groups.following):
                while count < self._most_follows and size < self._leaving_bytes:
                    entry = self._pop_of(line, group)
                    if entry is None:
                        break
                    count += 1
                    reason = line.groups.reason(entry.sequence)
                    if not self._may_return(letters, entry) or not ledger.is_letter_taken(group, entry, reason):
                        self.requeue([entry])
                        if letters.promised.closes_cycle(entry, reason):
                            # Trying again would not help: the group waits for its redrive.
                            line.groups.hold_back(group)
                        else:
                            is_refused = True
                        break
                    ledger.send_letter(group, entry, reason)
                    size += entry.message.size + MESSAGE_BYTES
                else:
                    # Groups that were tried are behind the others now.
                    if not is_refused:
                        self._following.go_on()
                    break
        if is_refused:
            self._following.try_again(0 if size else count, len(line.groups.following))
        else:
            self._following.succeeded()

    def retain(self, entry: Entry) -> None:
        """Make a message wait, whose dead letter no queue takes now."""
        self._following.try_again(0, 0)
        self.requeue([entry])

    def _may_return(self, letters: DeadLetters, entry: Entry) -> bool:
        """Return whether a message may follow, perhaps not for the first time.

        A queue with a TTL of 0 would return messages forever within one run of dead letters.
        """
        if not entry.message.died:
            return True
        if letters.runs != self._run:
            self._run, self._returned = letters.runs, 0
        self._returned += 1
        return self._returned <= self._most_returned
