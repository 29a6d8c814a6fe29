"""Results of the broker's thread; a timeout error shows the thread's state."""

import os
import sys
import threading
from concurrent.futures import Future
from typing import TypeVar

from amqpbroker.testing.instance import Instance

T = TypeVar("T")


def outcome_of(
    future: "Future[T]", timeout_s: float, what: str, thread: threading.Thread | None, instance: Instance | None
) -> T:
    """Return the result of a future that was waited for.

    Raises the future's exception, or a TimeoutError with the state of `instance` if the future is not done.
    """
    __tracebackhide__ = True
    if not future.done():
        raise overdue(timeout_s, what, thread, instance)
    return future.result()


def overdue(timeout_s: float, what: str, thread: threading.Thread | None, instance: Instance | None) -> TimeoutError:
    """Return the error for a timeout. what: the call that was waited for, such as "queues()"."""
    state = [f"the broker's thread {_position(thread)}"]
    if instance is not None:
        state.append(f"{len(instance.server.clients.there())} clients are connected")
        state += filter(None, [instance.faults.report()])
    return TimeoutError(f"{what} has not returned after {timeout_s:g} s: " + "\n".join(state))


def _position(thread: threading.Thread | None) -> str:
    """Return the function and line that a thread executes, in words."""
    if thread is None or not thread.is_alive():
        return "has ended"
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return "is at an unknown position"
    code = frame.f_code
    return f"is in {code.co_name}, {os.path.basename(code.co_filename)} line {frame.f_lineno}"
