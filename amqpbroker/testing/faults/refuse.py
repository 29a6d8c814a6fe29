"""Refused declarations of queues and exchanges."""

import dataclasses
from collections.abc import Sequence

from amqpbroker.errors import REPLY_CODES, AmqpError
from amqpbroker.testing.faults.cut import at
from amqpbroker.testing.faults.fault import Fault, Key
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.index import DECLARED
from amqpbroker.testing.faults.line import Line
from amqpbroker.wire import methods


@dataclasses.dataclass(eq=False)
class RefuseDeclare(Fault):
    """See `Faults.refuse_declare`."""

    kind = "refuse_declare"

    queue: str | None = None
    exchange: str | None = None
    code: int = 406
    text: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.code not in list(REPLY_CODES):
            raise ValueError(
                f"code = {self.code!r}: this must be a reply code of AMQP: {', '.join(map(str, REPLY_CODES))}"
            )

    def places(self) -> Sequence[tuple[Key, int]]:
        named = {"queue.declare": self.queue, "exchange.declare": self.exchange}
        anything = all(name is None for name in named.values())
        return [((method, name), 1) for method, name in named.items() if anything or name is not None]

    def strike(self, line: Line, frame: Frame, received: bool) -> None:
        thing = DECLARED[frame.name]
        text = self.text or f"{thing} '{frame.arguments().get(thing, '')}' is refused: a fault is injected"
        line.connection.closer.fail(AmqpError(self.code, text), frame.channel, methods.BY_NAME[frame.name].ids)
        self.record(line, at(line, frame, received))
