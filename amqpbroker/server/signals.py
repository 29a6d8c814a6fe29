"""Signals of the process, handled on the event loop."""

import asyncio
import signal
import socket
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any, Final


def available(*names: str) -> tuple[signal.Signals, ...]:
    """Return the signals with these names that the operating system has."""
    return tuple(getattr(signal, name) for name in names if hasattr(signal, name))


#: Signals that stop the broker. SIGBREAK is Ctrl-Break on Windows.
STOP: Final = available("SIGTERM", "SIGINT", "SIGBREAK")

#: Signals that read the certificates again.
RELOAD: Final = available("SIGHUP")


class Signals:
    """Handlers of signals that run on the event loop of the main thread, also on Windows, where asyncio has none."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._wakeup: _Wakeup | None = None

    def handle(self, numbers: Iterable[signal.Signals], handler: Callable[[], None]) -> None:
        """Call the handler on the event loop for each of these signals. It replaces an earlier handler."""
        for number in numbers:
            try:
                self._loop.add_signal_handler(number, handler)
            except NotImplementedError:
                self._set(number, handler)

    def ignore(self, numbers: Iterable[signal.Signals]) -> None:
        """Ignore these signals until the process ends."""
        mask: Any = getattr(signal, "pthread_sigmask", None)
        if mask is not None:
            # The event loop restores the default handlers when it closes, so a handler would not do.
            mask(getattr(signal, "SIG_BLOCK"), numbers)  # noqa: B009 - mypy would miss it when it checks for Windows
        else:
            for number in numbers:
                signal.signal(number, signal.SIG_IGN)

    def close(self) -> None:
        """Release what wakes the event loop up. Handlers stay, but run late from now on."""
        if self._wakeup is not None:
            self._wakeup.close()

    def _set(self, number: signal.Signals, handler: Callable[[], None]) -> None:
        def call(number: int, frame: FrameType | None) -> None:
            self._loop.call_soon_threadsafe(handler)

        signal.signal(number, call)
        if self._wakeup is None:
            self._wakeup = _Wakeup(self._loop)


class _Wakeup:
    """A socket to which Python writes for each signal. The event loop reads it, so that it does not wait on meanwhile:
    Python runs handlers between two instructions of the main thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._read, self._written = socket.socketpair()
        self._read.setblocking(False)
        self._written.setblocking(False)
        loop.add_reader(self._read, self._read.recv, 4096)
        self._before = signal.set_wakeup_fd(self._written.fileno(), warn_on_full_buffer=False)

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        self._loop.remove_reader(self._read)
        self._read.close()
        self._written.close()
