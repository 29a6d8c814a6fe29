"""Options of a redrive: which messages are moved, where to, and how fast."""

from collections.abc import Mapping
from typing import Final, NamedTuple, final

from amqpbroker.broker.queues.dead_letters.original_message import Death
from amqpbroker.broker.queues.groups.group import GROUP
from amqpbroker.broker.queues.groups.stale_versions import SUPERSEDED
from amqpbroker.broker.queues.ledger import DELIVERY_LIMIT, EXPIRED, MAXLEN, REJECTED, REPLACED
from amqpbroker.message.checksum import content_checksum
from amqpbroker.message.message import Message
from amqpbroker.wire.values import Field, text

#: A value of a header that a filter can name.
Scalar = str | int | float | bool | None

#: The reasons of deaths, RabbitMQ's ones first.
REASONS: Final = (REJECTED, EXPIRED, MAXLEN, DELIVERY_LIMIT, GROUP, SUPERSEDED, REPLACED)

#: Values of `RedriveOptions.via`.
VIA_QUEUE = "queue"
VIA_EXCHANGE = "exchange"

_NO_HEADERS: Mapping[str, Scalar] = {}


@final
class RedriveFilter(NamedTuple):
    """Conditions for messages, all of which must be true; None stands for any.

    reason, queue: of the last death; the reason is one of REASONS. group, group_key_type: key of the message group in
    that queue and its type, as the API shows them, which `accepts` does not check. headers: names of headers and their
    values. messages: checksums by position, as a peek shows them, which `names` checks.
    """

    reason: str | None = None
    queue: str | None = None
    group: str | None = None
    group_key_type: str | None = None
    headers: Mapping[str, Scalar] = _NO_HEADERS
    messages: Mapping[int, int] | None = None

    def names(self, position: int, message: Message) -> bool:
        """Return whether the message at a position is one of the named ones, if any are named."""
        if self.messages is None:
            return True
        return position in self.messages and self.messages[position] == content_checksum(message)

    def accepts(self, message: Message, death: Death | None) -> bool:
        """Return whether the message, which last died this way, is to be moved."""
        if self.reason is not None and (death is None or death.reason != self.reason):
            return False
        if self.queue is not None and (death is None or death.queue != self.queue):
            return False
        given = message.headers if self.headers else None
        for name, wanted in self.headers.items():
            value = None if given is None else given.get(name)
            if value is None or not _equals(value, wanted):
                return False
        return True


def _equals(given: Field, wanted: Scalar) -> bool:
    value = text(given.value) if isinstance(given.value, bytes) else given.value
    # True equals 1 in Python, but not in JSON.
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


@final
class RedriveOptions(NamedTuple):
    """Options of one task.

    destination: name of the queue that all messages go to; None for the queue in which each died. via: VIA_QUEUE to
    move a message straight into that queue, VIA_EXCHANGE to publish it again to the exchange that routed it there,
    which is possible without a destination only. max_per_second: number of messages moved in a second, 0 for no limit.
    limit: number of messages to move, -1 for all. keep_history: retain the headers about dead-lettering.
    restore_expiration: set the expiration that the message had before it died.
    """

    destination: str | None = None
    via: str = VIA_QUEUE
    max_per_second: int = 0
    limit: int = -1
    filter: RedriveFilter = RedriveFilter()
    keep_history: bool = False
    restore_expiration: bool = False
