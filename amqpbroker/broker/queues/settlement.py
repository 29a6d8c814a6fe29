"""Settling of deliveries with their queues: at once if they are few, otherwise in slices."""

from collections import deque
from functools import partial
from typing import Final

from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.host import Host
from amqpbroker.broker.queues.queue import Queue

#: Ways to settle deliveries. FAIL: to requeue them after a failure.
ACK: Final = "ack"
REJECT: Final = "reject"
REQUEUE: Final = "requeue"
FAIL: Final = "fail"

#: Deliveries that are settled together, by queue, and for some purposes by consumer.
Groups = list[tuple[Queue, list[Entry]]]


def settle(groups: Groups, how: str) -> None:
    """Settle the deliveries of each group with its queue, in this order, now."""
    for queue, group in groups:
        if how == ACK and len(group) == 1:
            queue.ack(group[0])
        elif how == ACK:
            queue.ack_all(group)
        elif how == REJECT:
            queue.reject(group)
        else:
            queue.requeue(group, failed=how == FAIL)


def settle_in_slices(host: Host, groups: Groups, count: int, how: str) -> bool:
    """Settle deliveries like `settle`, many of them in later event loop iterations. count: their number.

    Deliveries that return to their old places are settled at once, before their queue delivers later messages. Return
    whether some are not settled yet. `host.deferred_free.when_recorded` calls back when they are.
    """
    deferred_free = host.deferred_free
    most = deferred_free.most if how == ACK and not host.tracker.active else deferred_free.few
    if count <= most:
        settle(groups, how)
        return False
    slices = _sliced(groups, most, how)
    return not deferred_free.record(slices, partial(_settle_all, how), 1)


def _settle_all(how: str, slices: list[Groups]) -> None:
    for groups in slices:
        settle(groups, how)


def _sliced(groups: Groups, most: int, how: str) -> deque[Groups]:
    """Divide groups into slices of about `most` deliveries, and at least one."""
    slices: deque[Groups] = deque()
    current: Groups = []
    count = 0
    for queue, group in groups:
        parts = [group]
        if len(group) > most and (how in (ACK, REJECT) or not queue.returns_in_place(how == FAIL)):
            group = queue.ranked(group)
            parts = [group[start : start + most] for start in range(0, len(group), most)]
        for part in parts:
            if current and count + len(part) > most:
                slices.append(current)
                current, count = [], 0
            current.append((queue, part))
            count += len(part)
    slices.append(current)
    return slices
