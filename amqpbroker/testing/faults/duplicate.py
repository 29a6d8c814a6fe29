"""Messages that come twice."""

import dataclasses
from functools import partial

from amqpbroker.broker.message import Message
from amqpbroker.broker.tap import Via
from amqpbroker.broker.vhost import Vhost
from amqpbroker.testing.faults.fault import Counted, at_least
from amqpbroker.testing.faults.line import Line


@dataclasses.dataclass(eq=False)
class Duplicate(Counted):
    """See `Faults.duplicate`."""

    kind = "duplicate"

    delivery: int = 1
    queue: str | None = None
    times: int | None = dataclasses.field(default=1, kw_only=True)
    _copies: list[Message] = dataclasses.field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("delivery", self.delivery, 1)

    def delivered(self, line: Line, vhost: Vhost, message: Message, queue: str, via: Via) -> None:
        if self.queue not in (None, queue) or any(message is copy for copy in self._copies):
            return
        if self.count(self.delivery):
            copy = copy_of(message)
            self._copies.append(copy)
            self.tell(line, f"at a delivery from {queue!r} on channel {via.channel}")
            self.injector.soon(partial(put, vhost, copy, queue))


def copy_of(message: Message) -> Message:
    copy = message.rewritten(message.address, message.properties, {})
    copy.headers = message.headers
    return copy


def put(vhost: Vhost, message: Message, queue: str) -> None:
    """Into a queue, if that is still there."""
    destination = vhost.queues.get(queue)
    if destination is not None:
        vhost.publish(message, (destination,))
