"""Frames with content that a channel sends: deliveries, get-ok and returns."""

import struct
from abc import ABCMeta, abstractmethod
from typing import Final

from mypy_extensions import i64

from amqpbroker.amqp.channel_context import ChannelContext
from amqpbroker.amqp.consumer_timeout import queue_timeout_ms
from amqpbroker.amqp.round_robin import Line, LineMember
from amqpbroker.amqp.unacked import Unacked
from amqpbroker.broker.infos import ConsumerInfo
from amqpbroker.broker.publishing.interceptors import stamped
from amqpbroker.broker.queues.delivery_count import counted
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
#: Larger than any count or size, and a number that compiled code compares without an object (below 2**62).
UNLIMITED: Final = 1 << 61


class ConsumerOwner(metaclass=ABCMeta):
    """The channel of consumers, as far as they know it. unacked: what it has delivered to all of them."""

    def __init__(self, context: ChannelContext, unacked: Unacked) -> None:
        self.context = context
        self.unacked = unacked

    @abstractmethod
    def cancelled(self, consumer: "ChannelConsumer") -> None:
        """The queue has removed the consumer without being asked."""


class ChannelConsumer(LineMember):
    """A consumer on a channel.

    prefetch: how many deliveries may be outstanding (UNLIMITED for no limit). has_taken_over: it was given what a
    cancelled consumer of its tag held. blocked: the channel-wide prefetch stopped it, and it gets nothing until
    `Unacked` offers it messages again, as in RabbitMQ (rabbit_limiter). starved: the output buffer of its connection
    stopped it. Both are in a line.
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
        # Queues of some kinds know nothing of a limit for the whole channel that comes after the consumer.
        self._channel_limits: bool = queue.kind.channel_prefetch
        self.prefetch: int = prefetch if prefetch and (queue.kind.prefetch_no_ack or not no_ack) else UNLIMITED
        self._prefetch_before: int = self.prefetch
        self.has_taken_over: bool = False
        self.blocked: bool = False
        self.starved: bool = False
        self.turn: int = 0
        self._largest: int = (context.client.frame_max or UNLIMITED) - 8
        # The first eight octets of a basic.deliver, without the size of its payload; what follows up to the delivery
        # tag; and the size of the payload without the address.
        self._start: i64 = METHOD << 56 | context.number << 40 | _DELIVER[0]
        self._method: bytes = _DELIVER[1:] + methods.shortstr(tag)
        self._fixed: i64 = len(self._method) + 10
        # The latest address, and one that came twice in a row with what deliveries under it have in common.
        self._latest: bytes = b""
        self._address: bytes = b""
        self._head: bytes = b""
        self._first: bytes = b""
        self._again: bytes = b""

    def can_take(self) -> bool:
        if self.unacked >= self.prefetch:
            return False
        channel_unacked = self._channel_unacked
        limit = channel_unacked.global_prefetch
        if limit and (self.blocked or channel_unacked.outstanding >= limit) and self._channel_limits:
            if not self.blocked and self.registered:
                self.blocked = True
                channel_unacked.line.join(self)
            return False
        output = self.output
        if output.room <= 0:
            if not self.starved and self.registered:
                self.starved = True
                output.line.join(self)
            return False
        return True

    def leave_lines(self) -> None:
        """Wait for nothing any more."""
        if self.blocked:
            self.blocked = False
            self._channel_unacked.line.leave(self)
        if self.starved:
            self.starved = False
            self.output.line.leave(self)

    def left_line(self, line: Line) -> None:
        if line is self.output.line:
            self.starved = False
        else:
            self.blocked = False

    def delivered_on_channel(self) -> int:
        return self._channel_unacked.delivery_tag

    def will_take_over(self, count: int) -> None:
        """Take over so many messages of a cancelled consumer of the same tag, before the queue knows this one."""
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

    def has_one_left(self) -> bool:
        return self.unacked + 1 >= self.prefetch

    def deliver(self, entry: Entry) -> None:
        entry.consumer = self
        self._write(self._channel_unacked.hold(entry), entry.message, entry.acquired_count, entry.delivery_count)

    def hand(self, message: Message, acquired_count: int, delivery_count: int) -> None:
        self._write(self._channel_unacked.next_tag(), message, acquired_count, delivery_count)

    def _write(self, tag: int, message: Message, acquired_count: int, delivery_count: int) -> None:
        """Write the delivery with that tag."""
        context = self._context
        if acquired_count:
            context.counts.count_redelivered()
            self.queue.count_redelivery()
            compat = context.broker.config.compat
            message = counted(message, self.queue, acquired_count, delivery_count, compat)
        address = message.address
        if context.vhost.taps:
            self._notify_taps(message, acquired_count > 0)
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
        """Write a basic.deliver; encode what it has in common with the next one, if it is like the one before."""
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
        """Notify the taps of a delivery. Direct replies are none."""
        vhost = self._context.vhost
        if self.queue.name != PSEUDO_QUEUE:
            for tap in vhost.taps:
                tap.delivered(vhost, message, self.queue.name, redelivered, self._context.via())

    def info(self, active: bool, activity_status: str) -> ConsumerInfo:
        context, client = self._context, self._context.client
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
            consumer_timeout=queue_timeout_ms(context.broker.config, self.queue),
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
    """Consumer whose deliveries carry the time of delivery in a header, if that is configured."""

    def _write(self, tag: int, message: Message, acquired_count: int, delivery_count: int) -> None:
        broker = self._context.broker
        if broker.config.tells_sent_time:
            message = stamped(message, broker.clock.wall_ms())
        super()._write(tag, message, acquired_count, delivery_count)


class OverfullConsumer(StampingConsumer):
    """A merged consumer that has taken over more than its prefetch.

    Each message that it settles, one of these too, is room for one more, but never for more than the prefetch at once
    (rabbit_fifo:increase_credit). So it may hold as many as it has taken over, and less once it has settled several
    without being given any.
    """

    def can_take(self) -> bool:
        """Asked before every delivery, and between two of them `unacked` only falls: so it is at its lowest now."""
        self.prefetch = min(self.prefetch, self.unacked + self.prefetch_count)
        return super().can_take()


def get_ok(message: Message, channel: int, tag: int, redelivered: bool, left: int) -> bytes:
    """basic.get-ok, which its content follows; `left` messages stay ready."""
    payload = b"%b%b%c%b%b" % (_GET_OK, _U64(tag), redelivered, message.address, left.to_bytes(4, "big"))
    return frame(METHOD, channel, payload)


def returned(message: Message, channel: int) -> bytes:
    """basic.return of an unroutable message, which its content follows."""
    payload = methods.encode("basic.return", reply_code=312, reply_text="NO_ROUTE")[:-2] + message.address
    return frame(METHOD, channel, payload)
