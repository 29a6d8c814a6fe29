"""Names of counters, which are RabbitMQ's, and the interface to read their values.

Little is counted while a message passes: most of these numbers follow from others that exist anyway. All of them only
grow from the start of the broker, except GAUGES.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Protocol, TypeVar

#: Counts by RabbitMQ's names. Counters of events that never happened are left out, as in the management API's
#: message_stats.
MessageStats = dict[str, int]

_PUBLISHED = ("publish", "confirm", "return_unroutable", "drop_unroutable")
_ROUTED = ("publish_in", "publish_out")
#: The sum of these counters is deliver_get.
_TAKEN = ("deliver", "deliver_no_ack", "get", "get_no_ack")
_DELIVERED = (*_TAKEN, "get_empty", "redeliver", "ack")
STORE_COUNTERS = ("disk_reads", "disk_writes")
#: The counters of one group are shown together if any of them is not 0.
_GROUPS = (_PUBLISHED, _ROUTED, _DELIVERED, STORE_COUNTERS)

#: received_confirm: publishes in confirm mode; not part of message_stats.
CHANNEL_COUNTERS = (*_PUBLISHED, *_DELIVERED, "received_confirm")
GAUGES = ("messages_ready", "messages_unacknowledged")
QUEUE_COUNTERS = ("publish", *_DELIVERED, *STORE_COUNTERS, *GAUGES)
EXCHANGE_COUNTERS = _ROUTED
CONNECTION_COUNTERS = ("recv_oct", "send_oct", "recv_cnt", "send_cnt")


VHOST_COUNTERS = (*CHANNEL_COUNTERS, *CONNECTION_COUNTERS, *GAUGES)
BROKER_COUNTERS = (*VHOST_COUNTERS, *STORE_COUNTERS)

Number = TypeVar("Number", int, float)


class Sample:
    """The last two samples of a set of counters.

    at_ms: time of the last sample. interval_ms: time between the two. idle_since: time of the first sample without a
    change, None while the object is in use. capacity: see QueueInfo.consumer_capacity.
    """

    __slots__ = ("at_ms", "before", "capacity", "counters", "idle_since", "interval_ms")

    def __init__(self, counters: tuple[int, ...]) -> None:
        self.counters = counters
        self.before = counters
        self.at_ms: int = 0
        self.interval_ms: int = 0
        self.idle_since: int | None = None
        self.capacity: float = 1.0

    def add(self, counters: tuple[int, ...], now_ms: int, interval_ms: int, ahead_ms: int = 0) -> None:
        """Record a sample of the counters.

        interval_ms: the time since the previous sample to assume for the first sample. ahead_ms: difference of the wall
        clock, whose time is shown, to `now_ms`.
        """
        if counters == self.counters:
            # The same object twice takes half the memory.
            self.before = self.counters
            if self.idle_since is None:
                self.idle_since = now_ms + ahead_ms
        else:
            self.before, self.counters = self.counters, counters
            self.idle_since = None
        self.interval_ms = now_ms - self.at_ms if self.at_ms else interval_ms
        self.at_ms = now_ms


class Counted(Protocol):
    """An object that has counters. sample: the samples that `Rates` takes of them."""

    sample: Sample | None

    @property
    def counter_names(self) -> tuple[str, ...]: ...

    def counters(self) -> tuple[int, ...]:
        """Return the current numbers, in the order of `counter_names`."""


class Totals:
    """Sums of the counters of several objects of one kind, including those that no longer exist."""

    __slots__ = ("_gone", "counter_names", "members", "sample")

    def __init__(self, counter_names: tuple[str, ...]) -> None:
        self.sample: Sample | None = None
        self.counter_names: tuple[str, ...] = counter_names
        self.members: dict[Counted, None] = {}
        self._gone: list[int] = [0] * len(counter_names)

    def add(self, member: Counted) -> None:
        self.members[member] = None

    def remove(self, member: Counted) -> None:
        """Remove a member, whose counters change no more."""
        if member in self.members:
            del self.members[member]
            for place, count in enumerate(member.counters()):
                if self.counter_names[place] not in GAUGES:
                    self._gone[place] += count

    def count(self, **counts: int) -> None:
        """Count events that belong to no member."""
        for name, count in counts.items():
            self._gone[self.counter_names.index(name)] += count

    def gone(self) -> tuple[int, ...]:
        """Return the counts of removed members and of events without a member."""
        return tuple(self._gone)

    def counters(self) -> tuple[int, ...]:
        return summed(self._gone, [member.counters() for member in self.members])


def summed(first: Iterable[int], others: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the sums of the numbers at each position."""
    return tuple(map(sum, zip(first, *others, strict=True)))


def message_stats(names: tuple[str, ...], counters: tuple[int, ...]) -> MessageStats:
    """Return these counters as the management API shows them."""
    shown: MessageStats = {}
    if any(counters):
        for members, places in _groups_among(names):
            numbers = [counters[place] for place in places]
            if any(numbers):
                shown.update(zip(members, numbers, strict=True))
                if "deliver" in shown:
                    shown["deliver_get"] = sum([shown[name] for name in _TAKEN])
    return shown


@cache
def _groups_among(names: tuple[str, ...]) -> list[tuple[tuple[str, ...], tuple[int, ...]]]:
    """Return the members of each group that occur in `names`, with their positions."""
    present = [tuple([name for name in group if name in names]) for group in _GROUPS]
    return [(members, tuple([names.index(name) for name in members])) for members in present]


def named(names: tuple[str, ...], numbers: Sequence[Number]) -> dict[str, Number]:
    """Return the numbers by name, with RabbitMQ's two sums, deliver_get and messages, if their summands are present."""
    found = dict(zip(names, numbers, strict=True))
    for name, parts in (("deliver_get", _TAKEN), ("messages", GAUGES)):
        if parts[0] in found:
            found[name] = sum([found[part] for part in parts])
    return found


class ExchangeCounters:
    """Messages that one channel has published to one exchange.

    single: messages that went to exactly one destination. other, other_out: number of all other messages, and of their
    destinations.
    """

    __slots__ = ("other", "other_out", "single")

    def __init__(self) -> None:
        self.single: int = 0
        self.other: int = 0
        self.other_out: int = 0

    def count_single(self, count: int) -> None:
        """Count messages that went to exactly one destination."""
        self.single += count

    def count_other(self, destinations: int) -> None:
        """Count a message that went to this number of destinations."""
        self.other += 1
        self.other_out += destinations
