"""In which groups, and in which order, queues get back what a channel holds.

It shows where messages of several consumers are settled at once: in who gets what comes next, in the order in which
messages return to the front of a queue, and in that of dead letters.
"""

from collections.abc import Iterable

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.entry import Entry
from amqpbroker.broker.queues.queue import Queue

Groups = list[tuple[Queue, list[Entry]]]


def by_consumer(entries: Iterable[Entry]) -> Groups:
    """What a client settles at once: each consumer's part alone, in the order of the names of queues and then the tags.

    What came from basic.get is before them (rabbit_channel:foreach_per_queue/3).
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
    # Queues of the same name may be among them: a deleted one, and its successor.
    ranked = [(key[0].name, key[1], i, key[0], part) for i, (key, part) in enumerate(groups.items())]
    ranked.sort()
    return [(queue, part) for _, _, _, queue, part in ranked]


def by_start(entries: Iterable[Entry]) -> Groups:
    """What a channel holds that ends: each queue's part at once, in it the consumers in the order of their start.

    What came from basic.get is behind them (rabbit_fifo, a channel that is down).
    """
    groups: dict[Queue, list[Entry]] = {}
    for entry in sorted(entries, key=_start):
        groups.setdefault(entry.queue, []).append(entry)
    return list(groups.items())


def _start(entry: Entry) -> tuple[bool, int]:
    consumer = entry.consumer
    return (True, 0) if consumer is None else (False, consumer.started)
