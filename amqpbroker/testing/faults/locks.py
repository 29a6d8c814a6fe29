"""Locks that run out just before the acknowledgement arrives."""

import dataclasses
from collections.abc import Sequence

from amqpbroker.testing.checks import at_least
from amqpbroker.testing.faults.cut import at
from amqpbroker.testing.faults.fault import Fault, Key
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.line import Line


@dataclasses.dataclass(eq=False)
class ExpireLock(Fault):
    """See `Faults.expire_lock`."""

    kind = "expire_lock"

    ack: int = 1
    times: int | None = dataclasses.field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("ack", self.ack, 1)

    def places(self) -> Sequence[tuple[Key, int]]:
        return [(("received", "basic.ack"), self.ack)]

    def strike(self, line: Line, frame: Frame, received: bool) -> None:
        arguments, channel = frame.arguments(), line.connection.channels.get(frame.channel)
        if channel is not None and arguments:
            tag, multiple = arguments["delivery_tag"], arguments["multiple"]
            tags = [each for each in channel.unacked.entries if each == tag or (multiple and (each < tag or not tag))]
            if channel.locks.expire(tags):
                self.record(line, at(line, frame, received))
        line.pass_on(frame, received)
