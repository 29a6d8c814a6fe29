"""Single columns of queues, for lists that are sorted by one or show few of them. A whole row takes far longer."""

from collections.abc import Callable
from typing import Any

from amqpbroker.broker.counters.rates import Rates
from amqpbroker.broker.queues.queue import Queue
from amqpbroker.broker.vhost import Vhost

#: A queue with its vhost, as lists have them, and its value in one column; None if its row does not have the column.
Value = Callable[[tuple[Vhost, Queue]], Any]

_VALUES: dict[str, Value] = {
    "name": lambda found: found[1].name,
    "vhost": lambda found: found[0].name,
    "type": lambda found: found[1].kind.name,
    "durable": lambda found: found[1].durable,
    "auto_delete": lambda found: found[1].auto_delete,
    "exclusive": lambda found: found[1].owner is not None,
    "messages": lambda found: found[1].ready_count + found[1].delayed_count + found[1].unacked_count,
    "messages_ready": lambda found: found[1].ready_count,
    "messages_unacknowledged": lambda found: found[1].unacked_count,
    "consumers": lambda found: found[1].info().consumers,
    "memory": lambda found: found[1].info().memory,
    "message_bytes": lambda found: _message_bytes(found[1]),
    "state": lambda found: found[1].info().state,
}
_STATS = "message_stats."
_RATE = "_details.rate"


def value_of(column: str, rates: Rates) -> Value | None:
    """Return what gives the value of a column of `queue_row`, None if only the whole row does.

    `a.b` is a column of the object in column `a`.
    """
    if not column.startswith(_STATS):
        return _VALUES.get(column)
    name = column.removeprefix(_STATS)
    if "." not in name and not name.endswith("_details"):
        return lambda found: found[1].message_stats().get(name)
    name = name.removesuffix(_RATE)
    return None if "." in name or name.endswith("_details") else lambda found: _rate(found[1], name, rates)


def _message_bytes(queue: Queue) -> int | None:
    return None if "message_bytes" in queue.kind.absent_columns else queue.info().message_bytes


def _rate(queue: Queue, name: str, rates: Rates) -> float | None:
    if name not in queue.message_stats():
        return None
    sample = queue.sample
    if sample is None or sample.counters is sample.before:
        return 0.0
    return rates.of(queue).get(name, 0.0)
