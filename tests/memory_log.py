"""A log in memory that fails on request and loses data that is not durable in a power failure."""

import errno
from collections.abc import Callable
from functools import partial

from amqpbroker.store import record
from amqpbroker.store.live_entries import LiveEntriesBySegment
from amqpbroker.store.log import Batch as LogBatch
from amqpbroker.store.log import FencedError, Log, Span, UnwrittenError
from amqpbroker.store.record import OFFSET_BITS, OFFSET_MASK
from amqpbroker.store.recovered import Recovered


class Lease:
    """Determines which of several writers may write: the one that opened the log last, with the highest epoch."""

    def __init__(self) -> None:
        self.epoch = 0

    def take(self) -> int:
        self.epoch += 1
        return self.epoch


class MemoryLog(Log):
    """Batches without headers, which are either whole or absent.

    refuses: number of writes to refuse temporarily. fails: the next write fails for good.
    """

    def __init__(self, segment_bytes: int = 1 << 20, before: "MemoryLog | None" = None) -> None:
        """before: the log to open again, whose writer is fenced off; None for a new log."""
        self.name = "memory"
        self.living = LiveEntriesBySegment()
        self.segment_bytes = segment_bytes
        self.oldest = 0
        self.newest = 0
        self.durable = 0
        self.concurrency = 1
        self.refuses = 0
        self.fails = False
        self.segments: dict[int, bytearray] = {}
        self._batches = 0
        #: Appended batches with their spans, oldest first.
        self._spans: dict[int, Span] = {}
        self._sizes: dict[int, int] = {}
        self._before = before
        self._lease = Lease() if before is None else before._lease
        self._epoch = self._lease.take()

    def recover(self) -> Recovered:
        found, before = Recovered(), self._before
        spans = {} if before is None else before._spans
        for start, span in spans.items():
            assert before is not None
            number = start >> OFFSET_BITS
            if span.stop > before.durable or number not in before.segments:
                continue
            if number not in self.segments:
                data = bytes(before.segments[number])
                self.segments[number] = bytearray(data)
                self.oldest = self.oldest or number
                self.newest = number
                found.start_segment(number, len(data))
            self._batches += 1
            self._spans[start] = span
            self._sizes[number] = span.stop & OFFSET_MASK
            record.visit(data, start & OFFSET_MASK, span.stop & OFFSET_MASK, found)
            found.read_batch(self._batches)
            self.durable = span.stop
        self._before = None
        found.finish()
        self.living = found.living
        return found

    def next_position(self) -> int:
        if not self.newest or self._sizes[self.newest] >= self.segment_bytes:
            self.newest += 1
            self.oldest = self.oldest or self.newest
            self.segments[self.newest] = bytearray()
            self._sizes[self.newest] = 0
        return self.newest << OFFSET_BITS | self._sizes[self.newest]

    def batch(self, groups: list[bytes]) -> LogBatch:
        start = self.next_position()
        size = sum(map(len, groups))
        self._batches += 1
        self._spans[start] = Span(start, start + size)
        self._sizes[start >> OFFSET_BITS] += size
        return LogBatch(self._batches, start, start + size, groups)

    @property
    def is_next_alone(self) -> bool:
        return True

    def begin(self, batch: LogBatch) -> Callable[[], None]:
        return partial(self._write, batch)

    def _write(self, batch: LogBatch) -> None:
        if self._epoch < self._lease.epoch:
            raise FencedError(errno.EPERM, "Another writer has opened the log", self.name)
        if self.refuses:
            self.refuses -= 1
            raise UnwrittenError(errno.ENOSPC, "No space left on device", self.name)
        if self.fails:
            raise OSError(errno.EIO, "Input/output error")
        segment = self.segments[batch.position >> OFFSET_BITS]
        assert len(segment) == batch.position & OFFSET_MASK, "a batch is left out"
        segment += b"".join(batch.parts)
        self.durable = batch.stop

    def read(self, position: int, size: int) -> bytes:
        offset = position & OFFSET_MASK
        return bytes(self.segments[position >> OFFSET_BITS][offset : offset + size])

    def expect(self, position: int, size: int) -> None:
        pass

    def groups(self, position: int) -> Span:
        return self._spans[position]

    @property
    def size(self) -> int:
        return sum(self._sizes.values())

    def batches_in(self, segment: int) -> Span:
        base = segment << OFFSET_BITS
        return Span(base, base | self._sizes[segment])

    def forget_up_to(self, position: int) -> None:
        while (number := self.oldest) < position >> OFFSET_BITS and self.segments[number]:
            del self.segments[number], self._sizes[number]
            self.oldest = number + 1

    def remove_freed(self) -> None:
        pass

    def close(self) -> None:
        pass
