"""Signals on the event loop, also of a system where asyncio handles none, as on Windows."""

import asyncio
import os
import signal
import threading
from contextlib import closing

import pytest

from amqpbroker.server.signals import RELOAD, STOP, Signals, available


class Windows(asyncio.SelectorEventLoop):
    """The event loop of a system where asyncio handles no signals."""

    def add_signal_handler(self, number, callback, *args):
        raise NotImplementedError


@pytest.fixture(autouse=True)
def handlers():
    """Puts back the handlers of the test run."""
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2, *STOP, *RELOAD)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    assert signal.set_wakeup_fd(-1) == -1


@pytest.fixture(params=[asyncio.SelectorEventLoop, Windows])
def runner(request):
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


def send_soon(*numbers):
    """Send signals to the process from another thread, once the event loop waits."""

    def send():
        for number in numbers:
            os.kill(os.getpid(), number)

    threading.Timer(0.05, send).start()


async def came(signals, *numbers):
    """Wait for one of the signals, without a timer that would wake the event loop up for it."""
    event = asyncio.Event()
    signals.handle(numbers, event.set)
    send_soon(numbers[-1])
    await event.wait()


def test_a_signal_wakes_the_event_loop_up(runner):
    async def wait():
        with closing(Signals(asyncio.get_running_loop())) as signals:
            await came(signals, signal.SIGUSR1, signal.SIGUSR2)
            await came(signals, signal.SIGUSR1)

    runner.run(asyncio.wait_for(wait(), 20))


def test_python_wakes_the_event_loop_up_where_no_signal_interrupts_it():
    """The `select` of Windows goes on waiting."""

    async def handle():
        with closing(Signals(asyncio.get_running_loop())) as signals:
            signals.handle([signal.SIGUSR1], lambda: None)
            descriptor = signal.set_wakeup_fd(-1)
            signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
        return descriptor

    with asyncio.Runner(loop_factory=Windows) as runner:
        assert runner.run(handle()) >= 0


def test_later_signal_handler_replaces_the_earlier_one(runner):
    """Another broker of the same process takes over after a restart."""

    async def wait():
        earlier = []
        with closing(Signals(asyncio.get_running_loop())) as signals:
            signals.handle([signal.SIGUSR1], lambda: earlier.append(1))
            await came(signals, signal.SIGUSR1)
        return earlier

    assert runner.run(wait()) == []


def test_ctrl_c_reaches_the_handler_and_not_the_runner(runner):
    async def wait():
        with closing(Signals(asyncio.get_running_loop())) as signals:
            await came(signals, signal.SIGINT)

    runner.run(wait())


def test_ignored_signals_stay_ignored_after_the_event_loop_is_closed(monkeypatch):
    """No mask can block signals on Windows."""
    monkeypatch.delattr(signal, "pthread_sigmask", raising=False)
    with asyncio.Runner(loop_factory=Windows) as runner:

        async def ignore():
            with closing(Signals(asyncio.get_running_loop())) as signals:
                signals.handle(STOP, lambda: None)
                signals.ignore(STOP)

        runner.run(ignore())
    for number in STOP:
        os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_IGN


def test_only_signals_that_the_system_has_are_available():
    assert available("SIGTERM", "SIGNONE", "SIGINT") == (signal.SIGTERM, signal.SIGINT)
    assert signal.SIGTERM in STOP
    assert signal.SIGINT in STOP
