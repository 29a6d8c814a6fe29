"""A channel: publishing, what is outstanding, consumers. The hot half of the protocol; `methods` has the rest."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, final

from mypy_extensions import i64

from amqpbroker import errors
from amqpbroker.amqp.channel_counters import ChannelCounters
from amqpbroker.amqp.client import Client
from amqpbroker.amqp.confirms import Confirms
from amqpbroker.amqp.consumer_timeout import first_look_ms, next_look_ms, oldest_is_overdue, overdue
from amqpbroker.amqp.content import Content
from amqpbroker.amqp.delivery import ChannelConsumer, get_ok, returned
from amqpbroker.amqp.output import AwaitingSync, Output
from amqpbroker.amqp.repeated_publish import Repeat
from amqpbroker.amqp.round_robin import Line
from amqpbroker.amqp.routes import Route, Routes
from amqpbroker.amqp.settling import by_consumer, by_start
from amqpbroker.amqp.steps import Step, take_all
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
from amqpbroker.broker.session import Session
from amqpbroker.clock import Timer
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message
from amqpbroker.message.pieces import Pieces
from amqpbroker.wire import methods
from amqpbroker.wire.frames import METHOD, frame

if TYPE_CHECKING:
    from amqpbroker.broker.broker import Broker

#: What it takes to hold an answer back, besides its octets.
HOLDING: Final = 128

MANDATORY: Final = 1
IMMEDIATE: Final = 2


@final
class Channel(AwaitingSync):
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

    def __init__(
        self,
        broker: "Broker",
        connection: Session,
        client: Client,
        output: Output,
        fail: Callable[[AmqpError, int, int], None],
        number: int,
    ) -> None:
        """fail: closes the channel; it takes the error, the channel's number, and the ids of a method, 0 for none."""
        super().__init__()
        self.sample: Sample | None = None
        self.connection = connection
        self.client = client
        self.output = output
        self.number: int = number
        self.broker = broker
        self.vhost = client.vhost
        self.clock = broker.clock
        self.permissions = client.permissions
        self._fail = fail
        self.intercept = self.broker.intercept
        #: Where every message is changed, none is known by its properties.
        self.known = KNOWN if self.intercept is None else {}
        self.content: Content | None = None
        self.counts = ChannelCounters()
        self.routes = Routes(self.vhost, self.permissions, self.counts)
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
        self.prefetch: int = 0
        self.global_prefetch: int = 0
        self.line = Line()
        self.consumers: dict[str, ChannelConsumer] = {}
        self.former: list[ChannelConsumer] = []
        self.confirms: Confirms | None = None
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
        return f"{self.client.name} ({self.number})"

    @property
    def outstanding(self) -> int:
        """How many deliveries to consumers wait for their acknowledgement."""
        return self.delivered - self.settled

    def actions(self) -> Actions:
        """What the user may do, here."""
        return Actions(self.vhost, self.permissions, self.connection)

    def via(self) -> Via:
        """What taps are told of it."""
        return Via(self.client.name, self.number, self.client.user.name)

    def send(self, name: str, **arguments: object) -> None:
        """Write one method, such as `send("queue.declare-ok", queue="q")`; behind what is held back, if anything is."""
        data = frame(METHOD, self.number, methods.encode(name, **arguments))
        if self._held:
            self._hold(self._held[-1][0], data)
        else:
            self.output.write(data)

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
            self.output.await_sync(self)

    def take_synced(self) -> bytes:
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
            self.counts.close_outlets()
            self.route_epoch = vhost.route_epoch
        routes = self.routes
        route = routes.find(address, properties, self.reply)
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
            reply = self.reply
            inspect(message, properties, self.client.user, None if reply is None else reply.shortstr)
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

    def begin_content(self, address: bytes, bits: int) -> None:
        """Take a basic.publish whose header and body are still to come."""
        self.content = Content(address, bits)

    def end_content(self) -> None:
        """Everything of the message has come."""
        self.content = None

    def is_again(self, size: i64) -> bool:
        """Return whether the publish just handled, of `size` octets, went where the one before went, of that size."""
        again = self.again and size == self.published
        self.published = size
        return again

    def remember(self, properties: bytes, prefix: bytes, total: int, content: int, size: int) -> Repeat | None:
        """Expect a publish like the one just handled, and return what is known of it; see Repeat."""
        self.repeat = self._repeatable(properties, prefix, total, content, size)
        return self.repeat

    def remember_framed(self, properties: bytes, header: bytes, total: int, size: int) -> None:
        """`remember` for a publish whose frames do not come together. header: its header frame."""
        self.framed = self._repeatable(properties, header, total, len(header), size)

    def forget_repeats(self) -> None:
        """Look closely at the next publish."""
        self.repeat = self.framed = None

    def _repeatable(self, properties: bytes, prefix: bytes, total: int, content: int, size: int) -> Repeat | None:
        """What to know of the publish just handled if the next one is like it; None if it needs a closer look."""
        route = self._last_route
        known = self.known.get(properties)
        if route is None or known is None or route.destinations is None or len(route.destinations) != 1:
            return None
        destination = route.destinations[0]
        if destination.instant:
            return None
        epoch = self.vhost.route_epoch
        return Repeat(prefix, total, content, size, route.address, known, destination, route.outlet, epoch)

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
        confirms = self.confirms
        if confirms is not None:
            confirms.number(accepted)
            if not self.awaiting_sync:
                self._await_sync()
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
                self.counts.count_returned()
                self.output.write_content(returned(message, self.number), message, self.number)
            else:
                self.counts.count_dropped()
        if confirms is not None:
            self._write_frames(confirms.confirm_next())

    def _write_frames(self, frames: bytes) -> None:
        if frames:
            self.output.write(frames)

    def _confirm(self, confirms: Confirms, accepted: bool) -> None:
        confirms.number(accepted)
        if not self.awaiting_sync:
            self._await_sync()

    def _forget_routes(self) -> None:
        self.routes.forget()
        self.forget_repeats()
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
            self.counts.count_got_acked(1)
        if was_full:
            self._divide()

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
            self.counts.count_got_acked(len(entries) - from_consumers)
        else:
            self.counts.count_given_back(from_consumers)
        if was_full:
            self._divide()

    def recover(self) -> None:
        """Everything outstanding goes back to its queue."""
        self.settle(self.take(0, True), "requeue")

    def _is_full(self) -> bool:
        """Return whether the channel-wide prefetch is reached, so that no consumer can take another message."""
        limit = self.global_prefetch
        return limit != 0 and self.delivered - self.settled >= limit

    # --- confirms and transactions ----------------------------------------------------------------------------------

    def select_confirms(self) -> None:
        """Confirm what is published from now on."""
        if self.confirms is None:
            self.confirms = Confirms(self.number, self.broker.store)

    def select_tx(self) -> None:
        """Begin a transaction: publishes and acknowledgements take effect with the commit."""
        if self.transaction is None:
            self.transaction = Transaction()

    def commit(self, transaction: Transaction) -> None:
        """Make everything take effect. Raises AmqpError 406, and has done nothing, if a queue would refuse its share.

        A commit runs within one call, on the loop's thread, and asks queues first whether they would refuse a part of
        it: unlike RabbitMQ's, it is all or nothing across queues.
        """
        publishes, settled = transaction.take()
        store = self.vhost.store
        store.begin()
        try:
            for message, destinations, bits, exchange in publishes:
                left = tuple([destination for destination in destinations if not destination.closed])
                self.place(message, left, bits, self.counts.outlet(exchange))
            for entries, how in settled:
                self.settle(dict(sorted(entries.items())), how)
        finally:
            store.end()

    def roll_back(self, transaction: Transaction) -> None:
        """Forget the publishes; what was acknowledged is outstanding again, under its old delivery tags."""
        back = transaction.rollback()
        back.update(self.unacked)
        self.unacked = dict(sorted(back.items()))

    def declared(self, queue: str) -> None:
        """Take the name of a queue, which methods without one mean from now on."""
        self.last_queue = queue

    # --- consumers --------------------------------------------------------------------------------------------------

    def consumer_cancelled(self, consumer: ChannelConsumer) -> None:
        """The queue has dropped the consumer; the client is told if it said that it wants to know."""
        consumer.leave_lines()
        if self.consumers.pop(consumer.tag, None) is not None and self.client.knows("consumer_cancel_notify"):
            self.send("basic.cancel", consumer_tag=consumer.tag, nowait=True)

    def close_reply(self) -> None:
        """Direct reply-to ends: what is still sent there is unroutable."""
        if self.reply is not None:
            self.broker.direct_replies.close(self.reply)
            self.vhost.route_epoch += 1
            self.reply = None

    def open_reply(self, consumer: ChannelConsumer) -> None:
        """Direct reply-to begins: replies go to the consumer."""
        self.reply = self.broker.direct_replies.open(consumer, self.output.is_flooded)

    def cancel(self, tag: str) -> ChannelConsumer | None:
        """Take the consumer with this tag off its queue, and return it; None if there is none."""
        consumer = self.consumers.pop(tag, None)
        if consumer is not None:
            consumer.queue.remove_consumer(consumer)
            consumer.leave_lines()
        return consumer

    def keep_former(self, former: list[ChannelConsumer]) -> None:
        """Know these cancelled consumers, which hold messages."""
        self.former = former

    def next_tag(self) -> int:
        """Return the delivery tag of the delivery that is being made."""
        tag = self.delivery_tag + 1
        self.delivery_tag = tag
        return tag

    def hold(self, entry: Entry) -> int:
        """Keep the entry that is being delivered until it is settled; returns the delivery tag."""
        self.delivered += 1
        tag = self.delivery_tag + 1
        self.delivery_tag = tag
        self.unacked[tag] = entry
        return tag

    def send_got(self, entry: Entry, no_ack: bool, left: int) -> None:
        """basic.get-ok for an entry that a queue gave; `left` messages stay ready there."""
        tag = self.next_tag()
        self.counts.count_got(no_ack)
        if not no_ack:
            self.unacked[tag] = entry
            self.watch_timeouts(entry.queue, None)
        message = entry.message
        if entry.acquired_count:
            self.counts.count_redelivered()
            compat = self.broker.config.compat
            message = counted(message, entry.queue, entry.acquired_count, entry.delivery_count, compat)
        if self.broker.config.tells_sent_time:
            message = stamped(message, self.clock.wall_ms())
        for tap in self.vhost.taps:
            tap.delivered(self.vhost, message, entry.queue.name, entry.acquired_count > 0, self.via())
        head = get_ok(message, self.number, tag, entry.acquired_count > 0, left)
        self.output.write_content(head, message, self.number)

    def limit_consumers(self, prefetch: int) -> None:
        """basic.qos: a limit for each consumer that is started from now on."""
        self.prefetch = prefetch

    def limit_globally(self, prefetch: int) -> None:
        """basic.qos with global: one limit for all deliveries of the channel."""
        self.global_prefetch = prefetch
        self._divide()

    def _divide(self) -> None:
        """Divide the deliveries that the channel-wide prefetch allows among the queues that it stopped.

        Each queue may deliver an equal part. If a queue has too few messages for its part, the rest is divided among
        the other queues. In RabbitMQ all queues ask for each delivery at the same time (rabbit_limiter:can_send/3).
        """
        line, limit = self.line, self.global_prefetch
        while len(line) and (not limit or self.outstanding < limit):
            waiting = len(line)
            part = max((limit - self.outstanding) // waiting, 1)
            # A queue that is stopped by its part joins again, and is served once more if the others leave something.
            for _ in range(waiting):
                if limit:
                    self.global_prefetch = min(self.outstanding + part, limit)
                line.feed()
                if not len(line) or (limit and self.outstanding >= limit):
                    break
            self.global_prefetch = limit

    def watch_timeouts(self, queue: Queue, consumer: Consumer | None) -> None:
        """Start the acknowledgement timeout for deliveries of the queue to the consumer, or to basic.get."""
        if self._tick is not None and not self.broker.config.compat.queues_have_timeouts:
            return
        self._look_after(first_look_ms(self.broker.config, queue, consumer))

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
        config = self.broker.config
        if config.compat.queues_have_timeouts:
            self._take_back_overdue()
        else:
            timeout_ms = oldest_is_overdue(config, self.clock.now_ms(), self.unacked)
            if timeout_ms:
                self._fail(errors.delivery_timed_out(self.number, timeout_ms), self.number, 0)
        if not self.closed:
            now_ms = self.clock.now_ms()
            self._look_after(next_look_ms(config, now_ms, self.unacked.values(), self.consumers.values()))

    def _take_back_overdue(self) -> None:
        """Requeue overdue deliveries and notify consumers by basic.cancel; close if a delivery has no consumer.

        A client without the capability consumer_cancel_notify cannot be notified, so its channel closes too.
        """
        is_told = True
        for consumer, tags in overdue(self.broker.config, self.clock.now_ms(), self.unacked).items():
            if consumer is None or consumer.tag not in self.consumers:
                is_told = False
            elif self.client.knows("consumer_cancel_notify"):
                self.send("basic.cancel", consumer_tag=consumer.tag, nowait=True)
            else:
                is_told = False
            self.take_back(tags, consumer)
        if not is_told:
            self._fail(errors.delivery_timed_out(self.number, -1), self.number, 0)

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
        steps += [self.former.clear, self._forget_routes, self.counts.close_outlets]
        steps += [partial(totals.remove, self) for totals in (self.vhost.traffic, self.broker.totals.traffic)]
        take_all(steps, self.name)

    def _roll_back(self) -> None:
        transaction, self.transaction = self.transaction, None
        if transaction is not None:
            self.roll_back(transaction)

    def _give_back(self) -> None:
        for queue, group in by_start(self.take(0, True).values()):
            take_all([partial(queue.reclaim, group)], f"{self.name}: giving back to queue {queue.name}")

    # --- what it tells of itself ------------------------------------------------------------------------------------

    def counters(self) -> tuple[int, ...]:
        counts, confirms = self.counts, self.confirms
        return (
            counts.published(),
            confirms.acked if confirms is not None else 0,
            counts.returned,
            counts.dropped,
            self.delivered,
            self.delivery_tag - self.delivered - counts.got - counts.got_no_ack,
            counts.got,
            counts.got_no_ack,
            counts.got_empty,
            counts.redelivered,
            self.settled - counts.given_back + counts.got_acked,
            confirms.published if confirms is not None else 0,
        )

    def message_stats(self) -> MessageStats:
        return message_stats(self.counter_names, self.counters())

    def info(self) -> ChannelInfo:
        client, confirms, transaction, sample = self.client, self.confirms, self.transaction, self.sample
        return ChannelInfo(
            name=self.name,
            number=self.number,
            connection=client.name,
            peer_host=client.peer.host,
            peer_port=client.peer.port,
            user=client.user.name,
            user_who_performed_action=client.user.name,
            vhost=self.vhost.name,
            state="flow" if self.output.status.state.outrun else "running",
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
