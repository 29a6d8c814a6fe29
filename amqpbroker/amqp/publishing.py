"""The publishes of a channel: from the bytes of a message to its queues, and what is remembered for the next one."""

from typing import Final, final

from mypy_extensions import i64

from amqpbroker import errors
from amqpbroker.amqp.answers import Answers
from amqpbroker.amqp.channel_context import ChannelContext
from amqpbroker.amqp.content import Content
from amqpbroker.amqp.delivery import returned
from amqpbroker.amqp.repeated_publish import Repeat
from amqpbroker.amqp.routes import Route, Routes
from amqpbroker.amqp.transaction import Transaction
from amqpbroker.broker.actions import check_topics
from amqpbroker.broker.counters.stats import Outlet
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

    content: message of which the header or body is still to come. repeat: what the next publish is likely to be;
    framed: the same for a publish whose frames do not come together. reply: name that replies to its requests come by.
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
        #: Where every message is changed, none is known by its properties.
        self._known = KNOWN if self._intercept is None else {}
        # The latest properties that were among `_known`, which has none as long as these, and what they mean.
        self._latest: bytes = b"none so far"
        self._latest_known: int = 0
        self.routes = Routes(context.vhost, context.client.permissions, context.counts)
        self._route_epoch: int = -1
        self._last_route: Route | None = None
        #: The last publish went by the same route as the one before.
        self._again: bool = False
        #: Octets of the last publish, if its body came in one frame.
        self._published: i64 = 0
        self._transaction: Transaction | None = None
        #: False once messages are not to go to their queues at once any more.
        self._may_repeat: bool = True

    def publish(
        self, address: bytes, bits: int, properties: bytes, body: Pieces | None, size: int, frames: bytes | None
    ) -> None:
        """Route a complete message and pass it to the queues. Raises AmqpError, MalformedError.

        address: see Message. bits: mandatory, immediate. Either `body` is given, or content `frames` with a body of
        `size` octets in one frame, or in none if it is empty.
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
        if len(properties) <= KNOWN_SIZE:
            if properties == self._latest:
                known = self._latest_known
            else:
                known = self._known.get(properties)
                if known is not None:
                    self._latest, self._latest_known = properties, known
        if known is None:
            reply = self.reply
            inspect(message, properties, self._context.client.user, None if reply is None else reply.shortstr)
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
            for tap in vhost.taps:
                tap.published(vhost, message, destinations, self._context.via())
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

    def place(self, message: Message, destinations: tuple[Destination, ...], bits: int, outlet: Outlet) -> None:
        """Publish a routed message to its destinations, and answer for it."""
        outlet.count_other(len(destinations))
        accepted = not destinations or self._vhost.publish(message, destinations)
        answers = self._answers
        if answers.confirms is not None and not _reach_no_queue(destinations):
            answers.confirm(accepted)
            return
        answers.write_due_confirms()
        if not destinations:
            if bits & MANDATORY:
                self._context.counts.count_returned()
                self._context.output.write_content(returned(message, self._number), message, self._number)
            else:
                self._context.counts.count_discarded()
        answers.confirm_unroutable()

    def refuse(self, bits: int, size: int) -> None:
        """Raise the AmqpError for a message beyond max_message_size. Only `immediate` is refused earlier."""
        if bits & IMMEDIATE:
            raise errors.not_implemented("immediate=true")
        raise errors.message_too_large(size, self._context.broker.config.max_message_size)

    # --- messages whose frames do not come together -----------------------------------------------------------------

    def begin_content(self, address: bytes, bits: int) -> None:
        """Await the header and the body of a basic.publish."""
        self.content = Content(address, bits)

    def end_content(self) -> None:
        """Everything of the message has come."""
        self.content = None

    # --- publishes like the one before ------------------------------------------------------------------------------

    def is_again(self, size: i64) -> bool:
        """Return whether the publish just handled, of `size` octets, went where the one before went, of that size."""
        again = self._again and size == self._published
        self._published = size
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
        """Return what is known of the publish just handled if the next one is like it; None if that is not enough."""
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
        """`publish` for one like the last; False, and nothing done, if what was known then is no longer good.

        The caller counts it.
        """
        if repeat.epoch != self._vhost.route_epoch or self.content is not None or not self._may_repeat:
            return False
        message = Message(repeat.address, None, None, repeat.size, frames, self._number)
        message.persistent = repeat.known > 255
        message.priority = repeat.known & 255
        accepted = repeat.destination.publish(message)
        # The same as `Answers.confirm`, without a call for each message.
        answers = self._answers
        confirms = answers.confirms
        if confirms is not None:
            confirms.number(accepted)
            if not answers.awaiting_sync:
                answers.await_sync()
        return True

    # --- modes and the end ------------------------------------------------------------------------------------------

    def begin_transaction(self, transaction: Transaction) -> None:
        """Leave what is published from now on to the transaction."""
        self._transaction = transaction
        self._may_repeat = False

    def open_reply(self, consumer: Consumer) -> None:
        """Direct reply-to begins: replies go to the consumer."""
        self.reply = self._context.broker.direct_replies.open(consumer, self._context.output.is_flooded)

    def close_reply(self) -> None:
        """Direct reply-to ends: what is still sent there is unroutable."""
        if self.reply is not None:
            self._context.broker.direct_replies.close(self.reply)
            self._vhost.routes_changed()
            self.reply = None

    def stop(self) -> None:
        """Publish nothing more. Never raises."""
        self._may_repeat = False

    def forget_routes(self) -> None:
        """Forget all that is remembered for the next publish: the channel ends."""
        self.routes.forget()
        self.forget_repeats()
        self._last_route = None


def _reach_no_queue(destinations: tuple[Destination, ...]) -> bool:
    """Return whether none of the destinations is a queue (rabbit_channel:process_routing_confirm)."""
    for destination in destinations:  # noqa: SIM110 - runs for every message to several queues
        if not destination.instant:
            return False
    return True
