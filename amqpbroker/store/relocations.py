"""Present positions of copies that compaction has rewritten. A holder refers to a copy by its first position."""

from array import array
from bisect import bisect_left

from amqpbroker.store.record import OFFSET_BITS, OFFSET_MASK


class _Table:
    """Offset -> position, twelve bytes each.

    Offsets are added in ascending order. count: number of offsets not removed.
    """

    __slots__ = ("_offsets", "_positions", "count")

    def __init__(self) -> None:
        self.count: int = 0
        self._offsets = array("I")
        self._positions = array("Q")  # 0 for removed offsets

    def get(self, offset: int) -> int:
        """Return the position, 0 if there is none."""
        index = bisect_left(self._offsets, offset)
        if index == len(self._offsets) or self._offsets[index] != offset:
            return 0
        return self._positions[index]

    def set(self, offset: int, position: int) -> None:
        """Set the position or, with 0, remove it. A new offset must be higher than all earlier ones."""
        index = bisect_left(self._offsets, offset)
        if index == len(self._offsets):
            self._offsets.append(offset)
            self._positions.append(position)
            self.count += 1
        else:
            self._positions[index] = position
            self.count -= not position


class _Map:
    """Position -> position: a table for each segment of the first."""

    def __init__(self) -> None:
        self.tables: dict[int, _Table] = {}

    def get(self, position: int) -> int:
        """Return the second position, 0 if there is none."""
        table = self.tables.get(position >> OFFSET_BITS)
        return 0 if table is None else table.get(position & OFFSET_MASK)

    def set(self, position: int, to: int) -> None:
        """Set or remove the second position, as `_Table.set`."""
        segment = position >> OFFSET_BITS
        table = self.tables.get(segment)
        if table is None:
            table = self.tables[segment] = _Table()
        table.set(position & OFFSET_MASK, to)
        if not table.count:
            del self.tables[segment]


class Relocations:
    """First position -> present position, and back, of the rewritten copies.

    Copies are moved in the order of their positions, and always to higher positions. count: number of copies.
    """

    def __init__(self) -> None:
        self.count: int = 0
        self._present = _Map()
        self._first = _Map()

    def __bool__(self) -> bool:
        return self.count > 0

    def present(self, position: int) -> int:
        return self._present.get(position) or position

    def first(self, position: int) -> int:
        return self._first.get(position) or position

    def move(self, position: int, to: int) -> None:
        """Record that the copy at `position` is now at `to`."""
        first = self._first.get(position)
        if first:
            self._first.set(position, 0)
        else:
            first = position
            self.count += 1
        self._present.set(first, to)
        self._first.set(to, first)

    def settle(self, position: int) -> int:
        """Remove a settled copy by its first position, and return its present position."""
        present = self._present.get(position)
        if not present:
            return position
        self.count -= 1
        self._present.set(position, 0)
        self._first.set(present, 0)
        return present
