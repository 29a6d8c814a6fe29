"""Messages that the filters of a stream's consumers pass over in one event loop iteration."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from amqpbroker.broker.queues.consumer import Consumer
from amqpbroker.broker.queues.streams.queue import StreamQueue
from tests.simulation.parts import streams

if TYPE_CHECKING:
    from tests.simulation.broker_process import BrokerProcess

#: Number of times in an iteration that a reader goes on without a settled message: when chunks are written, when there
#: is room for output, and after a pause.
TIMES = 3
#: Number of iterations after which the streams are looked for again.
INTERVAL = 50


class Skips:
    """Places of readers with a filter at the end of the iteration before, and counters of their streams."""

    def __init__(self, process: "BrokerProcess") -> None:
        self._process = process
        self._streams: list[StreamQueue] = []
        self._left = 0
        self._offsets: dict[StreamQueue, dict[Consumer, int]] = {}
        #: Numbers of messages delivered, and of those that are not settled.
        self._counts: dict[StreamQueue, tuple[int, int]] = {}

    def check(self) -> Iterator[str]:
        """Yield each stream whose readers have passed over too many messages since the last call."""
        self._left -= 1
        if self._left < 0:
            self._left = INTERVAL
            self._streams = list(streams(self._process))
        before_all, self._offsets = self._offsets, {}
        counts, self._counts = self._counts, {}
        skips = self._process.broker.config.bounds.stream_skips
        for stream in self._streams:
            now = {each: reader.offset for each, reader in stream._readers.items() if reader._filter is not None}
            if now:
                self._offsets[stream] = now
                self._counts[stream] = stream.delivered, stream.outstanding.count
            if stream not in before_all:
                continue
            before, first, (delivered, outstanding) = before_all[stream], stream.log.first, counts[stream]
            # Removed messages are not read.
            passed = sum(now[each] - max(offset, first) for each, offset in before.items() if now.get(each, 0) > first)
            delivered = stream.delivered - delivered
            settled = delivered + outstanding - stream.outstanding.count
            if passed - delivered > skips * (TIMES * len(before) + max(settled, 0)):
                yield f"{stream.name}: filters pass over {passed - delivered} messages in one iteration"
