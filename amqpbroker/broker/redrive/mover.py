"""Moves single dead letters to their destinations."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from amqpbroker.broker.exchanges.destination import Destination
from amqpbroker.broker.exchanges.routing import route
from amqpbroker.broker.queues.dead_letters.original_message import Death, absolved, last_death, revived
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.key import key_type, shown_key
from amqpbroker.broker.queues.groups.letters import LETTER_REASONS, letter_key
from amqpbroker.broker.queues.groups.stopped_group import CLOSED as CLOSED_GROUP
from amqpbroker.broker.queues.groups.stopped_group import PARKED as PARKED_GROUP
from amqpbroker.broker.queues.lines.ready_line import Placed
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.redrive.options import VIA_EXCHANGE, RedriveOptions
from amqpbroker.broker.users.permissions import Permissions
from amqpbroker.errors import AmqpError
from amqpbroker.message.message import Message
from amqpbroker.wire.values import text

if TYPE_CHECKING:
    from amqpbroker.broker.queues.host import Host

# Outcomes of a visit to a message.
MOVED: Final = "moved"
SKIPPED: Final = "skipped"
#: The message cannot be moved.
STAYS: Final = "stays"
#: The message is no longer ready.
GONE: Final = "gone"


class StaysError(Exception):
    """A message cannot be moved; the text says why."""


class NotPermittedError(Exception):
    """The user who started a redrive may no longer read from its queue; the text says why."""


@final
class Mover:
    """Moves the messages of one queue for one redrive. size: bytes of the bodies of the messages it has visited."""

    def __init__(
        self, vhost: "Host", source: Queue, options: RedriveOptions, permissions: Callable[[], Permissions | None]
    ) -> None:
        """permissions(): returns those of the user in this vhost, None if it has none now."""
        self.size = 0
        self._vhost = vhost
        self._source = source
        self._options = options
        self._ask: Callable[[], Permissions | None] = permissions
        self._permissions: Permissions | None = None

    @property
    def is_busy(self) -> bool:
        """Return whether the store has so much to write that nothing should be moved now."""
        return self._vhost.store.waiting_bytes > self._vhost.config.bounds.unwritten_bytes // 2

    def check(self) -> None:
        """Look up the permissions of the user. Raises NotPermittedError."""
        self._permissions = self._ask()
        if self._permissions is None:
            raise NotPermittedError(
                f"the user who started it has no permissions in vhost '{self._vhost.name}' any more"
            )
        try:
            self._permissions.check("read", "queue", self._source.name)
        except AmqpError as error:
            raise NotPermittedError(error.text) from None

    def following(self, place: int, count: int) -> list[Placed]:
        """Return up to `count` messages behind a place; see `ReadyLine.following`. Raises UnreadableError."""
        return self._source.ready_following(place, count)

    def visit(self, entry: Entry) -> str:
        """Move a message that `following` returned, if it is to be moved. Return the outcome.

        Call `check` before, and the method within `Host.dead_letters`. Raises StaysError if the message cannot be
        moved, UnreadableError if it temporarily cannot be read.
        """
        source, options = self._source, self._options
        message = entry.message
        self.size += message.size
        if not options.filter.names(entry.sequence, message):
            return SKIPPED
        death = last_death(message)
        if not options.filter.accepts(message, death) or not self._is_of_group(message, death):
            return SKIPPED
        self._check_source(message, death)
        if death is not None:
            message = revived(message, death, options.keep_history, options.restore_expiration)
            if options.keep_history and self._vhost.tracker.follows(message):
                message = absolved(message)
        return MOVED if source.move_ready(entry, message, self._accepting(message, death)) else GONE

    def _check_source(self, message: Message, death: Death | None) -> None:
        """Raise StaysError if a message waits for others of its message group in the queue.

        Dead letters of other queues wait only in a closed group: the queue keeps them, and nobody processes them there.
        """
        source = self._source
        state = source.group_holding(message)
        if not state or (state != CLOSED_GROUP and death is not None and death.queue != source.name):
            return
        if state in (CLOSED_GROUP, PARKED_GROUP):
            raise StaysError(f"a message group of queue '{source.name}' is {state}: redrive the group")
        raise StaysError(
            f"an earlier message of a group of queue '{source.name}' is delivered or delayed: start another redrive "
            "when it is settled"
        )

    def _is_of_group(self, message: Message, death: Death | None) -> bool:
        """Return whether the filter accepts the message group that a message had in the queue in which it died."""
        wanted, wanted_type = self._options.filter.group, self._options.filter.group_key_type
        if wanted is None:
            return True
        queue = None if death is None else self._vhost.queues.get(death.queue)
        groups = None if queue is None else queue.settings.groups
        key = None if groups is None else letter_key(message, groups.header)
        return key is not None and shown_key(key) == wanted and wanted_type in (None, key_type(key))

    def _accepting(self, message: Message, death: Death | None) -> tuple[Destination, ...]:
        """Return the destinations of a message, all of which accept it now. Raises StaysError."""
        left = self._vhost.queues.get(death.queue) if death is not None and death.reason in LETTER_REASONS else None
        if left is not None:
            _check_group(left, message)
        try:
            destinations = self._destinations(message, death)
        except AmqpError as error:
            raise StaysError(error.text) from None
        for destination in destinations:
            if destination.closed or destination.refuses(*destination.demand(message)):
                raise StaysError(f"queue '{destination.name}' refuses messages because of its length limit")
            if isinstance(destination, Queue):
                _check_group(destination, message)
        return destinations

    def _destinations(self, message: Message, death: Death | None) -> tuple[Destination, ...]:
        if self._options.destination is not None:
            return self._queue(self._options.destination)
        if death is None:
            raise StaysError("a message has no x-death header of this broker: set a destination")
        if self._options.via == VIA_EXCHANGE:
            return self._routed(message)
        return self._queue(death.queue)

    def _queue(self, name: str) -> tuple[Destination, ...]:
        assert self._permissions is not None
        self._permissions.check("write", "queue", name)
        found = self._vhost.queues.get(name)
        if found is None:
            raise StaysError(f"queue '{name}' does not exist")
        if found is self._source:
            raise StaysError(f"a message died in '{name}', which is redriven: set a destination")
        if found.owner is not None:
            raise StaysError(f"queue '{name}' is exclusive to a connection")
        return (found,)

    def _routed(self, message: Message) -> tuple[Destination, ...]:
        permissions, exchanges, name = self._permissions, self._vhost.exchanges, message.exchange
        assert permissions is not None
        permissions.check("write", "exchange", name)
        exchange = exchanges.get(name)
        if exchange is None:
            raise StaysError(f"exchange '{name}' does not exist")
        if exchange.type.name == "topic":
            for key in message.routing_keys:
                permissions.check_topic("write", name, text(key))
        destinations = route(exchange, message, exchanges.get).destinations
        if not destinations:
            raise StaysError(f"exchange '{name}' routes a message to no queue")
        return destinations


def _check_group(queue: Queue, message: Message) -> None:
    """Raise StaysError if the group of a message in a queue is closed: only its own redrive keeps the order."""
    group = queue.stopped_group(message)
    if group is not None and group.state == CLOSED_GROUP:
        raise StaysError(f"a message group of queue '{queue.name}' is closed: redrive the group")
