"""The unacknowledged deliveries of a channel: numbering, settling, and the channel-wide prefetch."""

from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import final

from amqpbroker import errors
from amqpbroker.amqp.channel_counters import ChannelCounters
from amqpbroker.amqp.connection_log import run_all
from amqpbroker.amqp.overdue_deliveries import OverdueDeliveries
from amqpbroker.amqp.round_robin import Line
from amqpbroker.amqp.settling import by_consumer, by_start
from amqpbroker.amqp.transaction import Transaction
from amqpbroker.amqp.unfinished import Unfinished
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.host import Host
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.settlement import ACK, FAIL, REJECT, REQUEUE, settle, settle_in_slices


@final
class Unacked:
    """Numbers the deliveries of one channel and holds their entries until the client settles them.

    entries: by delivery tag, oldest first. delivery_tag: of the latest delivery. delivered: number of deliveries to
    consumers that acknowledge. settled: number of these that are not outstanding any more. global_prefetch: maximum
    number of outstanding deliveries; 0 means no limit. waiting: consumers that global_prefetch stopped; it is empty
    while fewer deliveries are outstanding.
    """

    def __init__(self, counts: ChannelCounters, vhost: Host, unfinished: Unfinished) -> None:
        self.entries: dict[int, Entry] = {}
        self.delivery_tag: int = 0
        self.delivered: int = 0
        self.settled: int = 0
        self.global_prefetch: int = 0
        self.waiting = Line()
        self._counts = counts
        self._vhost = vhost
        self._unfinished = unfinished
        self._transaction: Transaction | None = None
        self._taken_back = OverdueDeliveries()
        self._removed: int = 0

    @property
    def outstanding(self) -> int:
        """Return the number of deliveries to consumers that wait for their acknowledgement."""
        return self.delivered - self.settled

    def held(self) -> Iterator[Entry]:
        """Return all deliveries that consumers hold, including those settled in an open transaction."""
        transaction = self._transaction
        return chain(self.entries.values(), transaction.settled() if transaction is not None else ())

    # --- deliver ----------------------------------------------------------------------------------------------------

    def next_tag(self) -> int:
        """Return the delivery tag of the current delivery."""
        tag = self.delivery_tag + 1
        self.delivery_tag = tag
        return tag

    def next_tag_of_copy(self, settled: bool) -> int:
        """Return the delivery tag of a message that stays in its queue.

        settled: the client must not settle it. Otherwise it may, without effect.
        """
        self._counts.count_browsed()
        tag = self.next_tag()
        if not settled:
            self._taken_back.accept([tag])
        return tag

    def hold(self, entry: Entry) -> int:
        """Hold the entry of a delivery until it is settled; return the delivery tag."""
        self.delivered += 1
        tag = self.delivery_tag + 1
        self.delivery_tag = tag
        self.entries[tag] = entry
        return tag

    def hold_got(self, entry: Entry) -> int:
        """Hold the entry of a basic.get, which the prefetch does not limit; return the delivery tag."""
        tag = self.delivery_tag + 1
        self.delivery_tag = tag
        self.entries[tag] = entry
        return tag

    # --- settle -----------------------------------------------------------------------------------------------------

    def ack(self, tag: int, multiple: bool) -> None:
        """Handle basic.ack. Raises AmqpError 406 for a tag that is not outstanding."""
        if multiple or self._transaction is not None:
            self._settle(tag, multiple, ACK)
            return
        entry = self.entries.pop(tag, None)
        if entry is None:
            self._take(tag, False)
            return
        from_consumer = entry.consumer is not None
        was_full = self.global_prefetch != 0 and self._is_full()
        entry.queue.ack(entry)
        if from_consumer:
            self.settled += 1
        else:
            self._counts.count_got_acked(1)
        if was_full:
            self._divide()

    def nack(self, tag: int, multiple: bool, requeue: bool) -> None:
        """Handle basic.nack. Raises AmqpError 406 for a tag that is not outstanding."""
        self._settle(tag, multiple, REQUEUE if requeue else REJECT)

    def reject(self, tag: int, requeue: bool) -> None:
        """Handle basic.reject, which counts as a failed delivery.

        Raises AmqpError 406 for a tag that is not outstanding.
        """
        self._settle(tag, False, FAIL if requeue else REJECT)

    def recover(self) -> None:
        """Requeue all outstanding deliveries."""
        self.settle(self._take(0, True)[1], REQUEUE)

    def _take(self, tag: int, multiple: bool) -> tuple[list[int], list[Entry]]:
        """Remove outstanding entries; return their delivery tags and the entries.

        Tag 0 with multiple means all (rabbit_channel:collect_acks).
        """
        entries = self.entries
        taken_back = self._taken_back
        if tag == 0 and multiple:
            self.entries = {}
            taken_back.settle(self.delivery_tag, True)
            return list(entries), list(entries.values())
        if tag not in entries and not taken_back.accepts(tag):
            raise errors.unknown_delivery_tag(tag)
        if taken_back.consumers:
            taken_back.settle(tag, multiple)
        if not multiple and tag not in entries:
            return [], []
        if not multiple:
            return [tag], [entries.pop(tag)]
        tags: list[int] = []
        taken: list[Entry] = []
        for number, entry in entries.items():
            if number > tag:
                break
            tags.append(number)
            taken.append(entry)
        for number in tags:
            del entries[number]
        # A dict keeps the slots of deleted entries at its front and visits them in each iteration until it is rebuilt.
        self._removed += len(tags)
        if self._removed > 1024 + 2 * len(entries):
            self.entries = dict(entries)
            self._removed = 0
        return tags, taken

    def take_back(self, tags: list[int], consumer: Consumer | None) -> None:
        """Requeue overdue deliveries, without an answer from the client.

        Pause their consumer until the client has settled all of them.
        """
        self._taken_back.add(tags, consumer)
        self.settle(self._pop(tags), REQUEUE)

    def requeue(self, tags: list[int], how: str) -> None:
        """Settle outstanding deliveries without an answer from the client, which may still send one later.

        how: as in `settle`.
        """
        self._taken_back.accept(tags)
        self.settle(self._pop(sorted(tags)), how)

    def _pop(self, tags: list[int]) -> list[Entry]:
        """Remove and return outstanding entries."""
        entries = [self.entries.pop(tag) for tag in tags]
        if not self.entries:
            # A dict that was emptied keeps its memory.
            self.entries = {}
        return entries

    def _settle(self, tag: int, multiple: bool, how: str) -> None:
        tags, entries = self._take(tag, multiple)
        if self._transaction is not None:
            self._transaction.settle(dict(zip(tags, entries, strict=True)), how)
        else:
            self.settle(entries, how)

    def settle(self, entries: list[Entry], how: str, together: bool = False) -> None:
        """Settle entries that are not held any more, many of them in slices unless they have to be settled `together`.

        how: see `settlement`.
        """
        groups = by_consumer(entries)
        from_consumers = sum([len(group) for _, group in groups if group[0].consumer is not None])
        # Consumers that the channel-wide prefetch stopped wait until everything is settled. Others can receive
        # immediately.
        was_full = self._is_full()
        self.settled += from_consumers
        some_left = False
        if together:
            settle(groups, how)
        else:
            some_left = settle_in_slices(self._vhost, groups, len(entries), how)
        if how == ACK:
            self._counts.count_got_acked(len(entries) - from_consumers)
        else:
            self._counts.count_not_acked(from_consumers)
        if some_left:
            self._unfinished.begin()
            self._vhost.deferred_free.when_recorded(partial(self._finish, was_full))
        elif was_full:
            self._divide()

    def _finish(self, was_full: bool) -> None:
        if was_full:
            self._divide()
        self._unfinished.end()

    def begin_transaction(self, transaction: Transaction) -> None:
        """Pass settled deliveries to the transaction from now on."""
        self._transaction = transaction

    def restore(self, entries: dict[int, Entry]) -> None:
        """Hold entries again that were removed, under their old delivery tags."""
        entries.update(self.entries)
        self.entries = dict(sorted(entries.items()))

    def release(self, name: str) -> None:
        """Requeue everything, even if one queue fails. name: of the channel, for the log. Never raises.

        Messages that return to their positions do so at once, before the queue delivers later ones. Messages that are
        delayed first return in slices.
        """
        # An entry refers to its consumer, and the consumer to this object: the cycle is broken here, so that they are
        # freed.
        self._transaction = None
        deferred_free = self._vhost.deferred_free
        for queue, group in by_start(self._take(0, True)[1]):
            reclaim = partial(_reclaim, queue, f"{name}: requeueing to queue {queue.name}")
            retry = queue.settings.retry
            if retry is None or not retry.delays(failed=True):
                reclaim(group)
            else:
                deferred_free.record(deque(group), reclaim, deferred_free.few)

    # --- channel-wide prefetch
    # ------------------------------------------------------------------------------------------

    def limit(self, prefetch: int) -> None:
        """Set one limit for all deliveries of the channel, for basic.qos with global; 0 means none."""
        self.global_prefetch = prefetch
        self._divide()

    def _is_full(self) -> bool:
        """Return whether the channel-wide prefetch is reached, so that no consumer can receive another message."""
        limit = self.global_prefetch
        return limit != 0 and self.delivered - self.settled >= limit

    def _divide(self) -> None:
        """Divide the deliveries that the channel-wide prefetch allows among the queues that it stopped.

        Each queue may deliver an equal part. If a queue has too few messages for its part, the rest is divided among
        the other queues. In RabbitMQ all queues ask for each delivery at the same time (rabbit_limiter:can_send/3).
        """
        waiting, limit = self.waiting, self.global_prefetch
        while len(waiting) and (not limit or self.outstanding < limit):
            count = len(waiting)
            part = max((limit - self.outstanding) // count, 1)
            # A queue that is stopped by its part joins again, and is served once more if the others leave some of
            # theirs.
            for _ in range(count):
                if limit:
                    self.global_prefetch = min(self.outstanding + part, limit)
                waiting.serve()
                if not len(waiting) or (limit and self.outstanding >= limit):
                    break
            self.global_prefetch = limit


def _reclaim(queue: Queue, what: str, entries: list[Entry]) -> None:
    run_all([partial(queue.reclaim, entries)], what)
