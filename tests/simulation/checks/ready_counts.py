"""Counters of a queue's ready messages, compared with the content of its lines."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.groups.line import GroupLine
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.lines.quorum_lines import QuorumLine
from tests.simulation.parts import fifo_lines, line_of_kind, queues

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each counter that differs from the content."""
    for queue in queues(process):
        line = queue.ready
        count, size, is_paged = 0, 0, False
        inner = line_of_kind(line)
        if isinstance(inner, QuorumLine):
            count = len(list(inner.returned))
            size = sum(entry.message.size for entry in inner.returned)
        if isinstance(line, GroupLine):
            count = len(line._beside)
            size = sum(entry.message.size for entry in line._beside.values())
        for part in fifo_lines(line):
            held, held_size, paged = _held(part)
            if held != part.count:
                yield f"a line of {queue.name} counts {part.count} messages and has {held}"
            if not paged and held_size != part.size:
                yield f"a line of {queue.name} counts {part.size} bytes and has {held_size}"
            count += held
            size += part.size
            is_paged = is_paged or paged
        if count != line.count + line.blocked:
            yield f"{queue.name} counts {line.count + line.blocked} ready messages and has {count}"
        if size != line.size:
            yield f"{queue.name} counts {line.size} ready bytes and has {size}"
        if not is_paged and queue.expiry.count != sum(entry.deadline_ms > 0 for entry in line):
            yield f"{queue.name} counts {queue.expiry.count} ready messages that may expire, which is wrong"
        if any(counter < 0 for counter in queue.counters()):
            yield f"{queue.name} has a counter below zero: {queue.counters()}"


def _held(line: FifoLine) -> tuple[int, int, bool]:
    """Return the number of messages, the bytes of those in memory, and whether any are elsewhere."""
    count = len(line.line) + len(line._tail)
    size = sum(entry.message.size for entry in line.line)
    tail_size = sum(entry.message.size for entry in line._tail)
    paged = False
    for page in line._pages:
        paged = paged or bool(page.positions)
        count += len(page.positions) or len(page.entries)
        size += sum(entry.message.size for entry in page.entries)
    if tail_size != line._tail_size:
        size = -1
    return count, size + tail_size, paged
