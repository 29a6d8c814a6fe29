"""Restarts of the broker at a given frame or method."""

import dataclasses

from amqpbroker.testing.checks import check_down
from amqpbroker.testing.faults.cut import Drop
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.line import Line


@dataclasses.dataclass(eq=False)
class Restart(Drop):
    """See `Faults.restart`."""

    kind = "restart"

    down: float = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._at_once:
            raise ValueError(
                "a restart needs a condition, such as on='basic.publish'; to restart at once, call Broker.restart()"
            )
        check_down(self.down)

    def strike(self, line: Line, frame: Frame, received: bool) -> None:
        super().strike(line, frame, received)
        self._restart()

    def strike_bytes(self, line: Line, received: bool) -> None:
        super().strike_bytes(line, received)
        self._restart()

    def _restart(self) -> None:
        restart, down = self.target.restart, self.down
        self.target.soon(lambda: restart(down))
