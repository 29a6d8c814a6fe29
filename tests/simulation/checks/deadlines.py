"""Timers for the head of a queue that may expire, for the first delayed message, and for messages to be read again."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.groups.line import GroupLine
from amqpbroker.broker.queues.lines.ready_line import ReadyLine
from amqpbroker.clock import Timer
from tests.simulation.parts import delayed_exchanges, is_reading_again, queues

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess


def check(process: "BrokerProcess") -> Iterator[str]:
    """Yield each deadline without a timer."""
    for queue in queues(process):
        # Messages that could not be read wait for another timer.
        waits_to_read = is_reading_again(queue)
        head = None if waits_to_read else _head(queue.ready)
        if head is not None and head.deadline_ms and not _fires(queue.expiry._timer, head.deadline_ms):
            yield f"the head of {queue.name} expires at {head.deadline_ms}, and no timer waits for it"
        delayed = queue.dispatcher.delayed
        if waits_to_read and not _is_set(queue._read_retry._timer):  # type: ignore[union-attr]
            yield f"{queue.name} has messages that could not be read, and no timer waits to read them again"
        if delayed is not None and delayed.count and not waits_to_read and not _is_set(delayed._timer):
            yield f"{queue.name} has {delayed.count} delayed messages, and no timer waits for them"
    for exchange, held in delayed_exchanges(process):
        if held.count > len(held._unread) and not _is_set(held._timer):
            yield f"{exchange.name} holds {held.count} messages, and no timer waits for them"
        if held._recent and min(held._recent) is not held._recent[0]:
            yield f"{exchange.name} holds a message that is due before the one that it waits for"


def _head(line: ReadyLine) -> Entry | None:
    """Return the message that is delivered next, if it is in memory."""
    if not isinstance(line, GroupLine):
        return line.peek()
    groups = [group for group in (*line.groups.all(), *line.groups._lone.values()) if group.item]
    if not groups:
        return None
    first = min(groups, key=lambda group: group.item).first
    head = line._beside.get(first, line._line.peek())
    return head if head is not None and head.sequence == first else None


def _fires(timer: Timer | None, by_ms: int) -> bool:
    return timer is not None and timer.callback is not None and timer.due_ms <= by_ms


def _is_set(timer: Timer | None) -> bool:
    return timer is not None and timer.callback is not None
