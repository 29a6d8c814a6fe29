"""A broker that is started again in the middle of things."""

import dataclasses
from typing import Any

from amqpbroker.testing.faults.cut import Drop
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.line import Line

LONGEST_DOWN_S = 60


@dataclasses.dataclass(eq=False)
class Restart(Drop):
    """See `Faults.restart`."""

    kind = "restart"

    down: float = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self._at_once:
            raise ValueError("say when it restarts, such as on='basic.publish'; at once does Broker.restart()")
        check_down(self.down)

    def strike(self, line: Line, frame: Frame, received: bool) -> None:
        super().strike(line, frame, received)
        self._restart()

    def strike_octets(self, line: Line, received: bool) -> None:
        super().strike_octets(line, received)
        self._restart()

    def _restart(self) -> None:
        restart, down = self.target.restart, self.down
        self.target.soon(lambda: restart(down))


def check_down(down: Any) -> None:
    """For how long a broker is down. Raises ValueError for what is no such time."""
    if not isinstance(down, int | float) or isinstance(down, bool) or not 0 <= down <= LONGEST_DOWN_S:
        raise ValueError(f"down = {down!r}: this is a number of seconds, {LONGEST_DOWN_S} at most")
