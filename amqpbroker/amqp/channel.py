"""A channel: publishing, what is outstanding, consumers. The hot half of the protocol; `methods` has the rest."""

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from mypy_extensions import i64

from amqpbroker import errors
from amqpbroker.amqp.confirms import Confirms
from amqpbroker.amqp.consumer_timeout import check_timeouts, first_look_ms
from amqpbroker.amqp.content import Content
from amqpbroker.amqp.delivery import ChannelConsumer, get_ok, returned
from amqpbroker.amqp.grouping import by_consumer, by_start
from amqpbroker.amqp.repeat import Repeat
from amqpbroker.amqp.round_robin import Line, divide
from amqpbroker.amqp.routes import Route, Routes
from amqpbroker.amqp.steps import Step, take_all
from amqpbroker.amqp.tally import ChannelTally
from amqpbroker.amqp.transaction import Transaction
from amqpbroker.broker.actions import Actions, check_topics
from amqpbroker.broker.counters.stats import CHANNEL_COUNTERS, MessageStats, Outlet, Sample, message_stats
from amqpbroker.broker.events.tap import Via
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.routing import route as route_message
from amqpbroker.broker.infos import ChannelInfo, ConsumerInfo
from amqpbroker.broker.publishing.inspection import KNOWN, KNOWN_SIZE, inspect
from amqpbroker.broker.publishing.interceptors import stamped
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.delivery_count import counted
from amqpbroker.broker.queues.direct_reply import DirectReply
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.clock import Timer
from amqpbroker.message.message import Message
from amqpbroker.message.pieces import Pieces
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame

if TYPE_CHECKING:
    from amqpbroker.amqp.connection import Connection

#: What it takes to hold an answer back, besides its octets.
HOLDING: Final = 128

MANDATORY: Final = 1
IMMEDIATE: Final = 2


class Channel:
    """One open channel of a connection.

    unacked: delivery tag -> Entry, oldest first. delivered: how many went to consumers that acknowledge, and settled:
    how many of these are not outstanding any more. prefetch: for consumers started from now on. global_prefetch: for
    the channel as a whole; 0 is no limit for both. line: consumers that global_prefetch stopped; it is empty while
    fewer deliveries are outstanding. former: cancelled consumers that hold messages. repeat: what the next publish is
    likely to be; framed: the same for a publish whose frames do not come together. again: the last publish went by the
    same route as the one before. published: octets of the last
    publish, if its body came in one frame.
    """

    counter_names: ClassVar[tuple[str, ...]] = CHANNEL_COUNTERS

    def __init__(self, connection: "Connection", number: int) -> None:
        self.sample: Sample | None = None
        self.connection = connection
        self.number: int = number
        self.broker = connection.broker
        self.vhost = connection.vhost
        self.clock = self.broker.clock
        self.permissions = connection.permissions
        self.intercept = self.broker.intercept
        #: Where every message is changed, none is known by its properties.
        self.known = KNOWN if self.intercept is None else {}
        self.content: Content | None = None
        self.routes = Routes(self.vhost)
        self.repeat: Repeat | None = None
        self.framed: Repeat | None = None
        self.again: bool = False
        self.published: i64 = 0
        self._last_route: Route | None = None
        # The latest properties that were among `known`, which has none as long as these.
        self._properties: bytes = b"none so far"
        self._known: int = 0
        self.route_epoch: int = -1
        self.delivery_tag: int = 0
        self.unacked: dict[int, Entry] = {}
        self.delivered: int = 0
        self.settled: int = 0
        self.tally = ChannelTally()
        self.prefetch: int = 0
        self.global_prefetch: int = 0
        self.line = Line()
        self.consumers: dict[str, ChannelConsumer] = {}
        self.former: list[ChannelConsumer] = []
        self.confirms: Confirms | None = None
        self.awaiting_sync: bool = False
        self.transaction: Transaction | None = None
        self.reply: DirectReply | None = None
        self.last_queue: str = ""
        self.closed: bool = False
        self._held: deque[tuple[int, bytes]] = deque()
        self._taken_back: dict[int, Consumer | None] = {}
        self._removed: int = 0
        self._left: list[Queue] = []
        self._tick: Timer | None = None

    @property
    def name(self) -> str:
        """Name of the connection and number of the channel, as the management API shows them."""
        return f"{self.connection.peer.name} ({self.number})"

    @property
    def outstanding(self) -> int:
        """How many deliveries to consumers wait for their acknowledgement."""
        return self.delivered - self.settled

    def actions(self) -> Actions:
        """What the user may do, here."""
        return Actions(self.vhost, self.permissions, self.connection)

    def via(self) -> Via:
        """What taps are told of it."""
        return Via(self.connection.peer.name, self.number, self.connection.user.name)

    def send(self, name: str, **arguments: object) -> None:
        """Write one method, such as `send("queue.declare-ok", queue="q")`; behind what is held back, if anything is."""
        data = frame(METHOD, self.number, methods.encode(name, **arguments))
        if self._held:
            self._hold(self._held[-1][0], data)
        else:
            self.connection.write(data)

    def send_when_synced(self, name: str, **arguments: object) -> None:
        """`send`, but not before everything appended to the store so far is safe."""
        store = self.broker.store
        if store.appended <= store.synced:
            self.send(name, **arguments)
            return
        self._hold(store.appended, frame(METHOD, self.number, methods.encode(name, **arguments)))
        self._await_sync()

    def _hold(self, until: int, data: bytes) -> None:
        """Write it when so much is synced; until then it counts among what waits for that."""
        self._held.append((until, data))
        self.broker.store.count_answer(len(data) + HOLDING)

    def _await_sync(self) -> None:
        if not self.awaiting_sync:
            self.awaiting_sync = True
            self.connection.awaiting_sync.append(self)
            self.connection.mark_dirty()

    def take_synced(self) -> bytes:
        """The confirms and answers that are due by now."""
        confirms = self.confirms
        frames = confirms.flush() if confirms is not None else b""
        while self._held and self._held[0][0] <= self.broker.store.synced:
            frames += self._held.popleft()[1]
        self.awaiting_sync = bool(self._held) or (confirms is not None and confirms.outstanding)
        return frames

    def opened(self) -> None:
        """Count the channel and emit the event `channel.created`. The connection holds the channel until `release`."""
        for totals in (self.vhost.traffic, self.broker.totals.traffic):
            totals.add(self)
        self.broker.totals.churn.channel_created += 1
        self.broker.events.channel_created(self)

    # --- publish ----------------------------------------------------------------------------------------------------

    def publish(
        self, address: bytes, bits: int, properties: bytes, body: Pieces | None, size: int, frames: bytes | None
    ) -> None:
        """Route a complete message and hand it to the queues. Raises AmqpError, MalformedError.

        address: see Message. bits: mandatory, immediate. Either `body` is given, or content `frames` with a body of
        `size` octets in one frame, or in none if it is empty.
        """
        if bits & IMMEDIATE:
            raise errors.not_implemented("immediate=true")
        vhost = self.vhost
        if self.route_epoch != vhost.route_epoch:
            self.routes.forget()
            self.tally.close_outlets()
            self.route_epoch = vhost.route_epoch
        routes = self.routes
        route = routes.find(self, address, properties)
        self.again = routes.found and route is self._last_route
        self._last_route = route
        message = Message(route.address, properties if body is not None else None, body, size, frames, self.number)
        known: int | None = None
        if len(properties) <= KNOWN_SIZE:
            if properties == self._properties:
                known = self._known
            else:
                known = self.known.get(properties)
                if known is not None:
                    self._properties, self._known = properties, known
        if known is None:
            inspect(message, properties, self.connection.user, self.reply)
            if self.intercept is not None:
                self.intercept(message)
        else:
            message.persistent = known > 255
            message.priority = known & 255
        destinations = route.destinations
        if destinations is None or message.extra_keys:
            if message.extra_keys:
                check_topics(self.permissions, route.exchange, message.extra_keys)
            destinations = route_message(route.exchange, message, vhost.exchanges.get).destinations
            for tap in vhost.taps:
                tap.published(vhost, message, destinations, self.via())
        if self.transaction is not None:
            self.transaction.publish(message, destinations, bits, route.exchange)
            return
        if len(destinations) == 1:
            destination = destinations[0]
            if not destination.instant:
                route.outlet.single += 1
                accepted = destination.publish(message)
                if self.confirms is not None:
                    self._confirm(self.confirms, accepted)
                return
        self.place(message, destinations, bits, route.outlet)

    def refuse(self, bits: int, size: int) -> None:
        """Raise the AmqpError for a message beyond max_message_size. Only `immediate` is refused earlier."""
        if bits & IMMEDIATE:
            raise errors.not_implemented("immediate=true")
        raise errors.message_too_large(size, self.broker.config.max_message_size)

    def repeatable(self, properties: bytes, prefix: bytes, total: int, content: int, size: int) -> Repeat | None:
        """What to know of the publish just handled if the next one is like it; None if it needs a closer look."""
        route = self._last_route
        known = self.known.get(properties)
        if route is None or known is None or route.destinations is None or len(route.destinations) != 1:
            return None
        destination = route.destinations[0]
        if destination.instant:
            return None
        return Repeat(self, prefix, total, content, size, route.address, known, destination, route.outlet)

    def republish(self, repeat: Repeat, frames: bytes) -> bool:
        """`publish` for one like the last; False, and nothing done, if what was known then is no longer good.

        The caller counts it.
        """
        if (
            repeat.epoch != self.vhost.route_epoch
            or self.closed
            or self.content is not None
            or self.transaction is not None
        ):
            return False
        message = Message(repeat.address, None, None, repeat.size, frames, self.number)
        message.persistent = repeat.known > 255
        message.priority = repeat.known & 255
        accepted = repeat.destination.publish(message)
        if self.confirms is not None:
            self._confirm(self.confirms, accepted)
        return True

    def place(self, message: Message, destinations: tuple[Destination, ...], bits: int, outlet: Outlet) -> None:
        """Give a routed message to its queues, and answer for it."""
        outlet.other += 1
        outlet.other_out += len(destinations)
        accepted = not destinations or self.vhost.publish(message, destinations)
        confirms = self.confirms
        if confirms is not None and not _reach_no_queue(destinations):
            self._confirm(confirms, accepted)
            return
        if confirms is not None and self.awaiting_sync:
            self._write_frames(confirms.flush())
        if not destinations:
            if bits & MANDATORY:
                self.tally.returned += 1
                self.connection.write_content(returned(message, self.number), message, self.number)
            else:
                self.tally.dropped += 1
        if confirms is not None:
            self._write_frames(confirms.confirm_next())

    def _write_frames(self, frames: bytes) -> None:
        if frames:
            self.connection.write(frames)

    def _confirm(self, confirms: Confirms, accepted: bool) -> None:
        confirms.published += 1
        if not accepted:
            confirms.refuse()
        if not self.awaiting_sync:
            self._await_sync()

    def _forget_routes(self) -> None:
        self.routes.forget()
        self.repeat = self.framed = None
        self._last_route = None

    # --- acknowledge ------------------------------------------------------------------------------------------------

    def ack(self, tag: int, multiple: bool) -> None:
        """basic.ack. Raises AmqpError 406 for a tag that is not outstanding."""
        if multiple or self.transaction is not None:
            self._settle(self.take(tag, multiple), "ack")
            return
        entry = self.unacked.pop(tag, None)
        if entry is None:
            self.take(tag, False)
            return
        from_consumer = entry.consumer is not None
        was_full = self.global_prefetch != 0 and self._is_full()
        entry.queue.ack(entry)
        if from_consumer:
            self.settled += 1
        else:
            self.tally.got_acked += 1
        if was_full:
            divide(self)

    def nack(self, tag: int, multiple: bool, requeue: bool) -> None:
        """basic.nack. Raises AmqpError 406 for a tag that is not outstanding."""
        self._settle(self.take(tag, multiple), "requeue" if requeue else "reject")

    def reject(self, tag: int, requeue: bool) -> None:
        """basic.reject, which says that the message was the trouble. Raises AmqpError 406 for an unknown tag."""
        self._settle(self.take(tag, False), "fail" if requeue else "reject")

    def take(self, tag: int, multiple: bool) -> dict[int, Entry]:
        """Take entries out of what is outstanding; tag 0 with multiple means all (rabbit_channel:collect_acks)."""
        unacked = self.unacked
        if tag == 0 and multiple:
            self.unacked = {}
            self._settle_late(self.delivery_tag, True)
            return unacked
        if tag not in unacked and tag not in self._taken_back:
            raise errors.unknown_delivery_tag(tag)
        if self._taken_back:
            self._settle_late(tag, multiple)
            if not multiple and tag not in unacked:
                return {}
        if not multiple:
            return {tag: unacked.pop(tag)}
        taken = {}
        for number, entry in unacked.items():
            if number > tag:
                break
            taken[number] = entry
        for number in taken:
            del unacked[number]
        # A dict does not close the gap at its front until it is built anew, and is walked over it every time.
        self._removed += len(taken)
        if self._removed > 1024 + 2 * len(unacked):
            self.unacked = dict(unacked)
            self._removed = 0
        return taken

    def _settle(self, entries: dict[int, Entry], how: str) -> None:
        if self.transaction is not None:
            self.transaction.settle(entries, how)
        else:
            self.settle(entries, how)

    def settle(self, entries: dict[int, Entry], how: str) -> None:
        """Settle entries that `take` gave: `how` is ack, reject, requeue, or fail for a requeue after a failure."""
        from_consumers = sum([entry.consumer is not None for entry in entries.values()])
        # Consumers that the channel-wide prefetch stopped wait until everything is settled. Others can take at once.
        was_full = self._is_full()
        self.settled += from_consumers
        for queue, group in by_consumer(entries.values()):
            if how == "ack" and len(group) == 1:
                queue.ack(group[0])
            elif how == "ack":
                queue.ack_all(group)
            elif how == "reject":
                queue.reject(group)
            else:
                queue.requeue(group, failed=how == "fail")
        if how == "ack":
            self.tally.got_acked += len(entries) - from_consumers
        else:
            self.tally.given_back += from_consumers
        if was_full:
            divide(self)

    def recover(self) -> None:
        """Everything outstanding goes back to its queue."""
        self.settle(self.take(0, True), "requeue")

    def _is_full(self) -> bool:
        """Return whether the channel-wide prefetch is reached, so that no consumer can take another message."""
        limit = self.global_prefetch
        return limit != 0 and self.delivered - self.settled >= limit

    # --- consumers --------------------------------------------------------------------------------------------------

    def consumer_cancelled(self, consumer: ChannelConsumer) -> None:
        """The queue has dropped the consumer; the client is told if it said that it wants to know."""
        consumer.leave_lines()
        if self.consumers.pop(consumer.tag, None) is not None and self.connection.knows("consumer_cancel_notify"):
            self.send("basic.cancel", consumer_tag=consumer.tag, nowait=True)

    def close_reply(self) -> None:
        """Direct reply-to ends: what is still sent there is unroutable."""
        if self.reply is not None:
            self.broker.direct_replies.close(self.reply)
            self.vhost.route_epoch += 1
            self.reply = None

    def send_got(self, entry: Entry, no_ack: bool, left: int) -> None:
        """basic.get-ok for an entry that a queue gave; `left` messages stay ready there."""
        self.delivery_tag += 1
        if no_ack:
            self.tally.got_no_ack += 1
        else:
            self.tally.got += 1
            self.unacked[self.delivery_tag] = entry
            entry.delivered_ms = self.clock.turn_ms
            self.watch_timeouts(entry.queue, None)
        message = entry.message
        if entry.acquired_count:
            self.tally.redelivered += 1
            compat = self.broker.config.compat
            message = counted(message, entry.queue, entry.acquired_count, entry.delivery_count, compat)
        if self.broker.config.tells_sent_time:
            message = stamped(message, self.clock.wall_ms())
        for tap in self.vhost.taps:
            tap.delivered(self.vhost, message, entry.queue.name, entry.acquired_count > 0, self.via())
        head = get_ok(message, self.number, self.delivery_tag, entry.acquired_count > 0, left)
        self.connection.write_content(head, message, self.number)

    def limit_globally(self, prefetch: int) -> None:
        """basic.qos with global: one limit for all deliveries of the channel."""
        self.global_prefetch = prefetch
        divide(self)

    def watch_timeouts(self, queue: Queue, consumer: Consumer | None) -> None:
        """Start the acknowledgement timeout for deliveries of the queue to the consumer, or to basic.get."""
        if self._tick is not None and not self.broker.config.compat.quorum_consumer_timeout:
            return
        self._look_after(first_look_ms(self, queue, consumer))

    def _look_after(self, wait_ms: int | None) -> None:
        """Schedule a check of the timeouts in `wait_ms`, unless an earlier check is scheduled."""
        if wait_ms is None:
            return
        if self._tick is not None:
            if self._tick.due_ms <= self.clock.now_ms() + wait_ms:
                return
            self._tick.cancel()
        self._tick = self.clock.after(wait_ms, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        wait_ms = check_timeouts(self)
        if not self.closed:
            self._look_after(wait_ms)

    def take_back(self, tags: list[int], consumer: Consumer | None) -> None:
        """Requeue deliveries without the client. Pause their consumer until the client has settled all of them."""
        for tag in tags:
            self._taken_back[tag] = consumer
        if consumer is not None:
            consumer.pause()
        self.settle({tag: self.unacked.pop(tag) for tag in tags}, "requeue")

    def _settle_late(self, tag: int, multiple: bool) -> None:
        """Resume consumers whose deliveries were taken back, once the client has settled all of them."""
        late = [each for each in self._taken_back if each == tag or (multiple and each < tag)]
        consumers = {self._taken_back.pop(each): None for each in late}
        for consumer in consumers:
            if consumer is not None and consumer not in self._taken_back.values():
                consumer.resume()
                consumer.queue.offer(consumer)

    # --- end --------------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Take no more deliveries. On close, all channels of a connection stop before the first `release`.

        Never raises.
        """
        self.closed = True
        if self._tick is not None:
            self._tick.cancel()
        consumers = list(self.consumers.values())
        self.consumers.clear()
        self._left = list({consumer.queue: None for consumer in consumers})
        steps: list[Step] = [self.close_reply]
        steps += [partial(consumer.queue.remove_consumer, consumer, True) for consumer in consumers]
        steps += [consumer.leave_lines for consumer in consumers]
        steps.append(partial(self._tell_closed, len(consumers)))
        take_all(steps, self.name)

    def _tell_closed(self, consumers: int) -> None:
        self.broker.events.channel_closed(self, consumers)

    def release(self) -> None:
        """Requeue the outstanding deliveries, including those acknowledged in an open transaction. Never raises.

        If one queue cannot take its messages back because the disk fails, the other queues still get theirs.
        """
        self.broker.totals.churn.channel_closed += 1
        steps: list[Step] = [self._roll_back, self._give_back]
        steps += [partial(queue.offer_all, []) for queue in self._left]
        steps += [self.former.clear, self._forget_routes, self.tally.close_outlets]
        steps += [partial(totals.remove, self) for totals in (self.vhost.traffic, self.broker.totals.traffic)]
        take_all(steps, self.name)

    def _roll_back(self) -> None:
        transaction, self.transaction = self.transaction, None
        if transaction is not None:
            transaction.rollback()

    def _give_back(self) -> None:
        for queue, group in by_start(self.take(0, True).values()):
            take_all([partial(queue.reclaim, group)], f"{self.name}: giving back to queue {queue.name}")

    # --- what it tells of itself ------------------------------------------------------------------------------------

    def counters(self) -> tuple[int, ...]:
        tally, confirms = self.tally, self.confirms
        return (
            tally.published(),
            confirms.acked if confirms is not None else 0,
            tally.returned,
            tally.dropped,
            self.delivered,
            self.delivery_tag - self.delivered - tally.got - tally.got_no_ack,
            tally.got,
            tally.got_no_ack,
            tally.got_empty,
            tally.redelivered,
            self.settled - tally.given_back + tally.got_acked,
            confirms.published if confirms is not None else 0,
        )

    def message_stats(self) -> MessageStats:
        return message_stats(self.counter_names, self.counters())

    def info(self) -> ChannelInfo:
        connection, confirms, transaction, sample = self.connection, self.confirms, self.transaction, self.sample
        return ChannelInfo(
            name=self.name,
            number=self.number,
            connection=connection.peer.name,
            peer_host=connection.peer.host,
            peer_port=connection.peer.port,
            user=connection.user.name,
            user_who_performed_action=connection.user.name,
            vhost=self.vhost.name,
            state="flow" if connection.blocking.outrunning else "running",
            confirm=confirms is not None,
            transactional=transaction is not None,
            consumer_count=len(self.consumers),
            prefetch_count=self.prefetch,
            global_prefetch_count=self.global_prefetch,
            messages_unacknowledged=len(self.unacked),
            messages_unconfirmed=confirms.unconfirmed if confirms is not None else 0,
            messages_uncommitted=transaction.uncommitted if transaction is not None else 0,
            acks_uncommitted=transaction.acks_uncommitted if transaction is not None else 0,
            message_stats=self.message_stats(),
            idle_since=None if sample is None else sample.idle_since,
            counted=self,
        )

    def consumer_infos(self) -> list[ConsumerInfo]:
        return [consumer.queue.consumer_info(consumer) for consumer in self.consumers.values()]


def _reach_no_queue(destinations: tuple[Destination, ...]) -> bool:
    """Return whether none of the destinations is a queue (rabbit_channel:process_routing_confirm)."""
    for destination in destinations:  # noqa: SIM110 - runs for every message to several queues
        if not destination.instant:
            return False
    return True
