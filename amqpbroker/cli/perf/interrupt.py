"""Ending a run early, in order."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

from amqpbroker.cli.signals import ending


class Interrupt:
    """The signals that end a run early. A second Ctrl-C ends the program; the others often come twice by themselves."""

    def __init__(self) -> None:
        self.came = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.came and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.came = True

    @contextmanager
    def heeded(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._note) for number in ending()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def kept_from_children() -> Iterator[None]:
    """A terminal, and `timeout`, send signals to all processes: those started meanwhile do not see them.

    Who leads says when to stop; if it is gone itself, they notice.
    """
    if not hasattr(signal, "pthread_sigmask"):  # another system, where they ignore Ctrl-C themselves
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending())  # which is inherited
    try:
        resource_tracker.ensure_running()  # a child, too; to start it takes the block from some of them
        signal.pthread_sigmask(signal.SIG_BLOCK, ending())
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
