"""The targets of several bindings, each once, in the order in which they were added."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amqpbroker.broker.exchanges.exchange import Target


class Targets:
    """Targets, and the number of bindings to each. Most have one binding, and then there is only a tuple."""

    __slots__ = ("_all", "_counts")

    def __init__(self) -> None:
        self._all: tuple[Target, ...] | None = ()
        self._counts: dict[Target, int] | None = None

    def __bool__(self) -> bool:
        return bool(self._all or self._counts)

    def add(self, target: "Target") -> None:
        counts = self._counts
        if counts is None:
            if not self._all:
                self._all = (target,)
                return
            counts = self._counts = {self._all[0]: 1}
        counts[target] = counts.get(target, 0) + 1
        self._all = None

    def remove(self, target: "Target") -> None:
        """Remove the target of one binding. Raises KeyError if there is none."""
        counts = self._counts
        if counts is None:
            if not self._all or self._all[0] is not target:
                raise KeyError(target)
            self._all = ()
            return
        count = counts[target] - 1
        if count:
            counts[target] = count
        else:
            del counts[target]
        self._all = None

    def all(self) -> "tuple[Target, ...]":
        found = self._all
        if found is None:
            assert self._counts is not None
            found = self._all = tuple(self._counts)
        return found
