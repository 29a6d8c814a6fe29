"""The timer of the event loop: it fires no later than the earliest timer of the broker's clock."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield the delay of a loop timer that is too late."""
    timers = process.service.timers
    due_ms = process.clock.next_due_ms()
    if due_ms is None:
        return
    if timers._handle is None or timers._handle.cancelled():
        yield f"the clock has a timer for {due_ms} ms, and the loop has none"
    elif timers._due_ms > due_ms:
        yield f"the clock has a timer for {due_ms} ms, and the loop fires at {timers._due_ms} ms"
