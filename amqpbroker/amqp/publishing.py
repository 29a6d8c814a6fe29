"""The publishes of a channel: from the bytes of a message to its queues, with caches for the next publish."""

from typing import Final, final

from mypy_extensions import i64

from amqpbroker import errors
from amqpbroker.amqp.answers import Answers
from amqpbroker.amqp.channel_context import ChannelContext
from amqpbroker.amqp.content import Content
from amqpbroker.amqp.delivery import returned
from amqpbroker.amqp.renewal import RENEW_LOCK, Renewal
from amqpbroker.amqp.repeated_publish import Repeat
from amqpbroker.amqp.routes import Route, Routes
from amqpbroker.amqp.transaction import Transaction
from amqpbroker.broker.actions import check_topics, follow
from amqpbroker.broker.counters.stats import ExchangeCounters
from amqpbroker.broker.exchanges.deduplicated import reached
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.routing import route as route_message
from amqpbroker.broker.publishing.inspection import KNOWN, KNOWN_SIZE, inspect
from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.direct_reply import DirectReply
from amqpbroker.message.message import Message
from amqpbroker.message.pieces import Pieces

MANDATORY: Final = 1
IMMEDIATE: Final = 2


@final
class Publishing:
    """Publishes the messages of one channel.

    content: the message whose header or body is still to arrive. repeat: the expected next publish; framed: the same
    for a publish whose frames do not arrive together. reply: the reply-to name for replies to its requests.
    """

    def __init__(self, context: ChannelContext, answers: Answers) -> None:
        self.content: Content | None = None
        self.repeat: Repeat | None = None
        self.framed: Repeat | None = None
        self.reply: DirectReply | None = None
        self._context = context
        self._answers = answers
        self._vhost = context.vhost
        self._number: int = context.number
        self._intercept = context.broker.intercept
        #: If an interceptor changes every message, no properties are cached.
        self._known = KNOWN if self._intercept is None else {}
        # The latest properties found in `_known`, which never has properties as long as this placeholder, and their
        # parsed meaning.
        self._latest: bytes = b"none so far"
        self._latest_known: int = 0
        self.routes = Routes(context.vhost, context.client.permissions, context.counts)
        self._route_epoch: int = -1
        self._last_route: Route | None = None
        #: True if the last publish used the same route as the one before.
        self._again: bool = False
        #: Bytes of the last publish, if its body arrived in one frame.
        self._published: i64 = 0
        self._transaction: Transaction | None = None
        self._renewal: Renewal | None = None
        #: False once messages may not be passed to their queues directly any more.
        self._may_repeat: bool = True

    def publish(
        self, address: bytes, bits: int, properties: bytes, body: Pieces | None, size: int, frames: bytes | None
    ) -> None:
        """Route a complete message and pass it to the queues. Raises AmqpError, MalformedError.

        address: see Message. bits: mandatory, immediate. Pass either `body`, or content `frames` with a body of `size`
        bytes in one frame (in none if the body is empty).
        """
        if bits & IMMEDIATE:
            raise errors.not_implemented("immediate=true")
        vhost = self._vhost
        if self._route_epoch != vhost.route_epoch:
            self.routes.forget()
            self._context.counts.close_outlets()
            self._route_epoch = vhost.route_epoch
        routes = self.routes
        route = routes.find(address, properties, self.reply)
        self._again = routes.found and route is self._last_route
        self._last_route = route
        message = Message(route.address, properties if body is not None else None, body, size, frames, self._number)
        known: int | None = None
        marked = False
        if len(properties) <= KNOWN_SIZE:
            if properties == self._latest:
                known = self._latest_known
            else:
                known = self._known.get(properties)
                if known is not None:
                    self._latest, self._latest_known = properties, known
        if known is None:
            reply = self.reply
            marked = inspect(message, properties, self._context.client.user, None if reply is None else reply.shortstr)
            if self._intercept is not None:
                self._intercept(message)
        else:
            message.persistent = known > 255
            message.priority = known & 255
        destinations = route.destinations
        if destinations is None or message.extra_keys:
            if message.extra_keys:
                check_topics(self._context.client.permissions, route.exchange, message.extra_keys)
            destinations = route_message(route.exchange, message, vhost.exchanges.get).destinations
            duplicate_filter = route.exchange.duplicate_filter
            if duplicate_filter is not None:
                destinations = duplicate_filter.guard(route.exchange, message, destinations)
            if marked:
                marked = False
                destinations = follow(vhost, self._context.client.permissions, route.exchange, message, destinations)
            if vhost.taps:
                # A renewal is not a publish for taps.
                if not destinations and self._renews(route, properties):
                    return
                for tap in vhost.taps:
                    tap.published(vhost, message, reached(message, destinations), self._context.via())
        if marked:
            destinations = follow(vhost, self._context.client.permissions, route.exchange, message, destinations)
        if not destinations and self._renews(route, properties):
            return
        if self._transaction is not None:
            self._transaction.publish(message, destinations, bits, route.exchange)
            return
        if len(destinations) == 1:
            destination = destinations[0]
            if not destination.instant:
                route.outlet.count_single(1)
                accepted = destination.publish(message)
                if self._answers.confirms is not None:
                    self._answers.confirm(accepted)
                return
        self.place(message, destinations, bits, route.outlet)

    def place(
        self, message: Message, destinations: tuple[Destination, ...], bits: int, outlet: ExchangeCounters
    ) -> None:
        """Publish a routed message to its destinations, and confirm or return it."""
        outlet.count_other(len(destinations))
        accepted = not destinations or self._vhost.publish(message, destinations)
        answers = self._answers
        if answers.confirms is not None and not _reach_no_queue(destinations):
            answers.confirm(accepted)
            return
        answers.write_due_confirms()
        if not destinations:
            self._vhost.tracker.unroutable(message, self._context.client.permissions.user)
            if bits & MANDATORY:
                self._context.counts.count_returned()
                self._context.output.write_content(returned(message, self._number), message, self._number)
            else:
                self._context.counts.count_discarded()
        answers.confirm_unroutable()

    def _renews(self, route: Route, properties: bytes) -> bool:
        """Return whether a message is a renewal, and renew the lock that it names, also in a transaction.

        A message to RENEW_LOCK that names no outstanding delivery is no renewal: it is unroutable. Raises AmqpError 406
        for invalid headers.
        """
        if route.address != RENEW_LOCK or self._renewal is None or not self._renewal.request(properties):
            return False
        route.outlet.count_other(0)
        self._answers.write_due_confirms()
        self._answers.confirm_unroutable()
        return True

    def refuse(self, bits: int, size: int) -> None:
        """Raise the AmqpError for a message larger than max_message_size. Only `immediate` is refused earlier."""
        if bits & IMMEDIATE:
            raise errors.not_implemented("immediate=true")
        raise errors.message_too_large(size, self._context.broker.config.max_message_size)

    # --- messages whose frames do not arrive together
    # -------------------------------------------------------------------

    def begin_content(self, address: bytes, bits: int) -> None:
        """Wait for the header and the body of a basic.publish."""
        self.content = Content(address, bits)

    def end_content(self) -> None:
        """End a message whose frames have all arrived."""
        self.content = None

    # --- repeated publishes
    # ---------------------------------------------------------------------------------------------

    def is_again(self, size: i64) -> bool:
        """Return whether the publish just handled, of `size` bytes, had the size and the route of the one before."""
        again = self._again and size == self._published
        self._published = size
        return again

    def remember(self, properties: bytes, prefix: bytes, total: int, content: int, size: int) -> Repeat | None:
        """Expect a repetition of the publish just handled, and return its description; see Repeat."""
        self.repeat = self._repeatable(properties, prefix, total, content, size)
        return self.repeat

    def remember_framed(self, properties: bytes, header: bytes, total: int, size: int) -> None:
        """Expect a repetition of a publish whose frames do not arrive together. header: its header frame."""
        self.framed = self._repeatable(properties, header, total, len(header), size)

    def forget_repeats(self) -> None:
        """Parse the next publish completely."""
        self.repeat = self.framed = None

    def _repeatable(self, properties: bytes, prefix: bytes, total: int, content: int, size: int) -> Repeat | None:
        """Return the description of the publish just handled; None if a repetition of it still has to be parsed."""
        route = self._last_route
        known = self._known.get(properties)
        if route is None or known is None or route.destinations is None or len(route.destinations) != 1:
            return None
        destination = route.destinations[0]
        if destination.instant:
            return None
        epoch = self._vhost.route_epoch
        return Repeat(prefix, total, content, size, route.address, known, destination, route.outlet, epoch)

    def republish(self, repeat: Repeat, frames: bytes) -> bool:
        """Publish a repetition of the last publish. Return False, and do nothing, if its description is out of date.

        The caller counts the publish.
        """
        if repeat.epoch != self._vhost.route_epoch or self.content is not None or not self._may_repeat:
            return False
        message = Message(repeat.address, None, None, repeat.size, frames, self._number)
        message.persistent = repeat.known > 255
        message.priority = repeat.known & 255
        accepted = repeat.destination.publish(message)
        # The same as `Answers.confirm`, but without a call for each message.
        answers = self._answers
        confirms = answers.confirms
        if confirms is not None:
            confirms.number(accepted)
            if not answers.awaiting_sync:
                answers.await_sync()
        return True

    # --- modes and the end
    # ----------------------------------------------------------------------------------------------

    def begin_transaction(self, transaction: Transaction) -> None:
        """Pass publishes to the transaction from now on."""
        self._transaction = transaction
        self._may_repeat = False

    def accept_renewals(self, renewal: Renewal) -> None:
        """Renew locks for messages to RENEW_LOCK."""
        self._renewal = renewal

    def open_reply(self, consumer: Consumer) -> None:
        """Begin direct reply-to: deliver replies to the consumer."""
        self.reply = self._context.broker.direct_replies.open(consumer, self._context.output.is_flooded)

    def close_reply(self) -> None:
        """End direct reply-to: later replies are unroutable."""
        if self.reply is not None:
            self._context.broker.direct_replies.close(self.reply)
            self._vhost.routes_changed()
            self.reply = None

    def stop(self) -> None:
        """Stop publishing. Never raises."""
        self._may_repeat = False

    def forget_routes(self) -> None:
        """Clear all caches for the next publish, because the channel ends."""
        self.routes.forget()
        self.forget_repeats()
        self._last_route = None


def _reach_no_queue(destinations: tuple[Destination, ...]) -> bool:
    """Return whether none of the destinations is a queue (rabbit_channel:process_routing_confirm)."""
    for destination in destinations:  # noqa: SIM110 - runs for every message to several queues
        if not destination.instant:
            return False
    return True
