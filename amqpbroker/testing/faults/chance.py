"""Random faults: the same seed triggers the same faults."""

import dataclasses
import random
from typing import Any
from weakref import WeakKeyDictionary

from amqpbroker.broker.events.tap import TappedVhost, Via
from amqpbroker.message.message import Message
from amqpbroker.testing.faults.cut import at
from amqpbroker.testing.faults.fault import Fault
from amqpbroker.testing.faults.frames import Frame
from amqpbroker.testing.faults.line import Line
from amqpbroker.testing.hints import did_you_mean

#: Kinds of faults that `random` injects.
KINDS = ("reset", "drop", "nack", "duplicate")


class _Seen:
    """Events of one connection. number: sequence number of the connection, from 1."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.frames = 0
        self.publishes = 0
        self.deliveries = 0


@dataclasses.dataclass(eq=False)
class Chance(Fault):
    """See `Faults.random`."""

    kind = "random"
    asked_of_all = True

    seed: int | None = None
    rate: float = 0.01
    kinds: tuple[str, ...] = KINDS
    _seen: "WeakKeyDictionary[Line, _Seen]" = dataclasses.field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )
    _numbers: int = dataclasses.field(default=0, init=False, repr=False)
    _next: str = dataclasses.field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self.seed = random.SystemRandom().getrandbits(32)
        if not isinstance(self.rate, int | float) or not 0 < self.rate <= 1:
            raise ValueError(f"rate = {self.rate!r}: this must be a probability above 0, and at most 1, such as 0.01")
        # The HTTP API passes a list, or a wrong value of any JSON type.
        kinds: Any = self.kinds
        if not isinstance(kinds, list | tuple) or not kinds or any(kind not in KINDS for kind in kinds):
            unknown = [kind for kind in kinds if kind not in KINDS] if isinstance(kinds, list | tuple) else []
            hint = did_you_mean(unknown[0], KINDS) if unknown else ""
            raise ValueError(f"kinds = {kinds!r}: this must be a list with some of {', '.join(KINDS)}{hint}")
        self.kinds = tuple(kinds)

    def begin(self) -> None:
        for line in self.target.lines.values():
            if self.only.means(line):
                self._of(line)

    def wants(self, line: Line, frame: Frame, received: bool) -> bool:
        seen = self._of(line)
        self._next = ""
        if not received or not frame.counts or not frame.channel:
            return False
        seen.frames += 1
        if frame.name == "basic.publish" and line.confirms(frame.channel):
            seen.publishes += 1
            if self._falls(seen, "nack", seen.publishes):
                self._next = "nack"
        for kind in ("drop", "reset"):
            if self._falls(seen, kind, seen.frames):
                self._next = kind
        return bool(self._next)

    def strike(self, line: Line, frame: Frame, received: bool) -> None:
        if self._next == "nack":
            line.refuse(frame)
        else:
            line.cut(self._next == "reset")
        self.record(line, f"{self._next} {at(line, frame, received)}")

    def delivered(self, line: Line, vhost: TappedVhost, message: Message, queue: str, via: Via) -> None:
        seen = self._of(line)
        seen.deliveries += 1
        if self._falls(seen, "duplicate", seen.deliveries):
            copy = self.target.copy(message)
            self.record(line, f"duplicate at delivery {seen.deliveries}, from {queue!r} on channel {via.channel}")
            self.target.soon(lambda: vhost.publish_to(queue, copy))

    def _of(self, line: Line) -> _Seen:
        seen = self._seen.get(line)
        if seen is None:
            self._numbers += 1
            seen = self._seen[line] = _Seen(self._numbers)
        return seen

    def _falls(self, seen: _Seen, kind: str, number: int) -> bool:
        """Return whether a fault triggers: a random decision of its own for each connection, kind and number."""
        if kind not in self.kinds or self.is_spent:
            return False
        # The decision must be repeatable, not unpredictable.
        return random.Random(f"{self.seed}/{seen.number}/{kind}/{number}").random() < self.rate
