"""Signals that end a command."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def ending() -> list[signal.Signals]:
    """Return SIGINT, SIGTERM, SIGBREAK of Windows, and SIGHUP unless `nohup` has made the process ignore it."""
    found = [signal.SIGINT, signal.SIGTERM]
    ctrl_break: signal.Signals | None = getattr(signal, "SIGBREAK", None)
    if ctrl_break is not None:
        found.append(ctrl_break)
    hangup: signal.Signals | None = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        found.append(hangup)
    return found


class Interrupt:
    """Signals that end a command early. A second Ctrl-C ends the program; other signals often come twice.

    came: True after a signal.
    """

    def __init__(self) -> None:
        self.came = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.came and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.came = True

    @contextmanager
    def heeded(self) -> Iterator[None]:
        """Handle the signals in a `with` statement."""
        before = {number: signal.signal(number, self._note) for number in ending()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
