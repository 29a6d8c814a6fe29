"""Faults of publishes: refused publishes, and withheld or late confirms."""

import dataclasses
from collections.abc import Sequence

from amqpbroker.clock import Timer
from amqpbroker.testing.checks import at_least
from amqpbroker.testing.faults.confirms import Confirm
from amqpbroker.testing.faults.cut import at
from amqpbroker.testing.faults.fault import Fault, Key
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.line import Line


@dataclasses.dataclass(eq=False)
class Nack(Fault):
    """See `Faults.nack`."""

    kind = "nack"

    publish: int = 1
    exchange: str | None = None
    routing_key: str | None = None
    times: int | None = dataclasses.field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("publish", self.publish, 1)

    def places(self) -> Sequence[tuple[Key, int]]:
        return [(("publish", self.exchange, self.routing_key), self.publish)]

    def strike(self, line: Line, frame: Frame, received: bool) -> None:
        line.refuse(frame)
        self.record(line, at(line, frame, received))


@dataclasses.dataclass(eq=False)
class WithholdConfirms(Fault):
    """See `Faults.withhold_confirms`."""

    kind = "withhold_confirms"

    publish: int = 1
    _held: list[tuple[Line, Confirm]] = dataclasses.field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("publish", self.publish, 1)

    def places(self) -> Sequence[tuple[Key, int]]:
        return [(("confirm",), self.publish)]

    def hold(self, line: Line, confirm: Confirm) -> None:
        self._held.append((line, confirm))
        self.record(line, f"confirm {confirm.number} of channel {confirm.ledger.channel}")

    def end(self) -> None:
        held, self._held = self._held, []
        for line, confirm in held:
            self._release(line, confirm)

    def _release(self, line: Line, confirm: Confirm) -> None:
        confirm.passed.add(self)
        line.confirm(confirm)


@dataclasses.dataclass(eq=False)
class DelayConfirms(WithholdConfirms):
    """See `Faults.delay_confirms`."""

    kind = "delay_confirms"

    ms: int = dataclasses.field(default=0, kw_only=True)
    _timers: list[Timer] = dataclasses.field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("ms", self.ms, 1)

    def hold(self, line: Line, confirm: Confirm) -> None:
        super().hold(line, confirm)
        assert self.target.broker is not None
        self._timers.append(self.target.broker.clock.after(self.ms, self._release_first))

    def _release_first(self) -> None:
        self._timers.pop(0)
        self._release(*self._held.pop(0))

    def begin(self) -> None:
        """Discard the confirms of connections from before a restart."""
        self._held.clear()
        self._timers.clear()

    def end(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        super().end()
