"""The exchange amq.rabbitmq.event: events of the broker as messages (rabbit_exchange_type_event.erl)."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager, suppress
from typing import ParamSpec

from amqpbroker.broker.events.events import Events
from amqpbroker.broker.events.protocols import (
    BindingLike,
    ChannelLike,
    ConnectionLike,
    ConsumerLike,
    ExchangeLike,
    PeerLike,
    PolicyLike,
    QueueLike,
    UserLike,
    VhostLike,
)
from amqpbroker.broker.exchanges.exchange import Exchange
from amqpbroker.broker.exchanges.routing import route
from amqpbroker.broker.policies.limits import LIMITS, VHOST_LIMITS
from amqpbroker.broker.policies.policies import OPERATOR_POLICY
from amqpbroker.broker.system_exchanges import event_facts as facts
from amqpbroker.broker.system_exchanges.event_facts import Facts
from amqpbroker.broker.vhost import EVENT_EXCHANGE, Vhost
from amqpbroker.clock import Clock
from amqpbroker.message.message import Message, encode_address
from amqpbroker.wire.properties import encode_properties
from amqpbroker.wire.values import Field, MalformedError, Table, longstr

log = logging.getLogger(__name__)

P = ParamSpec("P")

#: The actor of an event for which RabbitMQ names no user.
NOBODY = ""

_PERSISTENT = 2


class EventExchange(Events):
    """Publishes events to the exchange of the vhost `vhost`, in the next event loop iteration, while it has bindings.

    node: name of this node. largest: number of bytes of properties that fit into one frame.
    """

    def __init__(self, vhosts: Mapping[str, Vhost], vhost: str, node: str, clock: Clock, largest: int) -> None:
        super().__init__()
        self._started = False
        self._vhosts = vhosts
        self._vhost = vhost
        self._node = node
        self._clock = clock
        self._largest = largest
        self._exchange: Exchange | None = None
        # The bindings of the exchange, empty until `start`. While it is empty, an event costs no more than this check.
        self._bindings: Sized = ()
        self._pending: list[Message] = []

    def start(self) -> None:
        """Publish events from now on. The restore of definitions is not an event."""
        self._started = True
        if self._exchange is not None:
            self._bindings = self._exchange.bindings

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Publish no events meanwhile."""
        self._started, self._bindings = False, ()
        try:
            yield
        finally:
            self.start()

    # --- clients ------------------------------------------------------------------------------------------------------

    def authentication_succeeded(self, user: str, mechanism: str, peer: PeerLike) -> None:
        self._emit("user.authentication.success", NOBODY, facts.authentication_succeeded, user, mechanism, peer)

    def authentication_failed(self, user: str, mechanism: str, peer: PeerLike) -> None:
        self._emit("user.authentication.failure", NOBODY, facts.authentication_failed, user, mechanism, peer)

    def connection_created(self, connection: ConnectionLike) -> None:
        self._emit("connection.created", connection.user.name, facts.connection_created, connection, self._node)

    def connection_closed(self, connection: ConnectionLike) -> None:
        self._emit("connection.closed", NOBODY, facts.connection_closed, connection, self._node)

    def channel_created(self, channel: ChannelLike) -> None:
        self._emit("channel.created", channel.connection.user.name, facts.channel_created, channel)

    def channel_closed(self, channel: ChannelLike, consumer_count: int) -> None:
        self._emit("channel.closed", channel.connection.user.name, facts.channel_closed, channel, consumer_count)

    def consumer_created(self, consumer: ConsumerLike) -> None:
        self._emit("consumer.created", None, facts.consumer_created, consumer)

    def consumer_deleted(self, consumer: ConsumerLike) -> None:
        self._emit("consumer.deleted", None, facts.consumer_deleted, consumer)

    # --- topology -----------------------------------------------------------------------------------------------------

    def vhost_created(self, vhost: VhostLike, traced: bool) -> None:
        self._emit("vhost.created", None, facts.vhost_facts, vhost, traced, self._node)

    def vhost_updated(self, vhost: VhostLike, traced: bool) -> None:
        self._emit("vhost.updated", None, facts.vhost_facts, vhost, traced, self._node)

    def vhost_deleted(self, vhost: VhostLike) -> None:
        self._emit("vhost.deleted", None, facts.plain, name=vhost.name)

    def exchange_created(self, vhost: str, exchange: ExchangeLike) -> None:
        if vhost == self._vhost and exchange.name == EVENT_EXCHANGE and isinstance(exchange, Exchange):
            self._exchange = exchange
            if self._started:
                self._bindings = exchange.bindings
        self._emit("exchange.created", None, facts.exchange_created, vhost, exchange)

    def exchange_deleted(self, vhost: str, exchange: ExchangeLike, actor: str | None = None) -> None:
        self._emit("exchange.deleted", actor, facts.exchange_deleted, vhost, exchange)

    def queue_created(self, vhost: str, queue: QueueLike) -> None:
        self._emit("queue.created", None, facts.queue_created, vhost, queue, self._node)

    def queue_deleted(self, vhost: str, queue: QueueLike) -> None:
        self._emit("queue.deleted", None, facts.queue_deleted, vhost, queue)

    def group_stopped(self, vhost: str, queue: QueueLike, key: bytes, is_parked: bool) -> None:
        name = "queue.group.parked" if is_parked else "queue.group.closed"
        self._emit(name, None, facts.group_stopped, vhost, queue, key)

    def binding_created(self, vhost: str, binding: BindingLike) -> None:
        self._emit("binding.created", None, facts.binding_facts, vhost, binding)

    def binding_deleted(self, vhost: str, binding: BindingLike, actor: str | None = None) -> None:
        self._emit("binding.deleted", actor, facts.binding_facts, vhost, binding)

    # --- administration -----------------------------------------------------------------------------------------------

    def user_created(self, user: UserLike) -> None:
        self._emit("user.created", None, facts.plain, name=user.name)
        self._emit_tags_and_limits(user, (), {})

    def user_changed(self, user: UserLike, old: UserLike) -> None:
        if user.password_hash != old.password_hash:
            change = "changed" if user.password_hash else "cleared"
            self._emit(f"user.password.{change}", None, facts.plain, name=user.name)
        self._emit_tags_and_limits(user, old.tags, old.limits)

    def _emit_tags_and_limits(self, user: UserLike, tags: tuple[str, ...], limits: Mapping[str, int]) -> None:
        """Emit events for tags and limits that have changed."""
        if user.tags != tags:
            self._emit("user.tags.set", None, facts.plain, name=user.name, tags=user.tags)
        if user.limits != limits and self._bindings:
            set_now = {name: value for name, value in user.limits.items() if limits.get(name) != value}
            self._emit(f"user.limits.{'set' if set_now else 'cleared'}", None, facts.user_limits, user, set_now)

    def user_deleted(self, name: str) -> None:
        self._emit("user.deleted", None, facts.plain, name=name)

    def permission_created(self, user: str, vhost: str, configure: str, write: str, read: str) -> None:
        make, event = facts.plain, "permission.created"
        self._emit(event, None, make, user=user, vhost=vhost, configure=configure, write=write, read=read)

    def permission_deleted(self, user: str, vhost: str) -> None:
        self._emit("permission.deleted", None, facts.plain, user=user, vhost=vhost)

    def topic_permission_created(self, user: str, vhost: str, exchange: str, write: str, read: str) -> None:
        make, event = facts.plain, "topic.permission.created"
        self._emit(event, None, make, user=user, vhost=vhost, exchange=exchange, write=write, read=read)

    def topic_permission_deleted(self, user: str, vhost: str) -> None:
        self._emit("topic.permission.deleted", None, facts.plain, user=user, vhost=vhost)

    def policy_set(self, policy: PolicyLike) -> None:
        if policy.operator:
            self.parameter_set(OPERATOR_POLICY, policy.name, policy.vhost, policy.value)
        self._emit("policy.set", None, facts.policy_set, policy)

    def policy_cleared(self, policy: PolicyLike) -> None:
        event = "policy.cleared"
        if policy.operator:
            event = "operator.policy.cleared"
            self.parameter_cleared(OPERATOR_POLICY, policy.name, policy.vhost)
        self._emit(event, None, facts.plain, name=policy.name, vhost=policy.vhost)

    def vhost_limits_set(self, vhost: str, limits: Mapping[str, int]) -> None:
        self.parameter_set(VHOST_LIMITS, LIMITS, vhost, limits)
        self._emit("vhost.limits.set", None, facts.vhost_limits, vhost, limits)

    def vhost_limits_cleared(self, vhost: str) -> None:
        self.parameter_cleared(VHOST_LIMITS, LIMITS, vhost)
        self._emit("vhost.limits.cleared", None, facts.vhost_limits, vhost, {})

    def parameter_set(self, component: str, name: str, vhost: str | None = None, value: object = None) -> None:
        self._emit("parameter.set", None, facts.parameter_facts, component, name, vhost, value)

    def parameter_cleared(self, component: str, name: str, vhost: str | None = None) -> None:
        self._emit("parameter.cleared", None, facts.parameter_facts, component, name, vhost)

    def alarm_set(self, resource: str) -> None:
        self._emit("alarm.set", NOBODY, facts.plain, node=self._node, source=resource)

    def alarm_cleared(self, resource: str) -> None:
        self._emit("alarm.cleared", NOBODY, facts.plain, node=self._node, source=resource)

    # --- publishing ---------------------------------------------------------------------------------------------------

    def _emit(
        self, event: str, actor: str | None, make: Callable[P, Facts], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Emit an event under its name in RabbitMQ, such as `queue.created`, if anything is bound to the exchange.

        actor: the user who caused the event, None for `self.actor`. make: returns RabbitMQ's properties of the event
        for the arguments.
        """
        if not self._bindings:
            return
        try:
            self._publish(event, make(*args, **kwargs), actor)
        except Exception:
            with suppress(Exception):
                log.exception("event %s could not be published", event)

    def _publish(self, event: str, found: Facts, actor: str | None) -> None:
        now_ms = self._clock.wall_ms()
        told = {**found, "timestamp_in_ms": now_ms}
        if actor != NOBODY:
            told["user_who_performed_action"] = actor or self.actor
        headers = {name: _field("" if told[name] is None else told[name]) for name in sorted(told)}
        properties = self._encoded(headers, now_ms // 1000)
        message = Message(encode_address(EVENT_EXCHANGE, event.encode()), properties, b"")
        message.headers = headers
        message.persistent = True
        if not self._pending:
            self._clock.after(0, self.publish_pending)
        self._pending.append(message)

    def _encoded(self, headers: Table, timestamp: int) -> bytes:
        """Encode the properties. If they do not fit into a frame, leave out headers that are tables or arrays."""
        values = {"headers": headers, "delivery_mode": _PERSISTENT, "timestamp": timestamp}
        try:
            encoded = encode_properties(values)
            if len(encoded) <= self._largest:
                return encoded
        except MalformedError:
            pass
        for name in [name for name, field in headers.items() if field.kind in "AF"]:
            del headers[name]
        return encode_properties(values)

    def publish_pending(self) -> None:
        """Publish the events of this event loop iteration. Only at the end of an operation."""
        pending, self._pending = self._pending, []
        for message in pending:
            exchange, vhost = self._exchange, self._vhosts.get(self._vhost)
            if exchange is not None and vhost is not None:
                vhost.publish(message, route(exchange, message, vhost.exchanges.get).destinations)


def _field(value: object) -> Field:
    """Return the value with the type that the plugin gives it: 64 bits for integers, a string for JSON's null."""
    if isinstance(value, bool):
        return Field("t", value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return Field("l", value)
    if isinstance(value, float):
        return Field("f", value)
    if isinstance(value, bytes):
        return longstr(value)
    if isinstance(value, Mapping):
        return Field("F", {name: _field(each) for name, each in value.items()})
    if isinstance(value, list | tuple):
        return Field("A", [_field(each) for each in value])
    return longstr("null" if value is None else str(value))
