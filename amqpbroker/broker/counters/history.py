"""A history of counters: their values at the last few hundred samples."""

from array import array


class History:
    """The last `length` samples of some counters. used_ms: when it last changed or was requested, for its owner.

    All numbers are in one array. An object per sample would live for minutes among objects of messages that live for
    milliseconds, and the interpreter returns memory to the operating system only by the mebibyte: one remaining object
    keeps its whole mebibyte allocated.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._numbers = array("q")
        self._oldest = 0
        self.used_ms: int = 0

    def append(self, at_ms: int, counters: tuple[int, ...]) -> None:
        """Add a sample, which replaces the oldest one if there are `length`; each has the same number of counters."""
        width = 1 + len(counters)
        if len(self._numbers) < self._length * width:
            self._numbers.append(at_ms)
            self._numbers.extend(counters)
            return
        start = self._oldest
        self._numbers[start : start + width] = array("q", (at_ms, *counters))
        self._oldest = (start + width) % len(self._numbers)

    def samples(self, width: int) -> list[tuple[int, tuple[int, ...]]]:
        """Return the time and the `width` counters of each sample, oldest first."""
        numbers = self._numbers[self._oldest :] + self._numbers[: self._oldest]
        step = 1 + width
        return [(numbers[start], tuple(numbers[start + 1 : start + step])) for start in range(0, len(numbers), step)]
