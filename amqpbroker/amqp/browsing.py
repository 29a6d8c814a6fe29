"""Browsing consumers: copies of the messages in a queue, which stay there (x-filter-no-consume of Qpid Broker-J)."""

from typing import Final, final

from amqpbroker.amqp.delivery import ChannelConsumer, ConsumerOwner, copy_delivery
from amqpbroker.amqp.round_robin import Line
from amqpbroker.broker.queues.dead_letters.delivery_count import counted
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.lines.pages import UnreadableError
from amqpbroker.broker.queues.lines.read_retry import RETRY_MS
from amqpbroker.broker.queues.peek import READY, START, Peek, Place
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.slices import SLICE_MS
from amqpbroker.clock import Timer
from amqpbroker.wire.values import Table

#: Number of messages that are read at once. If the output has no space for all of them, the others are read again.
_STEP: Final = 32


@final
class BrowsingConsumer(ChannelConsumer):
    """Sends copies of the ready messages of a queue, and ends with basic.cancel behind the last one.

    The queue does not know the consumer. Messages that arrive after the start are not sent. The client need not settle
    a copy; if it does, that has no effect. The copies are limited by the output buffer only, not by the prefetch.
    """

    def __init__(self, owner: ConsumerOwner, queue: Queue, tag: str, no_ack: bool, arguments: Table) -> None:
        super().__init__(owner, queue, tag, no_ack, False, 0, arguments, 0)
        self._peek = Peek(queue, READY, _none)
        self._place: Place = START
        self._newest: int = queue.newest
        self._timer: Timer | None = None

    def run(self) -> None:
        """Send copies until the output has no space, the time of this iteration is used up, or no message is left."""
        self._timer = None
        clock = self._context.broker.clock
        until_ms = clock.now_ms() + SLICE_MS
        while not self.queue.closed:
            try:
                some = self._peek.following(self._place, _STEP)
            except UnreadableError:
                self._continue_after(RETRY_MS)
                return
            if not some:
                break
            for peeked in some:
                if not self._has_space():
                    return
                self._place = peeked.place
                if peeked.entry.sequence <= self._newest:
                    self._send(peeked.entry)
            if clock.now_ms() >= until_ms:
                self._continue_after(0)
                return
        self._owner.cancelled(self)

    def _continue_after(self, delay_ms: int) -> None:
        self._timer = self._context.broker.clock.after(delay_ms, self.run)

    def _has_space(self) -> bool:
        """Return whether the output has space for a copy. If not, wait for it."""
        if self.output.space > 0:
            return True
        self.starved = True
        self.output.waiting.join(self)
        return False

    def _send(self, entry: Entry) -> None:
        broker = self._context.broker
        message = counted(entry.message, self.queue, entry.acquired_count, entry.delivery_count, broker.config.compat)
        tag = self._channel_unacked.next_tag_of_copy(settled=self.no_ack)
        head = copy_delivery(message, self.number, self.tag, tag, entry.redelivered)
        self.output.small.write(head)
        self.output.deliver(message, self.number, self._largest, len(head))

    def left_waiting_list(self, waiting: Line) -> None:
        super().left_waiting_list(waiting)
        self.run()

    def leave_waiting_lists(self) -> None:
        """End: the consumer is cancelled, or its channel closes."""
        super().leave_waiting_lists()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _none(queue: Queue) -> list[Entry]:
    return []
