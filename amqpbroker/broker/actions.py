"""Operations of a user on a vhost, with permission checks. AMQP and the HTTP API share them."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import final

from amqpbroker import errors
from amqpbroker.broker.batches.request import MEMBER, member_key
from amqpbroker.broker.broker import generated_name
from amqpbroker.broker.events.tap import over_http
from amqpbroker.broker.exchanges.deduplicated import reached
from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.exchange import Bindable, Exchange, alternate_exchange
from amqpbroker.broker.exchanges.registry import known_exchange_types, unknown_exchange_type
from amqpbroker.broker.exchanges.routing import route
from amqpbroker.broker.exchanges.tracked_destination import TrackedDestination
from amqpbroker.broker.jobs.replies import JobReplies
from amqpbroker.broker.jobs.request import mark, request_reply
from amqpbroker.broker.publishing.inspection import inspect
from amqpbroker.broker.queues.arguments.arguments import DEAD_LETTER_EXCHANGE, UPDATE
from amqpbroker.broker.queues.direct_reply import is_reserved_for_replies
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.group import Group
from amqpbroker.broker.queues.groups.letters import LetterHeldError, letter_queues
from amqpbroker.broker.queues.groups.queue import GroupQueue
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.tracking.transaction_preview import TransactionPreview
from amqpbroker.broker.users.permissions import Kind, Permissions
from amqpbroker.broker.users.users import User
from amqpbroker.broker.vhost import Vhost
from amqpbroker.message.message import Message
from amqpbroker.wire.headers import with_headers
from amqpbroker.wire.values import Field, Table, text


@final
class Actions:
    """Operations of one user in one vhost. session: the connection that owns exclusive queues; None if there is none.

    Every method raises AmqpError: 403 if a permission is missing, and the errors of `Vhost`.
    """

    __slots__ = ("permissions", "session", "vhost")

    def __init__(self, vhost: Vhost, permissions: Permissions, session: object | None = None) -> None:
        self.vhost = vhost
        self.permissions = permissions
        self.session = session

    # --- queues -------------------------------------------------------------------------------------------------------

    def declare_queue(self, name: str, durable: bool, exclusive: bool, auto_delete: bool, arguments: Table) -> Queue:
        """Declare a queue. An empty name stands for a new, unique name."""
        vhost = self.vhost
        name = without_line_breaks(name)
        server_named = not name
        if server_named:
            name = generated_name("amq.gen-")
        elif is_reserved_for_replies(name):
            raise errors.no_queue(name, vhost.name)
        elif name.startswith("amq."):
            raise errors.reserved_queue_name(name)
        self.permissions.check("configure", "queue", name)
        dead_letter_exchange = arguments.get(DEAD_LETTER_EXCHANGE)
        if dead_letter_exchange is not None and dead_letter_exchange.kind == "S" and self._directs(name, arguments):
            self.permissions.check("read", "queue", name)
            self.permissions.check("write", "exchange", text(dead_letter_exchange.value))
        return vhost.declare_queue(name, durable, exclusive, auto_delete, arguments, self.session, server_named)

    def _directs(self, name: str, arguments: Table) -> bool:
        """Return whether a declaration may give a queue a dead letter exchange that it does not have."""
        queue = self.vhost.queues.get(name)
        if queue is None:
            return True
        new, old = (each.get(DEAD_LETTER_EXCHANGE) for each in (arguments, queue.arguments))
        return self.vhost.redeclaration_mode(name) == UPDATE and new != old

    def check_passive(self, kind: Kind, name: str) -> None:
        """Raise AmqpError 403 if passive declarations require a permission and the user has none of the three."""
        if self.vhost.config.compat.passive_is_checked:
            self.permissions.check_any(kind, name)

    def delete_queue(
        self, name: str, if_unused: bool, if_empty: bool, answer: Callable[[int], None] | None = None
    ) -> None:
        """Delete a queue. answer: as in `Vhost.delete_queue`; if the queue does not exist, it is called with 0."""
        name = without_line_breaks(name)
        vhost = self.vhost
        self.permissions.check("configure", "queue", name)
        if name not in vhost.queues:
            if answer is not None:
                answer(0)
            return
        queue = vhost.queue(name, self.session)
        if (if_unused or if_empty) and not queue.kind.conditional_delete:
            raise errors.conditional_delete_refused(name, vhost.name, queue.kind.name, if_unused)
        vhost.delete_queue(queue, if_unused, if_empty, answer)

    def purge_queue(self, name: str) -> int:
        """Purge a queue. Return the number of ready messages that it had."""
        return self.readable_queue(name).purge()

    def resume_group(
        self,
        queue: GroupQueue,
        group: Group,
        discards: bool,
        held: Callable[[Queue], Iterable[Entry]],
        forced: bool = False,
    ) -> int:
        """Redrive a stopped group of a queue, or `discards` its first message before. See `GroupQueue.redrive_group`.

        held(queue): returns the messages of a queue that clients hold. forced: also if letters are missing.

        Requires permission to read the queue and its dead letter queues, and to write to the queue. Raises
        GroupRedriveRunsError, and LetterHeldError if a dead letter of the group would come back behind the others,
        because a client holds it, or it is delayed.
        """
        vhost, permissions = self.vhost, self.permissions
        permissions.check("read", "queue", queue.name)
        permissions.check("write", "queue", queue.name)
        found = letter_queues(queue, queue.line.groups.letters.queues(), vhost.queues)
        for each in found:
            permissions.check("read", "queue", each.name)
            if any(queue.is_letter_of(group, entry.message) for entry in held(each)):
                raise LetterHeldError(
                    f"a consumer of queue '{each.name}' holds a message of this group: let it return the message first"
                )
            if any(queue.is_letter_of(group, entry.message) for _, entry in each.delayed_entries()):
                raise LetterHeldError(f"a message of this group is delayed in queue '{each.name}': wait for it")
        operation = queue.discard_first if discards else queue.redrive_group
        return operation(group, found, held, forced)

    def readable_queue(self, name: str) -> Queue:
        """Return a queue that the user may consume from."""
        self.permissions.check("read", "queue", name)
        return self.vhost.queue(name, self.session)

    def queue_to_get_from(self, name: str) -> Queue:
        """Return a queue that the user may use basic.get on."""
        queue = self.readable_queue(name)
        if queue.settings.single_active_consumer and not queue.kind.get_beside_single_active:
            raise errors.get_on_single_active(name, self.vhost.name, queue.kind.name)
        return queue

    def writable_queue(self, name: str) -> Queue:
        """Return a queue that the user may publish to without an exchange."""
        self.permissions.check("write", "queue", name)
        return self.vhost.queue(name, self.session)

    # --- exchanges ----------------------------------------------------------------------------------------------------

    def declare_exchange(
        self, name: str, kind: str, durable: bool, auto_delete: bool, internal: bool, arguments: Table
    ) -> Exchange:
        name = without_line_breaks(name)
        vhost = self.vhost
        if kind not in known_exchange_types(vhost.config.compat):
            raise unknown_exchange_type(kind)
        if name == "":
            raise errors.default_exchange_refused()
        self.permissions.check("configure", "exchange", name)
        alternate = alternate_exchange(name, vhost.name, arguments) if name not in vhost.exchanges else None
        if alternate is not None:
            self.permissions.check("read", "exchange", name)
            self.permissions.check("write", "exchange", alternate)
        return vhost.declare_exchange(name, kind, durable, auto_delete, internal, arguments)

    def delete_exchange(self, name: str, if_unused: bool) -> None:
        name = without_line_breaks(name)
        if name == "":
            raise errors.default_exchange_refused()
        if name.startswith("amq."):
            raise errors.system_exchange_deletion_refused(name, self.vhost.name)
        self.permissions.check("configure", "exchange", name)
        self.vhost.delete_exchange(name, if_unused)

    # --- bindings -----------------------------------------------------------------------------------------------------

    def bind(self, source: str, destination: str, to_queue: bool, routing_key: str, arguments: Table) -> None:
        """Bind a queue or exchange. Raises an error if the source or the destination does not exist."""
        source, destination = without_line_breaks(source), without_line_breaks(destination)
        self._check_binding(source, destination, to_queue)
        known = self.vhost.exchanges.get(source)
        if to_queue and known is not None and destination in self.vhost.queues:
            # RabbitMQ checks the arguments before the owner of the queue (rabbit_binding:add/4).
            key = routing_key.encode("utf-8", "surrogateescape")
            known.type.validate_binding(key, arguments, self.vhost.config.compat)
        exchange, target, key = self._ends(source, destination, to_queue, routing_key)
        self.vhost.bind(exchange, target, key, arguments)

    def unbind(self, source: str, destination: str, to_queue: bool, routing_key: str, arguments: Table) -> None:
        """Remove a binding. Does nothing if the binding does not exist."""
        source, destination = without_line_breaks(source), without_line_breaks(destination)
        self._check_binding(source, destination, to_queue)
        vhost = self.vhost
        key = routing_key.encode("utf-8", "surrogateescape")
        exchange = vhost.exchanges.get(source)
        target: Bindable | None = vhost.queues.get(destination) if to_queue else vhost.exchanges.get(destination)
        if exchange is None or target is None or not vhost.is_bound(exchange, target, key, arguments):
            return
        exchange, target, key = self._ends(source, destination, to_queue, routing_key)
        vhost.unbind(exchange, target, key, arguments)

    def _check_binding(self, source: str, destination: str, to_queue: bool) -> None:
        self.permissions.check("write", "queue" if to_queue else "exchange", destination)
        if source == "" or (destination == "" and not to_queue):
            raise errors.default_exchange_refused()
        self.permissions.check("read", "exchange", source)

    def _ends(
        self, source: str, destination: str, to_queue: bool, routing_key: str
    ) -> tuple[Exchange, Bindable, bytes]:
        vhost = self.vhost
        exchange = vhost.exchange(source)
        if exchange.type.name == "topic":
            self.permissions.check_topic("read", source, routing_key)
        target = vhost.queue(destination, self.session) if to_queue else vhost.exchange(destination)
        return exchange, target, routing_key.encode("utf-8", "surrogateescape")

    # --- messages -----------------------------------------------------------------------------------------------------

    def publish(self, message: Message, user: User) -> tuple[bool, bool]:
        """Publish as `user`, without a channel.

        Return whether the message was routed, and whether all queues accepted it.
        """
        vhost = self.vhost
        limit = vhost.config.max_message_size
        if message.size > limit:
            raise errors.message_too_large(message.size, limit)
        exchange = exchange_to_publish_to(vhost, self.permissions, message.exchange, ())
        marked = inspect(message, message.properties, user, None)
        check_topics(self.permissions, exchange, message.routing_keys)
        destinations = route(exchange, message, vhost.exchanges.get).destinations
        if exchange.duplicate_filter is not None:
            destinations = exchange.duplicate_filter.guard(exchange, message, destinations)
        routed = bool(destinations)
        if marked:
            destinations = follow(vhost, self.permissions, exchange, message, destinations)
        for tap in vhost.taps:
            tap.published(vhost, message, reached(message, destinations), over_http(user.name))
        exchange.count_published(len(destinations))
        if not routed:
            vhost.tracker.unroutable(message, user.name)
        accepted = vhost.publish(message, destinations)
        vhost.count(publish=1, received_confirm=1, confirm=int(accepted), return_unroutable=int(not routed))
        return routed, accepted


def follow(
    vhost: Vhost,
    permissions: Permissions,
    exchange: Exchange,
    message: Message,
    destinations: tuple[Destination, ...],
) -> tuple[Destination, ...]:
    """Return the destinations of a routed message that may have to be followed: if so, one that counts it.

    Raises AmqpError 406 if its headers are invalid, and 403 or 404 if the user may not publish to the target that they
    name, since a message is going to be sent there because of this message.
    """
    if destinations and all(isinstance(each, JobReplies) for each in destinations):
        # A worker may reply with the properties of the message that it has received.
        return destinations
    destinations = _follow_member(vhost, permissions, exchange, message, destinations)
    jobs = vhost.jobs
    ends = sum([len(destination.ends()) for destination in destinations])
    request = None if jobs is None else jobs.request(message, permissions.user, ends)
    if jobs is None or request is None:
        return destinations
    mark(message, request)
    if not destinations:
        return destinations
    request_reply(message, request)
    return (TrackedDestination(exchange, destinations, partial(jobs.publish, request)),)


def check_followed(vhost: Vhost, permissions: Permissions, messages: list[TransactionPreview]) -> None:
    """Check messages that were routed by `follow`, and are published together now.

    Raises AmqpError 406 if they contradict each other, or exceed a limit together, and 403 or 404 if the user may not
    publish to a target that they have now.
    """
    if vhost.batches is not None:
        for name, key in vhost.batches.check_all(messages, permissions.user):
            exchange_to_publish_to(vhost, permissions, name, (key,))
    if vhost.jobs is not None:
        vhost.jobs.check_all(messages, permissions.user)


def _follow_member(
    vhost: Vhost,
    permissions: Permissions,
    exchange: Exchange,
    message: Message,
    destinations: tuple[Destination, ...],
) -> tuple[Destination, ...]:
    batches = vhost.batches
    request = None if batches is None else batches.request(message, permissions.user)
    if batches is None or request is None:
        return destinations
    for name, key in batches.targets(request):
        exchange_to_publish_to(vhost, permissions, name, (key,))
    if member_key(message) is None:
        # Without an id, the copies of the message would not be recognised as those of one member.
        message.replace_properties(with_headers(message.properties, {MEMBER: Field("l", batches.next_number())}))
        message.undecoded = True
    return (TrackedDestination(exchange, destinations, partial(batches.publish, request)),) if destinations else ()


def exchange_to_publish_to(
    vhost: Vhost, permissions: Permissions, name: str, routing_keys: Iterable[bytes]
) -> Exchange:
    """Return the exchange if the user may publish to it with these keys. Raises AmqpError 403 or 404."""
    permissions.check("write", "exchange", name)
    exchange = vhost.exchange(name)
    if exchange.internal:
        raise errors.internal_exchange_publish_refused(name, vhost.name)
    check_topics(permissions, exchange, routing_keys)
    return exchange


def check_topics(permissions: Permissions, exchange: Exchange, routing_keys: Iterable[bytes]) -> None:
    """Check topic permissions. Raises AmqpError 403 if the user may not use all of these keys on a topic exchange."""
    if exchange.type.name == "topic":
        for key in routing_keys:
            permissions.check_topic("write", exchange.name, text(key))


def without_line_breaks(name: str) -> str:
    """Return a name of a queue or exchange without CR and LF (rabbit_channel:strip_cr_lf)."""
    return name.replace("\n", "").replace("\r", "")
