"""Shapes of worlds: their duration, and the number of crashes."""

from dataclasses import dataclass
from random import Random

from tests.simulation.steps import Step

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Shape:
    """A shape of worlds. share: relative frequency. crashes: minimum and maximum, in addition to those of the machine.

    hasty: the broker starts, and clients connect again, at once. slowed: the times in its workloads are longer.
    """

    share: int
    durations_ms: tuple[int, ...]
    crashes: tuple[int, int] = (0, 0)
    hasty: bool = False
    slowed: bool = False


SHAPES = {
    "usual": Shape(12, (500, 5_000, 60_000)),
    "crashes": Shape(7, (2_000, 10_000, 20_000), crashes=(20, 100), hasty=True),
    "hours": Shape(1, (HOUR_MS, 4 * HOUR_MS, 24 * HOUR_MS), slowed=True),
}

#: Times between two crashes.
LIVES_MS = (10, 50, 200, 500)
#: Number of steps on the disk after which a start, a stop or serving is interrupted.
DISK_STEPS = (1, 2, 3, 5, 10, 30)


def shape(chance: Random) -> Shape:
    """Return one of the shapes."""
    (drawn,) = chance.choices(list(SHAPES.values()), [each.share for each in SHAPES.values()])
    return drawn


def crashes(chance: Random, end_ms: int, given: Shape) -> list[Step]:
    """Return many ends of a broker that serves, starts or stops, some milliseconds apart."""
    steps: list[Step] = []
    at_ms = 0
    for _ in range(chance.randint(*given.crashes)):
        at_ms += chance.randint(1, chance.choice(LIVES_MS))
        if at_ms > end_ms:
            break
        power = chance.random() < 0.6
        kind = chance.randrange(4)
        if kind == 0:
            steps.append(Step(at_ms, "machine", "restart"))
            at_ms += chance.choice((0, 1, 5, 20))
        elif kind == 1:  # the next start, or the running broker, continues up to that step
            steps.append(Step(at_ms, "machine", "crash_at_step", (chance.choice(DISK_STEPS), power)))
            continue
        steps.append(Step(at_ms, "machine", "cut_power" if power else "kill"))
        if kind == 3:
            steps.append(Step(at_ms, "machine", "crash_at_step", (chance.choice(DISK_STEPS), power)))
    return steps
