"""Grouping and order in which queues get back the deliveries of a channel.

The order is visible if messages of several consumers are settled at once: in which consumer gets the next message, in
the order in which messages return to the front of a queue, and in the order of dead letters.
"""

from collections.abc import Iterable

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.queues.settlement import Groups


def by_consumer(entries: Iterable[Entry]) -> Groups:
    """Group deliveries that a client settles at once: each consumer separately, in order of queue names, then of tags.

    Deliveries of basic.get are first (rabbit_channel:foreach_per_queue/3).
    """
    groups: dict[tuple[Queue, str], list[Entry]] = {}
    group: list[Entry] = []
    latest: Consumer | None = None
    for entry in entries:
        consumer = entry.consumer
        if consumer is None or consumer is not latest:
            group = groups.setdefault((entry.queue, "" if consumer is None else consumer.tag), [])
            latest = consumer
        group.append(entry)
    # There may be several queues with the same name: a deleted one and its successor.
    ranked = [(key[0].name, key[1], i, key[0], part) for i, (key, part) in enumerate(groups.items())]
    ranked.sort()
    return [(queue, part) for _, _, _, queue, part in ranked]


def by_start(entries: Iterable[Entry]) -> Groups:
    """Group the deliveries of a channel that ends: each queue at once, with its consumers in the order of their start.

    Deliveries of basic.get are last (rabbit_fifo, a channel that is down).
    """
    groups: dict[Queue, list[Entry]] = {}
    for entry in sorted(entries, key=_start):
        groups.setdefault(entry.queue, []).append(entry)
    return list(groups.items())


def _start(entry: Entry) -> tuple[bool, int]:
    consumer = entry.consumer
    return (True, 0) if consumer is None else (False, consumer.started)
