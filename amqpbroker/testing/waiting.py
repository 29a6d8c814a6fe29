"""Waiting for the broker's thread; a timeout error shows what the thread is doing."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from amqpbroker.testing.instance import Instance

T = TypeVar("T")


def result_of(
    future: "Future[T]",
    timeout_s: float,
    what: str,
    thread: threading.Thread | None,
    instance: Callable[[], Instance | None],
) -> T:
    """Return the future's result. Raises the future's exception, or a TimeoutError with the state of `instance`."""
    try:
        return future.result(timeout_s)
    except TimeoutError:
        if future.done():  # the TimeoutError is the result of the future
            raise
    raise overdue(timeout_s, what, thread, instance())


def overdue(timeout_s: float, what: str, thread: threading.Thread | None, instance: Instance | None) -> TimeoutError:
    """Return the error for a timeout. what: the call that was waited for, such as "queues()"."""
    state = [f"the broker's thread {_whereabouts(thread)}"]
    if instance is not None:
        state.append(f"{len(instance.server.clients.there())} clients are connected")
        state += filter(None, [instance.faults.report()])
    return TimeoutError(f"after {timeout_s:g} s {what} has not come to its end: " + "\n".join(state))


def _whereabouts(thread: threading.Thread | None) -> str:
    if thread is None or not thread.is_alive():
        return "has ended"
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return "does not tell where it is"
    code = frame.f_code
    return f"is in {code.co_name}, {os.path.basename(code.co_filename)} line {frame.f_lineno}"
