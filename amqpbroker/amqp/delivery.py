"""Content frames that a channel sends: deliveries, get-ok and returns."""

import struct
from abc import ABCMeta, abstractmethod
from typing import Final

from mypy_extensions import i64

from amqpbroker.amqp.channel_context import ChannelContext
from amqpbroker.amqp.consumer_timeout import LockTerms, lock_terms, queue_timeout_ms
from amqpbroker.amqp.locks import Locks
from amqpbroker.amqp.output import SMALL
from amqpbroker.amqp.round_robin import LimitedConsumer, Line
from amqpbroker.amqp.unacked import Unacked
from amqpbroker.broker.infos import ConsumerInfo
from amqpbroker.broker.publishing.interceptors import stamped
from amqpbroker.broker.queues.dead_letters.delivery_count import counted
from amqpbroker.broker.queues.direct_reply import PSEUDO_QUEUE
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.message.message import Message
from amqpbroker.octets import BytesWriter, write_i64_be
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, OVERHEAD, frame
from amqpbroker.wire.values import Table

_U64 = struct.Struct(">Q").pack
_DELIVER = struct.pack(">HH", 60, 60)
_GET_OK = struct.pack(">HH", 60, 71)
#: A number above any count or size, and below 2**62, so that compiled code compares it without creating an object.
UNLIMITED: Final = 1 << 61


class ConsumerOwner(metaclass=ABCMeta):
    """The channel as its consumers see it. unacked: the deliveries to all of them. locks: those of these deliveries."""

    def __init__(self, context: ChannelContext, unacked: Unacked, locks: Locks) -> None:
        self.context = context
        self.unacked = unacked
        self.locks = locks

    @abstractmethod
    def cancelled(self, consumer: "ChannelConsumer") -> None:
        """Notify the channel that the queue has removed the consumer on its own."""


class ChannelConsumer(LimitedConsumer):
    """A consumer on a channel.

    prefetch: maximum number of outstanding deliveries (UNLIMITED for no limit). has_taken_over: it received the
    messages of a cancelled consumer with the same tag. blocked: stopped by the channel-wide prefetch; it gets nothing
    until `Unacked` offers it messages again, as in RabbitMQ (rabbit_limiter). starved: stopped because the output
    buffer of its connection is full. A blocked or starved consumer waits in a round robin.
    """

    def __init__(
        self,
        owner: ConsumerOwner,
        queue: Queue,
        tag: str,
        no_ack: bool,
        exclusive: bool,
        priority: int,
        arguments: Table,
        prefetch: int,
    ) -> None:
        super().__init__(queue, tag, no_ack, exclusive, priority, arguments)
        context = owner.context
        self._owner = owner
        self._context = context
        self._channel_unacked = owner.unacked
        self.output = context.output
        self.number: int = context.number
        self.prefetch_count: int = prefetch
        # Queues of some types ignore a channel-wide limit that is set after the consumer has started.
        self._channel_limits: bool = queue.kind.channel_prefetch
        self.prefetch: int = self._allowed(prefetch)
        self._prefetch_before: int = self.prefetch
        self.has_taken_over: bool = False
        self.blocked: bool = False
        self.starved: bool = False
        self.last_served: int = 0
        self._largest: int = (context.client.frame_max or UNLIMITED) - 8
        # The first eight bytes of a basic.deliver, without the size of its payload; the rest up to the delivery tag;
        # and the size of the payload without the address.
        self._start: i64 = METHOD << 56 | context.number << 40 | _DELIVER[0]
        self._method: bytes = _DELIVER[1:] + methods.shortstr(tag)
        self._fixed: i64 = len(self._method) + 10
        # The latest address; and one that occurred twice in a row, with the bytes that its deliveries have in common.
        self._latest: bytes = b""
        #: None for deliveries without a lock.
        self._lock_terms: LockTerms | None = None
        self.settings_changed()
        self._address: bytes = b""
        self._head: bytes = b""
        self._first: bytes = b""
        self._again: bytes = b""

    def _allowed(self, prefetch: int) -> int:
        """Return the maximum number of outstanding deliveries for this prefetch; 0 means no limit."""
        return prefetch if prefetch and (self.queue.kind.prefetch_no_ack or not self.no_ack) else UNLIMITED

    def limit(self, prefetch: int) -> None:
        """Set another prefetch. The caller then calls `queue.offer`.

        A consumer that holds more messages gets no others until it has settled enough. A paused one stays paused.
        """
        self.prefetch_count = prefetch
        self._prefetch_before = self._allowed(prefetch)
        if not self.paused:
            self.prefetch = self._prefetch_before

    def can_take(self) -> bool:
        if self.unacked >= self.prefetch:
            return False
        channel_unacked = self._channel_unacked
        limit = channel_unacked.global_prefetch
        if limit and (self.blocked or channel_unacked.outstanding >= limit) and self._channel_limits:
            if not self.blocked and self.registered:
                self.blocked = True
                channel_unacked.waiting.join(self)
            return False
        output = self.output
        if output.space <= 0:
            if not self.starved and self.registered:
                self.starved = True
                output.waiting.join(self)
            return False
        return True

    def leave_waiting_lists(self) -> None:
        """Stop waiting for the channel-wide prefetch and the output buffer."""
        if self.blocked:
            self.blocked = False
            self._channel_unacked.waiting.leave(self)
        if self.starved:
            self.starved = False
            self.output.waiting.leave(self)

    def left_waiting_list(self, waiting: Line) -> None:
        if waiting is self.output.waiting:
            self.starved = False
        else:
            self.blocked = False

    def delivered_on_channel(self) -> int:
        return self._channel_unacked.delivery_tag

    def will_take_over(self, count: int) -> None:
        """Take over `count` messages of a cancelled consumer with the same tag, before the queue knows this one."""
        self.has_taken_over = True
        if self.queue.kind.merges_consumers:
            self.prefetch = max(self.prefetch, count)

    def pause(self) -> None:
        if not self.paused:
            super().pause()
            self._prefetch_before, self.prefetch = self.prefetch, 0

    def resume(self) -> None:
        super().resume()
        self.prefetch = self._prefetch_before

    def settings_changed(self) -> None:
        """Use the timeout that the queue has now for the next deliveries. Earlier ones keep their locks."""
        self._lock_terms = None if self.no_ack else lock_terms(self._context.broker.config, self.queue, self)

    def has_one_left(self) -> bool:
        return self.unacked + 1 >= self.prefetch

    def deliver(self, entry: Entry) -> None:
        entry.consumer = self
        tag = self._channel_unacked.hold(entry)
        terms = self._lock_terms
        if terms is not None:
            self._owner.locks.add(tag, entry.delivered_ms, terms)
        self._write(tag, entry.message, entry.acquired_count, entry.delivery_count)

    def deliver_frames(self, entry: Entry, address: bytes, frames: bytes, size: int) -> bool:
        if size >= SMALL or size > self._largest or self._lock_terms is not None or self._context.vhost.taps:
            return False
        entry.consumer = self
        tag = self._channel_unacked.hold(entry)
        output = self.output
        head = output.small
        if address is self._address:
            head.write(self._head)
            write_i64_be(head, tag)
            head.write(self._first)
        else:
            self._begin(head, address, tag, 0)
        output.deliver_frames(frames, size, self.number, self._fixed + len(address) + OVERHEAD)
        return True

    def hand(self, message: Message, acquired_count: int, delivery_count: int) -> None:
        self._write(self._channel_unacked.next_tag(), message, acquired_count, delivery_count)

    def _write(self, tag: int, message: Message, acquired_count: int, delivery_count: int) -> None:
        """Write the delivery with this tag."""
        context = self._context
        if acquired_count:
            context.counts.count_redelivered()
            self.queue.count_redelivery()
            compat = context.broker.config.compat
            message = counted(message, self.queue, acquired_count, delivery_count, compat)
        address = message.address
        if context.vhost.taps:
            self._notify_taps(message, acquired_count != 0)
        output = self.output
        head = output.small
        if address is self._address:
            head.write(self._head)
            write_i64_be(head, tag)
            head.write(self._again if acquired_count else self._first)
        else:
            self._begin(head, address, tag, acquired_count)
        output.deliver(message, self.number, self._largest, self._fixed + len(address) + OVERHEAD)

    def _begin(self, head: BytesWriter, address: bytes, tag: int, acquired_count: int) -> None:
        """Write a basic.deliver.

        If its address equals the previous one, cache the common bytes for the next delivery.
        """
        start: i64 = self._start | (self._fixed + i64(len(address))) << 8
        write_i64_be(head, start)
        head.write(self._method)
        write_i64_be(head, tag)
        head.append(1 if acquired_count else 0)
        head.write(address)
        head.append(0xCE)
        if address is self._latest:
            self._address = address
            self._head = int(start).to_bytes(8, "big") + self._method
            self._first = b"\0" + address + b"\xce"
            self._again = b"\1" + address + b"\xce"
        self._latest = address

    def _notify_taps(self, message: Message, redelivered: bool) -> None:
        """Notify the taps of a delivery. Direct replies do not count as deliveries."""
        vhost = self._context.vhost
        if self.queue.name != PSEUDO_QUEUE:
            for tap in vhost.taps:
                tap.delivered(vhost, message, self.queue.name, redelivered, self._context.via())

    def info(self, active: bool, activity_status: str) -> ConsumerInfo:
        context, client = self._context, self._context.client
        terms = self._lock_terms
        return ConsumerInfo(
            queue=self.queue.name,
            vhost=context.vhost.name,
            consumer_tag=self.tag,
            ack_required=not self.no_ack,
            exclusive=self.exclusive,
            prefetch_count=self.prefetch_count,
            active=active,
            activity_status=activity_status,
            arguments=self.arguments,
            consumer_timeout=(
                queue_timeout_ms(context.broker.config, self.queue) if terms is None else terms.timeout_ms
            ),
            consumer_timeout_action=(
                terms.action if terms is not None and context.broker.config.compat.extensions else None
            ),
            connection_name=client.name,
            channel_name=context.name,
            channel_number=self.number,
            peer_host=client.peer.host,
            peer_port=client.peer.port,
            user=client.user.name,
            user_provided_name=client.given_name,
        )

    def cancelled(self) -> None:
        self._owner.cancelled(self)


class StampingConsumer(ChannelConsumer):
    """A consumer whose deliveries carry the time of delivery in a header, if configured."""

    def deliver_frames(self, entry: Entry, address: bytes, frames: bytes, size: int) -> bool:
        if self._context.broker.config.tells_sent_time:
            return False
        return super().deliver_frames(entry, address, frames, size)

    def _write(self, tag: int, message: Message, acquired_count: int, delivery_count: int) -> None:
        broker = self._context.broker
        if broker.config.tells_sent_time:
            message = stamped(message, broker.clock.wall_ms())
        super()._write(tag, message, acquired_count, delivery_count)


class OverfullConsumer(StampingConsumer):
    """A merged consumer that has taken over more messages than its prefetch.

    Each message that it settles, including these, allows another delivery, but never more than the prefetch at once
    (rabbit_fifo:increase_credit). It may therefore hold as many messages as it has taken over, and fewer once it has
    settled several without a delivery in between. With another prefetch, it is limited like any other consumer.
    """

    def can_take(self) -> bool:
        """Lower the prefetch to the number currently allowed, and return whether another delivery is allowed.

        This is called before every delivery. Between two deliveries `unacked` only falls, so it is at its lowest now.
        """
        self.prefetch = min(self.prefetch, self.unacked + (self.prefetch_count or UNLIMITED))
        return super().can_take()


def get_ok(message: Message, channel: int, tag: int, redelivered: bool, left: int) -> bytes:
    """Return the frame of basic.get-ok, without the content. left: number of messages that remain ready."""
    payload = b"%b%b%c%b%b" % (_GET_OK, _U64(tag), redelivered, message.address, left.to_bytes(4, "big"))
    return frame(METHOD, channel, payload)


def copy_delivery(message: Message, channel: int, consumer_tag: str, tag: int, redelivered: bool) -> bytes:
    """Return the frame of basic.deliver for a copy of a message that stays in its queue, without the content."""
    payload = b"%b%b%b%c%b" % (_DELIVER, methods.shortstr(consumer_tag), _U64(tag), redelivered, message.address)
    return frame(METHOD, channel, payload)


def returned(message: Message, channel: int) -> bytes:
    """Return the frame of basic.return for an unroutable message, without the content."""
    payload = methods.encode("basic.return", reply_code=312, reply_text="NO_ROUTE")[:-2] + message.address
    return frame(METHOD, channel, payload)
