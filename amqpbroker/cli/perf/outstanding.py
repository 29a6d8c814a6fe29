"""Publishes that are not confirmed yet."""

from collections.abc import Sequence


class Outstanding:
    """Which numbers of 1, 2, 3... are settled, in whatever order the broker tells it.

    timed: when each was published is kept, to tell how long its confirm took.
    """

    def __init__(self, timed: bool = False) -> None:
        #: Settled ones, of which `refused` are nacks.
        self.settled = 0
        self.refused = 0
        self._low = 0  # everything up to here is settled
        self._ahead: set[int] = set()  # settled ones beyond
        self._published_ns: dict[int, int] | None = {} if timed else None

    def published(self, first: int, stamps_ns: list[int]) -> None:
        if self._published_ns is not None:
            self._published_ns.update(enumerate(stamps_ns, first))

    def settle(self, tag: int, multiple: bool, refused: bool) -> list[int]:
        """What one basic.ack or basic.nack says. Returns when those that it settles were published, if that is kept."""
        tags: Sequence[int] = range(self._low + 1, tag + 1)
        if multiple:
            if self._ahead:
                tags = [one for one in tags if one not in self._ahead]
                self._ahead = {one for one in self._ahead if one > tag}
            self._low = max(self._low, tag)
        elif tag <= self._low or tag in self._ahead:
            return []
        else:
            tags = range(tag, tag + 1)
            self._ahead.add(tag)
        while self._low + 1 in self._ahead:
            self._low += 1
            self._ahead.remove(self._low)
        self.settled += len(tags)
        self.refused += len(tags) * refused
        times = self._published_ns
        return [] if times is None else [times.pop(one) for one in tags if one in times]
