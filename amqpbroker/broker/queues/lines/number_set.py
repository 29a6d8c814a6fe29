"""A set of integers that can be read in ascending order, in steps."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator

from amqpbroker.broker.queues.lines.ready_line import SLACK


class NumberSet:
    """A set of integers. It is sorted when it is read in order, and only then costs more than other sets."""

    __slots__ = ("_added", "_numbers", "_order")

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        #: The numbers in ascending order, with removed ones, without those in `_added`; None until they are read.
        self._order: list[int] | None = None
        self._added: set[int] = set()

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, number: int) -> bool:
        return number in self._numbers

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def add(self, number: int) -> None:
        self.update((number,))

    def update(self, numbers: Iterable[int]) -> None:
        if self._order is None:
            self._numbers.update(numbers)
            return
        for number in numbers:
            if number not in self._numbers:
                self._numbers.add(number)
                self._added.add(number)

    def discard(self, number: int) -> None:
        """Remove a number, if it is in the set."""
        self._numbers.discard(number)
        self._added.discard(number)
        self._shorten()

    def difference_update(self, numbers: Collection[int]) -> None:
        """Remove these numbers."""
        self._numbers.difference_update(numbers)
        self._added.difference_update(numbers)
        self._shorten()

    def clear(self) -> None:
        self._numbers.clear()
        self._discard_order()

    def following(self, number: int, count: int) -> list[int]:
        """Return up to `count` numbers that are higher, in ascending order: the next ones."""
        order = self._sorted()
        numbers = self._numbers
        found: list[int] = []
        index = bisect_right(order, number)
        while len(found) < count and index < len(order):
            each = order[index]
            index += 1
            # A number that was removed and added again may be there twice.
            if each in numbers and (not found or found[-1] != each):
                found.append(each)
        return found

    def _sorted(self) -> list[int]:
        order = self._order
        if order is None:
            order = self._order = sorted(self._numbers)
        elif self._added:
            added = sorted(self._added)
            is_behind = not order or order[-1] < added[0]
            order += added
            if not is_behind:
                # Fast, because it has two sorted parts.
                order.sort()
            self._added.clear()
        return order

    def _shorten(self) -> None:
        """Discard the order if most of its numbers were removed."""
        if self._order is not None and len(self._order) > 2 * len(self._numbers) + SLACK:
            self._discard_order()

    def _discard_order(self) -> None:
        self._order = None
        self._added.clear()
