"""Messages of long queues in memory: those at the two ends of a line, and the delayed ones that are due first."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.line import GroupLine
from amqpbroker.broker.queues.last_value.queue import LastValueQueue
from amqpbroker.broker.queues.lines.fifo_line import FifoLine
from amqpbroker.broker.queues.local_queue import LocalQueue
from amqpbroker.config.bounds import Bounds
from tests.simulation.parts import fifo_lines, queues

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each part of a queue that has more messages, or bytes of bodies, in memory than allowed."""
    bounds, most = process.broker.config.bounds, most_at_head(process)
    for queue in queues(process):
        for line in fifo_lines(queue.ready):
            if line._pager is not None:
                yield from _of_line(queue, line, bounds)
                yield from _at_head(queue, line, most)
        if isinstance(queue.ready, GroupLine) and len(queue.ready._beside) > 2 * bounds.page_count + 1:
            yield f"{queue.name} has {len(queue.ready._beside)} messages in memory beside its line"
        delayed = queue.dispatcher.delayed
        if delayed is None or delayed._pager is None:
            continue
        count, read = len(delayed._heap), min(bounds.read_count, 2 * bounds.page_count)
        # A release adds the messages that are read at once.
        if count > 2 * bounds.page_count + read:
            yield f"{queue.name} has {count} delayed messages in memory"
        if delayed._heap_size > 2 * bounds.page_bytes and count > read + 1:
            yield from _too_large(queue, "delayed messages", (item[2] for item in delayed._heap), bounds)


def most_at_head(process: "BrokerProcess") -> int:
    """Return the maximum number of messages at the head of a line that has pages, besides returned ones."""
    bounds = process.broker.config.bounds
    most = 2 * bounds.page_count + 1
    # Memory was short, so that a line has pages although its first messages were not worth one.
    return max(most, bounds.page_count + bounds.least_page_count) if process._short_until > 0 else most


def is_replaced_in_place(queue: LocalQueue) -> bool:
    """Return whether messages take the places of returned ones, which `heads.py` counts."""
    return isinstance(queue, LastValueQueue) and not queue.options.at_tail


def _of_line(queue: LocalQueue, line: FifoLine, bounds: Bounds) -> Iterator[str]:
    count = len(line._tail)
    if count > 2 * bounds.page_count:
        yield f"{queue.name} has {count} messages in memory at its end"
    if line._tail_size > 2 * bounds.page_bytes:
        yield from _too_large(queue, "messages at its end", line._tail, bounds)


def _at_head(queue: LocalQueue, line: FifoLine, most: int) -> Iterator[str]:
    if len(line.line) <= most or is_replaced_in_place(queue):
        return
    # Messages that consumers return were in memory before.
    count = sum(not entry.acquired_count for entry in line.line)
    if count > most:
        yield f"{queue.name} has {count} messages in memory at its beginning"


def _too_large(queue: LocalQueue, what: str, entries: Iterable[Entry], bounds: Bounds) -> Iterator[str]:
    """Yield an error if the bodies exceed their bound by more than the largest ones of a page."""
    sizes = [entry.message.size for entry in entries]
    if sum(sizes) > 2 * bounds.page_bytes + 2 * max(sizes):
        yield f"{queue.name} has {sum(sizes)} bytes of {what} in memory"
