"""The listener interface for events: the creation, change or deletion of an object of the broker, and its user."""

from collections.abc import Mapping

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

#: Name of the user of operations that no user requested.
INTERNAL = "rmq-internal"


class Events:
    """A listener that ignores all events. A listener overrides the methods of the events that it needs.

    actor: the user whose request is being handled. An event's `actor` is the user who caused the event, if not that
    user. An event is emitted in the middle of an operation, so a listener may only record it: see Tap. It describes the
    object at once, because a deleted object may soon be empty. It never raises: an event that cannot be described does
    not undo the operation.
    """

    def __init__(self) -> None:
        self.actor: str = INTERNAL

    def act_as(self, actor: str) -> None:
        """Set the user whose request is handled from now on; INTERNAL if there is none."""
        self.actor = actor

    # --- clients ------------------------------------------------------------------------------------------------------

    def authentication_succeeded(self, user: str, mechanism: str, peer: PeerLike) -> None:
        """A client has logged in."""

    def authentication_failed(self, user: str, mechanism: str, peer: PeerLike) -> None:
        """The login of a client was refused."""

    def connection_created(self, connection: ConnectionLike) -> None:
        """A connection was opened."""

    def connection_closed(self, connection: ConnectionLike) -> None:
        """A connection was closed or lost."""

    def channel_created(self, channel: ChannelLike) -> None:
        """A channel was opened."""

    def channel_closed(self, channel: ChannelLike, consumer_count: int) -> None:
        """A channel was closed. consumer_count: number of consumers that it still had."""

    def consumer_created(self, consumer: ConsumerLike) -> None:
        """A queue has a new consumer."""

    def consumer_deleted(self, consumer: ConsumerLike) -> None:
        """A queue has lost a consumer."""

    # --- topology -----------------------------------------------------------------------------------------------------

    def vhost_created(self, vhost: VhostLike, traced: bool) -> None:
        """A vhost was created. traced: see Tracing."""

    def vhost_updated(self, vhost: VhostLike, traced: bool) -> None:
        """The description, tags or default queue type of a vhost were set."""

    def vhost_deleted(self, vhost: VhostLike) -> None:
        """A vhost was deleted, after its queues and exchanges."""

    def exchange_created(self, vhost: str, exchange: ExchangeLike) -> None:
        """An exchange was declared that did not exist."""

    def exchange_deleted(self, vhost: str, exchange: ExchangeLike, actor: str | None = None) -> None:
        """An exchange was deleted."""

    def queue_created(self, vhost: str, queue: QueueLike) -> None:
        """A queue was declared that did not exist."""

    def queue_deleted(self, vhost: str, queue: QueueLike) -> None:
        """A queue was deleted or has expired."""

    def group_stopped(self, vhost: str, queue: QueueLike, key: bytes, is_parked: bool) -> None:
        """A message group of a queue was parked or closed, because a message failed. key: see `group_key`."""

    def binding_created(self, vhost: str, binding: BindingLike) -> None:
        """A binding was requested, whether or not it existed."""

    def binding_deleted(self, vhost: str, binding: BindingLike, actor: str | None = None) -> None:
        """A binding was removed."""

    # --- administration -----------------------------------------------------------------------------------------------

    def user_created(self, user: UserLike) -> None:
        """A user was added."""

    def user_changed(self, user: UserLike, old: UserLike) -> None:
        """The password, tags or limits of a user were set. old: the user before."""

    def user_deleted(self, name: str) -> None:
        """A user was deleted, with all permissions."""

    def permission_created(self, user: str, vhost: str, configure: str, write: str, read: str) -> None:
        """The permissions of a user in a vhost were set."""

    def permission_deleted(self, user: str, vhost: str) -> None:
        """The permissions of a user in a vhost were cleared."""

    def topic_permission_created(self, user: str, vhost: str, exchange: str, write: str, read: str) -> None:
        """The permissions of a user for the routing keys of a topic exchange were set."""

    def topic_permission_deleted(self, user: str, vhost: str) -> None:
        """Permissions of a user for the routing keys of topic exchanges were cleared."""

    def policy_set(self, policy: PolicyLike) -> None:
        """A policy or an operator policy was set."""

    def policy_cleared(self, policy: PolicyLike) -> None:
        """A policy or an operator policy was cleared."""

    def vhost_limits_set(self, vhost: str, limits: Mapping[str, int]) -> None:
        """The limits of a vhost were set."""

    def vhost_limits_cleared(self, vhost: str) -> None:
        """The limits of a vhost were cleared."""

    def parameter_set(self, component: str, name: str, vhost: str | None = None, value: object = None) -> None:
        """A parameter was set that is no policy and no limit.

        vhost: None for a global parameter. value: None if it is not to be reported.
        """

    def parameter_cleared(self, component: str, name: str, vhost: str | None = None) -> None:
        """A parameter was cleared that is no policy and no limit. vhost: None for a global parameter."""

    def alarm_set(self, resource: str) -> None:
        """The alarm of a resource was set."""

    def alarm_cleared(self, resource: str) -> None:
        """The alarm of a resource was cleared."""


#: The listener of objects that are made without a broker.
UNHEARD = Events()
