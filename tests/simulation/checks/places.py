"""Places of returned messages: a message waits before the pages of its queue only if its page cannot be read."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.simulation.parts import fifo_lines, queues

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each line that is out of order although every page could be read."""
    if process.disk.failures:
        return
    for queue in queues(process):
        if any(line._disordered for line in fifo_lines(queue.ready)):
            yield f"{queue.name} has messages before earlier ones, and could read all of them"
