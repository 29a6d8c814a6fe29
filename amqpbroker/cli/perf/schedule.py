"""Values that change over time, and due times of messages."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from amqpbroker.cli.number import LONGEST_S, Number

_SECONDS = Number(0.001, LONGEST_S)


@dataclass(frozen=True)
class Step:
    """A value, and its duration in seconds."""

    value: float
    seconds: float

    @classmethod
    def parse(cls, text: str, value: Number) -> "Step":
        """Parse VALUE:SECONDS. value: type of the value. Raises ValueError."""
        number, colon, duration = text.partition(":")
        if not colon:
            raise ValueError(f"{text!r} has no colon: write a number, a colon and seconds, such as 200:60")
        return cls(value.parse(number), _SECONDS.parse(duration))


class Schedule:
    """A cycle of one or more steps."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)
        self.seconds = sum(step.seconds for step in steps)

    def at(self, elapsed_s: float) -> tuple[int, int, float]:
        """Return the number of complete cycles, the number of the current step, and the seconds since its beginning."""
        rounds = int(elapsed_s // self.seconds)
        left_s = elapsed_s - rounds * self.seconds
        for number, step in enumerate(self.steps):
            if left_s < step.seconds:
                return rounds, number, left_s
            left_s -= step.seconds
        return rounds + 1, 0, 0.0  # by rounding


class Pace(ABC):
    """Due times of messages. Messages are numbered from 0; times are in seconds since the start."""

    @abstractmethod
    def due(self, elapsed_s: float) -> int:
        """Return the number of messages that are due by a time."""

    @abstractmethod
    def when(self, number: int) -> float:
        """Return the time at which a message is due."""

    @abstractmethod
    def times(self, first: int, count: int) -> list[float]:
        """Return the due times of `count` messages, from the first one on."""


class Steady(Pace):
    """A constant rate, in messages a second, above 0."""

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def due(self, elapsed_s: float) -> int:
        return int(elapsed_s * self._rate) + 1

    def when(self, number: int) -> float:
        return number / self._rate

    def times(self, first: int, count: int) -> list[float]:
        return [number / self._rate for number in range(first, first + count)]


class Varying(Pace):
    """Changing rates. steps: values in messages a second; 0 is a pause, but at least one is above 0."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._schedule = Schedule(steps)
        self._a_round = sum(step.value * step.seconds for step in steps)

    def due(self, elapsed_s: float) -> int:
        rounds, at, since_s = self._schedule.at(elapsed_s)
        steps = self._schedule.steps
        due = rounds * self._a_round + sum(step.value * step.seconds for step in steps[:at])
        rate = steps[at].value
        return int(due + since_s * rate) + 1 if rate else math.ceil(due)

    def when(self, number: int) -> float:
        rounds = int(number // self._a_round)
        left = number - rounds * self._a_round
        time_s = rounds * self._schedule.seconds
        for step in self._schedule.steps:
            if left < step.value * step.seconds:
                return time_s + left / step.value
            left -= step.value * step.seconds
            time_s += step.seconds
        return time_s

    def times(self, first: int, count: int) -> list[float]:
        return [self.when(number) for number in range(first, first + count)]
