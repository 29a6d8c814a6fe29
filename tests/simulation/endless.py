"""Loops without an end in the broker: a world that takes too much of the processor fails instead of running on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Processor time of one world; most take less than a second.
MOST_CPU_S = 100.0
#: Interval of further interruptions, as the broker may catch the first one.
AGAIN_S = 1.0


class EndlessError(BaseException):
    """A world has taken too much processor time. The broker answers each `Exception`, so this is none."""


@contextmanager
def interrupted_after(cpu_s: float | None = None) -> Iterator[None]:
    """Raise EndlessError from whatever runs in the block once it has taken so much processor time.

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
