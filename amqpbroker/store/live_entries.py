"""Live entries of each segment: their offsets, and the bytes of the segment that each needs."""

from array import array
from bisect import bisect_left

from amqpbroker.store.record import OFFSET_BITS, OFFSET_MASK


class LiveEntries:
    """The entries of one segment that are not settled. count: number of entries. size_bytes: bytes of the segment they
    need.

    Each entry takes eight bytes of memory and no object.
    """

    __slots__ = ("_next", "_offsets", "_sizes", "count", "size_bytes")

    def __init__(self) -> None:
        self.count: int = 0
        self.size_bytes: int = 0
        self._offsets: array[int] = array("I")
        self._sizes: array[int] = array("I")  # 0 for settled entries
        self._next: int = 0

    def add(self, offset: int, size_bytes: int) -> None:
        """Add an entry after all others. size_bytes: its part of its record, at least 1."""
        self._offsets.append(offset)
        self._sizes.append(size_bytes)
        self.count += 1
        self.size_bytes += size_bytes

    def extend(self, positions: list[int], sizes: list[int]) -> None:
        """Add entries by their positions."""
        offsets = self._offsets
        for position in positions:
            offsets.append(position & OFFSET_MASK)
        self._sizes.extend(sizes)
        self.count += len(positions)
        self.size_bytes += sum(sizes)

    def settle(self, offset: int) -> int:
        """Remove an entry; return its bytes, 0 if it was not live."""
        offsets = self._offsets
        # Entries are mostly settled in the order in which they were added.
        index = self._next
        if index >= len(offsets) or offsets[index] != offset:
            index = bisect_left(offsets, offset)
            if index == len(offsets) or offsets[index] != offset:
                return 0
        self._next = index + 1
        size_bytes = self._sizes[index]
        if size_bytes:
            self._sizes[index] = 0
            self.count -= 1
            self.size_bytes -= size_bytes
        return size_bytes

    def settle_all(self, offsets: list[int]) -> None:
        """Remove entries."""
        start = self._next
        stop = start + len(offsets)
        if self._offsets[start:stop] != array("I", offsets):
            for offset in offsets:
                self.settle(offset)
            return
        sizes = self._sizes[start:stop]
        self._sizes[start:stop] = array("I", bytes(sizes.itemsize * len(sizes)))
        self._next = stop
        self.count -= len(sizes) - sizes.count(0)
        self.size_bytes -= sum(sizes)

    def has(self, offset: int) -> bool:
        """Return whether there is a live entry at the offset."""
        index = bisect_left(self._offsets, offset)
        return index < len(self._offsets) and self._offsets[index] == offset and self._sizes[index] > 0

    def between(self, start: int, stop: int) -> list[int]:
        """Return the offsets of the live entries from `start` on and before `stop`."""
        first = bisect_left(self._offsets, start)
        last = bisect_left(self._offsets, stop, first)
        if not any(self._sizes[first:last]):
            return []
        return [offset for offset, size in zip(self._offsets[first:last], self._sizes[first:last], strict=True) if size]


class LiveEntriesBySegment:
    """Live entries, by segment number."""

    def __init__(self) -> None:
        self._segments: dict[int, LiveEntries] = {}

    def of(self, number: int) -> LiveEntries:
        """Return the entries of a segment."""
        living = self._segments.get(number)
        if living is None:
            living = self._segments[number] = LiveEntries()
        return living

    def set(self, number: int, living: LiveEntries) -> None:
        """Set the live entries of a segment."""
        self._segments[number] = living

    def has(self, position: int) -> bool:
        """Return whether there is a live entry at the position."""
        living = self._segments.get(position >> OFFSET_BITS)
        return living is not None and living.has(position & OFFSET_MASK)

    def remove(self, number: int) -> None:
        """Remove a segment that does not exist any more."""
        self._segments.pop(number, None)

    @property
    def size_bytes(self) -> int:
        """Bytes that live entries need, in all segments."""
        return sum([living.size_bytes for living in self._segments.values()])

    def add(self, positions: list[int], sizes: list[int]) -> None:
        """Add entries of one segment, after all others. sizes: their parts of their records in bytes."""
        if positions:
            self.of(positions[0] >> OFFSET_BITS).extend(positions, sizes)

    def settle(self, positions: list[int]) -> None:
        """Remove the entries at these positions."""
        if len(positions) == 1:
            self.of(positions[0] >> OFFSET_BITS).settle(positions[0] & OFFSET_MASK)
            return
        offsets: list[int] = []
        number = -1
        for position in positions:
            if position >> OFFSET_BITS != number:
                if offsets:
                    self.of(number).settle_all(offsets)
                    offsets = []
                number = position >> OFFSET_BITS
            offsets.append(position & OFFSET_MASK)
        if offsets:
            self.of(number).settle_all(offsets)
