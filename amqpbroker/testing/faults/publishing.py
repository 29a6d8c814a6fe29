"""Faults of publishes: refused, or not confirmed for a time."""

import dataclasses
from collections.abc import Sequence

from amqpbroker.clock import Timer
from amqpbroker.testing.faults.confirms import Confirm
from amqpbroker.testing.faults.cut import at
from amqpbroker.testing.faults.fault import Fault, Key, at_least
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
        self.tell(line, at(line, frame, received))


@dataclasses.dataclass(eq=False)
class WithholdConfirms(Fault):
    """See `Faults.withhold_confirms`."""

    kind = "withhold_confirms"

    publish: int = 1
    _kept: list[Confirm] = dataclasses.field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("publish", self.publish, 1)

    def places(self) -> Sequence[tuple[Key, int]]:
        return [(("confirm",), self.publish)]

    def keep(self, confirm: Confirm) -> None:
        self._kept.append(confirm)
        assert isinstance(confirm.line, Line)
        self.tell(confirm.line, f"confirm {confirm.number} of channel {confirm.ledger.channel}")

    def end(self) -> None:
        kept, self._kept = self._kept, []
        for confirm in kept:
            self._let_go(confirm)

    def _let_go(self, confirm: Confirm) -> None:
        confirm.passed.add(self)
        assert isinstance(confirm.line, Line)
        confirm.line.confirm(confirm)


@dataclasses.dataclass(eq=False)
class DelayConfirms(WithholdConfirms):
    """See `Faults.delay_confirms`."""

    kind = "delay_confirms"

    ms: int = dataclasses.field(default=0, kw_only=True)
    _timers: list[Timer] = dataclasses.field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("ms", self.ms, 1)

    def keep(self, confirm: Confirm) -> None:
        super().keep(confirm)
        assert self.injector.broker is not None
        self._timers.append(self.injector.broker.clock.after(self.ms, self._let_first_go))

    def _let_first_go(self) -> None:
        self._timers.pop(0)
        self._let_go(self._kept.pop(0))

    def begin(self) -> None:
        """What an earlier run of the broker had is gone with its connections."""
        self._kept.clear()
        self._timers.clear()

    def end(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        super().end()
