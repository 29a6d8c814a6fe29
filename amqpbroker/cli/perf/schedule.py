"""Values that change over time: 200:60, then 500:30, and again from the start."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A value, and for how many seconds."""

    value: float
    seconds: float

    @classmethod
    def parse(cls, text: str, whole: bool) -> "Step":
        """VALUE:SECONDS. whole: whether the value has to be a whole number. Raises ValueError."""
        number, _, duration = text.partition(":")
        try:
            step = cls(int(number) if whole else float(number), float(duration))
        except ValueError:
            what = "a whole number" if whole else "a number"
            raise ValueError(f"{text} is not {what}, a colon, and seconds, such as 200:60") from None
        if not 0 <= step.value < math.inf:
            raise ValueError(f"{text}: what is before the colon is to be at least 0")
        if not 0 < step.seconds < math.inf:
            raise ValueError(f"{text}: the seconds behind the colon are to be more than 0")
        return step


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
