"""What lives in a segment: where its entries stand, and how much each of them keeps."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence


class Living:
    """The entries of one segment that are not settled. count: how many. octets: what they keep of the segment.

    Eight octets of memory for each entry, and none of them an object.
    """

    __slots__ = ("_next", "_octets", "_offsets", "count", "octets")

    def __init__(self) -> None:
        self.count: int = 0
        self.octets: int = 0
        self._offsets = array("I")
        self._octets = array("I")  # 0 for those that are settled
        self._next: int = 0

    def add(self, offset: int, octets: int) -> None:
        """One more, behind all others. octets: its share of the record in which it stands, at least 1."""
        self._offsets.append(offset)
        self._octets.append(octets)
        self.count += 1
        self.octets += octets

    def extend(self, offsets: Sequence[int], octets: Sequence[int]) -> None:
        """`add` for each."""
        self._offsets.extend(offsets)
        self._octets.extend(octets)
        self.count += len(offsets)
        self.octets += sum(octets)

    def settle(self, offset: int) -> int:
        """It lives no more; returns its octets, 0 if it did not live."""
        offsets = self._offsets
        # Mostly they go as they came.
        index = self._next
        if index >= len(offsets) or offsets[index] != offset:
            index = bisect_left(offsets, offset)
            if index == len(offsets) or offsets[index] != offset:
                return 0
        self._next = index + 1
        octets = self._octets[index]
        if octets:
            self._octets[index] = 0
            self.count -= 1
            self.octets -= octets
        return octets

    def between(self, start: int, stop: int) -> list[int]:
        """Where those stand that live from one offset on and before another."""
        first = bisect_left(self._offsets, start)
        last = bisect_left(self._offsets, stop, first)
        if not any(self._octets[first:last]):
            return []
        return [
            offset for offset, octets in zip(self._offsets[first:last], self._octets[first:last], strict=True) if octets
        ]
