"""Histories of the counted objects that were active or shown last."""

from amqpbroker.broker.counters.history import History
from amqpbroker.broker.counters.stats import Counted, Sample

#: Time after its last change or request in which a history is not replaced by that of another active object.
HELD_MS = 60_000


class Histories:
    """The histories of at most `most` objects, of up to `length` samples each.

    A history begins when the counters of its object change for the first time, or when it is requested. Only samples
    that differ from the one before are recorded: an object that is idle costs neither time nor memory. When there are
    `most` histories, a new one replaces the one whose last change or request is longest ago.
    """

    def __init__(self, most: int, length: int) -> None:
        self._most = most
        self._length = length
        # The one that changed or was requested last is the last.
        self._histories: dict[Counted, History] = {}
        # Objects with a history that were seen in the current round.
        self._seen: set[Counted] = set()

    def __contains__(self, counted: Counted) -> bool:
        return counted in self._histories

    def __len__(self) -> int:
        return len(self._histories)

    def see(self, counted: Counted) -> None:
        """Note that the object still exists."""
        if counted in self._histories:
            self._seen.add(counted)

    def discard_unseen(self) -> None:
        """Discard the histories of objects that were not seen since the last call: these were deleted."""
        self._histories = {counted: history for counted, history in self._histories.items() if counted in self._seen}
        self._seen.clear()

    def record(self, counted: Counted, sample: Sample) -> None:
        """Record the sample of an object, whose counters have changed since the one before."""
        history = self._histories.pop(counted, None)
        if history is None:
            if len(self._histories) >= self._most:
                oldest = next(iter(self._histories))
                if self._histories[oldest].used_ms > sample.at_ms - HELD_MS:
                    return  # as many others are active
                del self._histories[oldest]
            history = History(self._length)
            history.append(sample.at_ms - sample.interval_ms, sample.before)
            self._seen.add(counted)
        history.append(sample.at_ms, sample.counters)
        history.used_ms = sample.at_ms
        self._histories[counted] = history

    def request(self, counted: Counted, now_ms: int, at_ms: int, counters: tuple[int, ...]) -> History:
        """Return the history of an object. A new one begins with these counters, which it had at `at_ms`."""
        history = self._histories.pop(counted, None)
        if history is None:
            if len(self._histories) >= self._most:
                del self._histories[next(iter(self._histories))]
            history = History(self._length)
            history.append(at_ms, counters)
        history.used_ms = now_ms
        self._histories[counted] = history
        self._seen.add(counted)
        return history
