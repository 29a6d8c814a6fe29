"""Declarations that are refused."""

import dataclasses

from amqpbroker.errors import REPLY_CODES, AmqpError
from amqpbroker.testing.faults.cut import at
from amqpbroker.testing.faults.fault import Counted
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.line import Line
from amqpbroker.wire import methods

_THINGS = {"queue.declare": "queue", "exchange.declare": "exchange"}


@dataclasses.dataclass(eq=False)
class RefuseDeclare(Counted):
    """See `Faults.refuse_declare`."""

    kind = "refuse_declare"

    queue: str | None = None
    exchange: str | None = None
    code: int = 406
    text: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.code not in list(REPLY_CODES):
            raise ValueError(f"code = {self.code!r}: AMQP's are {', '.join(map(str, REPLY_CODES))}")

    def wants(self, line: Line, frame: Frame, received: bool) -> bool:
        thing = _THINGS.get(frame.name) if received else None
        if thing is None or frame.channel not in line.connection.channels:
            return False
        wanted = {"queue": self.queue, "exchange": self.exchange}
        if any(value is not None for value in wanted.values()):
            name = wanted[thing]
            if name is None or name != frame.arguments().get(thing):
                return False
        return self.count(1)

    def strike(self, line: Line, frame: Frame, received: bool) -> None:
        thing = _THINGS[frame.name]
        text = self.text or f"{thing} '{frame.arguments().get(thing, '')}' is refused: a fault is injected"
        line.connection.fail(AmqpError(self.code, text), frame.channel, methods.BY_NAME[frame.name].ids)
        self.tell(line, at(line, frame, received))
