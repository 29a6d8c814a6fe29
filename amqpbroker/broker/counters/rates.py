"""Rates of counters: samples every few seconds, the rates between samples, and short histories for charts."""

from collections.abc import Generator, Iterable, Mapping
from functools import cache
from typing import Protocol, TypeVar

from amqpbroker.broker.counters.history import History
from amqpbroker.broker.counters.stats import EXCHANGE_COUNTERS, Counted, Sample, Totals, named, summed
from amqpbroker.broker.counters.totals import BrokerTotals
from amqpbroker.clock import Clock
from amqpbroker.store.store import Store

#: RabbitMQ's collect_statistics_interval.
INTERVAL_MS = 5_000
#: Age of the oldest sample of a history, and the number of samples.
HISTORY_MS = 600_000
HISTORY_LENGTH = 601
#: Number of objects beside the broker that have a history: the most recently requested ones.
HISTORIES = 32
#: Number of objects that are sampled in one step, so that nothing waits for long, and the time between two steps.
SLICE = 250
PAUSE_MS = 5
#: Weight of the last sample in a queue's consumer_capacity.
_WEIGHT = 0.3

Member = TypeVar("Member", bound=Counted)


class CountedQueue(Counted, Protocol):
    """A queue, whose consumer capacity is sampled too."""

    @property
    def consumer_count(self) -> int: ...


class CountedVhost(Counted, Protocol):
    """A vhost with all its objects that have counters."""

    @property
    def traffic(self) -> Totals: ...
    @property
    def octets(self) -> Totals: ...
    @property
    def queues(self) -> Mapping[str, CountedQueue]: ...
    @property
    def exchanges(self) -> Mapping[str, Counted]: ...


class CountedBroker(Counted, Protocol):
    """A broker with all its objects that have counters."""

    @property
    def clock(self) -> Clock: ...
    @property
    def store(self) -> Store: ...
    @property
    def totals(self) -> BrokerTotals: ...
    @property
    def vhosts(self) -> Mapping[str, CountedVhost]: ...


class Rates:
    """Samples all counters of a broker every `interval_ms`, a few at a time.

    Objects that were never used take no memory. The totals of broker and vhosts are computed in the same pass. clock:
    the clock of the samples, which is the broker's unless another is set before `start`.
    """

    def __init__(self, broker: CountedBroker, interval_ms: int = INTERVAL_MS) -> None:
        self.interval_ms = interval_ms
        self._broker = broker
        self.clock = broker.clock
        self._round: Generator[None, None, None] | None = None
        self._started_ms: int = 0
        self._first: bool = True
        self._length: int = min(HISTORY_MS // interval_ms + 1, HISTORY_LENGTH)
        self._history = History(self._length)
        # The most recently requested history is at the end.
        self._histories: dict[Counted, History] = {}
        # Objects with a history that were sampled or asked for in this round. The others are deleted.
        self._seen: set[Counted] = set()

    def start(self) -> None:
        """Start sampling. The counts that exist already are not attributed to an interval."""
        self._started_ms = self.clock.now_ms()
        self._round = self._sample_all(self._broker)
        self._go_on()

    def of(self, counted: Counted) -> dict[str, float]:
        """Return the rate per second of each counter, between the last two samples."""
        sample = counted.sample
        if sample is None or sample.before is sample.counters:
            return _zeros(counted.counter_names).copy()
        seconds = sample.interval_ms / 1000
        grown = zip(sample.counters, sample.before, strict=True)
        return named(counted.counter_names, [(now - before) / seconds for now, before in grown])

    def history(self, counted: Counted) -> list[tuple[int, dict[str, int]]]:
        """Return milliseconds since the epoch and the counters at that time, oldest first, for up to 10 minutes.

        The broker always has a history. The history of another object begins at its first request; it is discarded when
        many other histories were requested since, or when the object is deleted.
        """
        history = self._history
        if counted is not self._broker:
            history = self._histories[counted] = self._histories.pop(counted, History(self._length))
            self._seen.add(counted)
            if len(self._histories) > HISTORIES:
                del self._histories[next(iter(self._histories))]
        ahead_ms = self.clock.ahead_ms
        names = counted.counter_names
        return [(at_ms + ahead_ms, named(names, counters)) for at_ms, counters in history.samples(len(names))]

    def has_history(self, counted: Counted) -> bool:
        """Return whether this object has a history already."""
        return counted is self._broker or counted in self._histories

    def _go_on(self) -> None:
        assert self._round is not None
        for _ in self._round:
            self.clock.after(PAUSE_MS, self._go_on)
            return
        self._round = None
        self._first = False
        self._histories = {counted: history for counted, history in self._histories.items() if counted in self._seen}
        self._seen.clear()
        earliest_ms = self.clock.now_ms() + PAUSE_MS
        self.clock.at(max(self._started_ms + self.interval_ms, earliest_ms), self.start)

    def _sample_all(self, broker: CountedBroker) -> Generator[None, None, None]:
        """Sample everything once. Yield where other work may run."""
        totals = broker.totals
        traffic, octets = totals.traffic.gone(), totals.octets.gone()
        ready = unacked = 0
        # A list of the present objects: one that closes before it is reached is still sampled, and does not count as
        # gone.
        for vhost in [_Vhost(vhost) for vhost in broker.vhosts.values()]:
            channels = yield from self._sample_members(vhost.channels, len(traffic))
            sessions = yield from self._sample_members(vhost.sessions, len(octets))
            vhost_ready, vhost_unacked = yield from self._sample_queues(vhost.queues)
            yield from self._sample_members(vhost.exchanges, len(EXCHANGE_COUNTERS))
            of_vhost = (*summed(vhost.traffic, [channels]), *summed(vhost.octets, [sessions]))
            self._sample(vhost.vhost, (*of_vhost, vhost_ready, vhost_unacked))
            traffic, octets = summed(traffic, [channels]), summed(octets, [sessions])
            ready, unacked = ready + vhost_ready, unacked + vhost_unacked
        self._sample(totals.churn, totals.churn.counters())
        counters = (*traffic, *octets, ready, unacked, broker.store.loaded, broker.store.stored)
        self._sample(broker, counters)
        self._history.append(self.clock.now_ms(), counters)

    def _sample_members(self, members: list[Counted], width: int) -> Generator[None, None, tuple[int, ...]]:
        """Sample objects that have `width` counters each; return the sums."""
        sums: tuple[int, ...] = (0,) * width
        for some in _sliced(members):
            seen = [each.counters() for each in some]
            for each, counters in zip(some, seen, strict=True):
                self._sample(each, counters)
            sums = summed(sums, seen)
            yield
        return sums

    def _sample_queues(self, queues: list[CountedQueue]) -> Generator[None, None, tuple[int, int]]:
        """Sample queues; return how many messages are ready, and how many unacknowledged."""
        all_ready = all_unacked = 0
        for some in _sliced(queues):
            for queue in some:
                counters = queue.counters()
                ready, unacked = counters[-2:]
                all_ready += ready
                all_unacked += unacked
                self._sample(queue, counters)
                sample = queue.sample
                if sample is not None and queue.consumer_count:
                    sample.capacity += _WEIGHT * ((not ready) - sample.capacity)
            yield
        return all_ready, all_unacked

    def _sample(self, counted: Counted, counters: tuple[int, ...]) -> None:
        history = self._histories.get(counted)
        if history is not None:
            self._seen.add(counted)
        sample = counted.sample
        if sample is None:
            if not any(counters):
                return
            sample = counted.sample = Sample(counters if self._first else (0,) * len(counters))
        now_ms = self.clock.turn_ms
        sample.add(counters, now_ms, self.interval_ms, self.clock.ahead_ms)
        if history is not None:
            history.append(now_ms, counters)


class _Vhost:
    """The objects of a vhost at the start of a round."""

    def __init__(self, vhost: CountedVhost) -> None:
        self.vhost = vhost
        self.traffic = vhost.traffic.gone()
        self.octets = vhost.octets.gone()
        self.channels: list[Counted] = list(vhost.traffic.members)
        self.sessions: list[Counted] = list(vhost.octets.members)
        self.queues: list[CountedQueue] = list(vhost.queues.values())
        self.exchanges: list[Counted] = list(vhost.exchanges.values())


@cache
def _zeros(names: tuple[str, ...]) -> dict[str, float]:
    return named(names, [0.0] * len(names))


def _sliced(members: list[Member]) -> Iterable[list[Member]]:
    return (members[start : start + SLICE] for start in range(0, len(members), SLICE))
