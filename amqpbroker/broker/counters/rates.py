"""Rates of counters: samples every few seconds, rates between them, and histories for charts."""

from collections.abc import Generator, Iterable, Mapping
from functools import cache
from typing import Protocol, TypeVar

from amqpbroker.broker.counters.histories import Histories
from amqpbroker.broker.counters.history import History
from amqpbroker.broker.counters.stats import EXCHANGE_COUNTERS, Counted, Sample, Totals, named, summed
from amqpbroker.broker.counters.totals import BrokerTotals
from amqpbroker.clock import Clock
from amqpbroker.config.bounds import BOUNDS, Bounds

#: RabbitMQ's collect_statistics_interval.
INTERVAL_MS = 5_000
#: Age of the oldest sample of a history, and the most samples of one.
HISTORY_MS = 600_000
HISTORY_LENGTH = 601
#: Pause between two slices of objects that are sampled.
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
    def byte_totals(self) -> Totals: ...
    @property
    def queues(self) -> Mapping[str, CountedQueue]: ...
    @property
    def exchanges(self) -> Mapping[str, Counted]: ...


class CountedBroker(Counted, Protocol):
    """A broker with all its objects that have counters."""

    @property
    def clock(self) -> Clock: ...
    @property
    def totals(self) -> BrokerTotals: ...
    @property
    def vhosts(self) -> Mapping[str, CountedVhost]: ...
    def store_counters(self) -> tuple[int, int]: ...


class Rates:
    """Samples all counters of a broker every `interval_ms`, a few objects at a time.

    An object that was never used costs no memory. The sums of the broker and of its vhosts are made from the same
    samples. clock: the clock of the samples, the broker's unless another is set before `start`.
    """

    def __init__(self, broker: CountedBroker, interval_ms: int = INTERVAL_MS, bounds: Bounds = BOUNDS) -> None:
        self.interval_ms = interval_ms
        self._broker = broker
        self.clock = broker.clock
        self._round: Generator[None, None, None] | None = None
        self._started_ms: int = 0
        self._first: bool = True
        length = min(HISTORY_MS // interval_ms + 1, HISTORY_LENGTH)
        self._history = History(length)
        self._histories = Histories(bounds.histories, length)
        self._most: int = bounds.samples

    def start(self) -> None:
        """Sample everything now and at the interval. Counts from before the first round have no rate."""
        self._started_ms = self.clock.now_ms()
        self._round = self._sample_all(self._broker)
        self._go_on()

    def of(self, counted: Counted) -> dict[str, float]:
        """Return the rate of each counter per second, between the last two samples."""
        sample = counted.sample
        if sample is None or sample.before is sample.counters:
            return _zeros(counted.counter_names).copy()
        seconds = sample.interval_ms / 1000
        grown = zip(sample.counters, sample.before, strict=True)
        return named(counted.counter_names, [(now - before) / seconds for now, before in grown])

    def history(self, counted: Counted) -> list[tuple[int, dict[str, int]]]:
        """Return the samples of an object that differ from the one before, and the last one, oldest first.

        Each is a time in milliseconds since the epoch, and the counters. The broker always has a history. Another
        object has one since it was first used, or since its history was first requested; it loses it when it is
        deleted, or when as many others were active or requested since.
        """
        at_ms, counters = self._last(counted)
        if not at_ms:
            return []
        history = self._history
        if counted is not self._broker:
            history = self._histories.request(counted, self.clock.now_ms(), at_ms, counters)
        samples = history.samples(len(counters))
        if samples[-1][0] < at_ms:
            samples.append((at_ms, counters))
        ahead_ms, names = self.clock.ahead_ms, counted.counter_names
        return [(at_ms + ahead_ms, named(names, counters)) for at_ms, counters in samples]

    def has_history(self, counted: Counted) -> bool:
        """Return whether `history` has more than the last sample of this object."""
        return counted is self._broker or counted in self._histories

    def _last(self, counted: Counted) -> tuple[int, tuple[int, ...]]:
        """Return the time and the counters of the last sample; the time is 0 before the first round."""
        sample = counted.sample
        if sample is None:
            return self._started_ms, (0,) * len(counted.counter_names)
        return sample.at_ms, sample.counters

    def _go_on(self) -> None:
        assert self._round is not None
        for _ in self._round:
            self.clock.after(PAUSE_MS, self._go_on)
            return
        self._round = None
        self._first = False
        self._histories.discard_unseen()
        earliest_ms = self.clock.now_ms() + PAUSE_MS
        self.clock.at(max(self._started_ms + self.interval_ms, earliest_ms), self.start)

    def _sample_all(self, broker: CountedBroker) -> Generator[None, None, None]:
        """Sample everything once. Yield where other work may run."""
        totals = broker.totals
        traffic, byte_totals = totals.traffic.gone(), totals.byte_totals.gone()
        ready = unacked = 0
        # The objects at the start of the round: one that is closed before it is sampled does not count as gone yet.
        for vhost in [_Vhost(vhost) for vhost in broker.vhosts.values()]:
            channels = yield from self._sample_members(vhost.channels, len(traffic))
            sessions = yield from self._sample_members(vhost.sessions, len(byte_totals))
            vhost_ready, vhost_unacked = yield from self._sample_queues(vhost.queues)
            yield from self._sample_members(vhost.exchanges, len(EXCHANGE_COUNTERS))
            of_vhost = (*summed(vhost.traffic, [channels]), *summed(vhost.byte_totals, [sessions]))
            self._sample(vhost.vhost, (*of_vhost, vhost_ready, vhost_unacked))
            traffic, byte_totals = summed(traffic, [channels]), summed(byte_totals, [sessions])
            ready, unacked = ready + vhost_ready, unacked + vhost_unacked
        self._sample(totals.churn, totals.churn.counters())
        counters = (*traffic, *byte_totals, ready, unacked, *broker.store_counters())
        self._sample(broker, counters)
        self._history.append(self.clock.now_ms(), counters)

    def _sample_members(self, members: list[Counted], width: int) -> Generator[None, None, tuple[int, ...]]:
        """Sample objects that have `width` counters each; return the sums."""
        sums: tuple[int, ...] = (0,) * width
        for some in _sliced(members, self._most):
            seen = [each.counters() for each in some]
            for each, counters in zip(some, seen, strict=True):
                self._sample(each, counters)
            sums = summed(sums, seen)
            yield
        return sums

    def _sample_queues(self, queues: list[CountedQueue]) -> Generator[None, None, tuple[int, int]]:
        """Sample queues; return how many messages are ready, and how many unacknowledged."""
        all_ready = all_unacked = 0
        for some in _sliced(queues, self._most):
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
        self._histories.see(counted)
        sample = counted.sample
        if sample is None:
            if not any(counters):
                return
            sample = counted.sample = Sample(counters if self._first else (0,) * len(counters))
        sample.add(counters, self.clock.turn_ms, self.interval_ms, self.clock.ahead_ms)
        if sample.before is not sample.counters and counted is not self._broker:
            self._histories.record(counted, sample)


class _Vhost:
    """The counted objects of a vhost at the start of a round."""

    def __init__(self, vhost: CountedVhost) -> None:
        self.vhost = vhost
        self.traffic = vhost.traffic.gone()
        self.byte_totals = vhost.byte_totals.gone()
        self.channels: list[Counted] = list(vhost.traffic.members)
        self.sessions: list[Counted] = list(vhost.byte_totals.members)
        self.queues: list[CountedQueue] = list(vhost.queues.values())
        self.exchanges: list[Counted] = list(vhost.exchanges.values())


@cache
def _zeros(names: tuple[str, ...]) -> dict[str, float]:
    return named(names, [0.0] * len(names))


def _sliced(members: list[Member], most: int) -> Iterable[list[Member]]:
    return (members[start : start + most] for start in range(0, len(members), most))
