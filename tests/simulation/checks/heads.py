"""Messages at the head of long lines in which messages take the places of others."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.last_value.queue import LastValueQueue
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from tests.simulation.checks.pages import is_replaced_in_place, most_at_head
from tests.simulation.parts import fifo_lines, queues

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess

#: Number of iterations after which the queues are looked for again, unless their number changes before.
INTERVAL = 50


class Heads:
    """The places at the head of each line that consumers have had messages of.

    A message that a consumer returns was in memory before, and so was its place, which a newer message may take.
    """

    def __init__(self, process: "BrokerProcess") -> None:
        self._process = process
        self._left = 0
        self._count = 0
        self._queues: list[LastValueQueue] = []
        #: Line -> the highest sequence number that has been before its head.
        self._passed: dict[FifoLine, int] = {}

    def check(self) -> Iterator[str]:
        """Yield each line that has more messages at its head than allowed."""
        self._find()
        most = most_at_head(self._process)
        passed: dict[FifoLine, int] = {}
        for queue in self._queues:
            for line in fifo_lines(queue.ready):
                passed[line] = max(self._passed.get(line, 0), _first(line, queue.ledger.newest + 1) - 1)
                if line._pager is None or len(line.line) <= most:
                    continue
                count = sum(not each.acquired_count and each.sequence > passed[line] for each in line.line)
                if count > most:
                    yield f"{queue.name} has {count} messages in memory at its beginning"
        self._passed = passed

    def _find(self) -> None:
        """Look for the queues from time to time."""
        count = sum(len(vhost.queues) for vhost in self._process.broker.vhosts.values())
        self._left -= 1
        if self._left >= 0 and count == self._count:
            return
        self._left, self._count = INTERVAL, count
        self._queues = [
            each for each in queues(self._process) if isinstance(each, LastValueQueue) and is_replaced_in_place(each)
        ]


def _first(line: FifoLine, following: int) -> int:
    """Return the lowest sequence number in a line; `following` if the line is empty."""
    firsts = [part[0].sequence for part in (line.line, line._tail) if part]
    firsts += [line._pages[0].first] if line._pages else []
    return min(firsts, default=following)
