"""Messages that are delivered twice."""

import dataclasses
from collections.abc import Sequence
from functools import partial

from amqpbroker.broker.events.tap import TappedVhost, Via
from amqpbroker.message.message import Message
from amqpbroker.testing.checks import at_least
from amqpbroker.testing.faults.fault import Fault, Key
from amqpbroker.testing.faults.line import Line


@dataclasses.dataclass(eq=False)
class Duplicate(Fault):
    """See `Faults.duplicate`."""

    kind = "duplicate"

    delivery: int = 1
    queue: str | None = None
    times: int | None = dataclasses.field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("delivery", self.delivery, 1)

    def places(self) -> Sequence[tuple[Key, int]]:
        return [(("delivery", self.queue), self.delivery)]

    def delivered(self, line: Line, vhost: TappedVhost, message: Message, queue: str, via: Via) -> None:
        copy = self.target.copy(message)
        self.record(line, f"at a delivery from {queue!r} on channel {via.channel}")
        self.target.soon(partial(vhost.publish_to, queue, copy))
