"""Endless loops in the broker: a world that uses too much processor time fails instead of running forever."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Maximum processor time of one world; most take less than a second.
MOST_CPU_S = 100.0
#: Interval of further interruptions, as the broker may catch the first one.
AGAIN_S = 1.0


class EndlessError(BaseException):
    """A world has used too much processor time. Not an `Exception`, which the broker would catch."""


@contextmanager
def interrupted_after(cpu_s: float | None = None) -> Iterator[None]:
    """Raise EndlessError in the block when it has used too much processor time.

    cpu_s: None for MOST_CPU_S.
    """
    before = signal.signal(signal.SIGVTALRM, _interrupt)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_CPU_S if cpu_s is None else cpu_s, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise EndlessError("the world has taken too much processor time")
