"""Values that change over time: 200:60, then 500:30, and again from the start."""

from collections.abc import Sequence
from dataclasses import dataclass

from amqpbroker.cli.number import LONGEST_S, Number

_SECONDS = Number(0.001, LONGEST_S)


@dataclass(frozen=True)
class Step:
    """A value, and for how many seconds."""

    value: float
    seconds: float

    @classmethod
    def parse(cls, text: str, value: Number) -> "Step":
        """VALUE:SECONDS. value: what the former may be. Raises ValueError."""
        number, colon, duration = text.partition(":")
        if not colon:
            raise ValueError(f"{text!r} has no colon: write a number, a colon and seconds, such as 200:60")
        return cls(value.parse(number), _SECONDS.parse(duration))


class Schedule:
    """Steps one after the other, and again from the first. There is at least one."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)
        self.seconds = sum(step.seconds for step in steps)

    def at(self, elapsed_s: float) -> tuple[int, int, float]:
        """How often all steps are over, the number of the one that is on, and for how many seconds it has been."""
        rounds = int(elapsed_s // self.seconds)
        left_s = elapsed_s - rounds * self.seconds
        for number, step in enumerate(self.steps):
            if left_s < step.seconds:
                return rounds, number, left_s
            left_s -= step.seconds
        return rounds + 1, 0, 0.0  # by rounding
