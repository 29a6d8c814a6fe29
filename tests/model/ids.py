"""The ids by which a queue recognises duplicates: none, those of its messages, or those of a window of time."""

from typing import NamedTuple

from tests.model.copies import Copy
from tests.model.spec import Spec


class Taken(NamedTuple):
    """An id. sequence: of the copy that has it, 0 in a window. expires_ms: end of its time, 0 for none."""

    key: str
    sequence: int
    expires_ms: int
    is_stored: bool


class Ids:
    """Recognises no duplicates."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.taken: list[Taken] = []

    def has(self, key: str, now_ms: int) -> bool:
        return any(taken.key == key for taken in self.live(now_ms))

    def entered(self, copy: Copy) -> None:
        """Take the id of a copy that enters the queue."""

    def left(self, sequence: int) -> None:
        """Free the id of a copy that has left."""

    def accepted(self, copy: Copy, now_ms: int) -> None:
        """Take the id of a copy after all effects of its publish."""

    def live(self, now_ms: int) -> tuple[Taken, ...]:
        """Return the ids that recognise duplicates, the oldest first."""
        return tuple(taken for taken in self.taken if not taken.expires_ms or taken.expires_ms > now_ms)

    def stored(self) -> tuple[Taken, ...]:
        return tuple(taken for taken in self.taken if taken.is_stored)

    def restart(self, stored: tuple[Taken, ...], copies: list[Copy], now_ms: int) -> None:
        """Recover the ids of earlier, and those copies."""
        self.taken = list(stored)
        self.taken = list(self.live(now_ms))

    def _is_stored(self, copy: Copy) -> bool:
        assert self.spec.deduplication is not None
        return self.spec.deduplication.on_disk and (copy.persistent or self.spec.quorum)


class QueuedIds(Ids):
    """Recognises duplicates of the messages in the queue."""

    def entered(self, copy: Copy) -> None:
        if copy.key and not self.has(copy.key, 0):
            self.taken.append(Taken(copy.key, copy.sequence, 0, self._is_stored(copy)))

    def left(self, sequence: int) -> None:
        self.taken = [taken for taken in self.taken if taken.sequence != sequence]

    def restart(self, stored: tuple[Taken, ...], copies: list[Copy], now_ms: int) -> None:
        present = {copy.sequence for copy in copies}
        self.taken = [taken for taken in stored if taken.sequence in present]


class Window(Ids):
    """Recognises duplicates for a time, of at most a number of messages."""

    def accepted(self, copy: Copy, now_ms: int) -> None:
        options = self.spec.deduplication
        if not copy.key or options is None:
            return
        expires_ms = now_ms + options.ttl_ms if options.ttl_ms >= 0 else 0
        others = [taken for taken in self.live(now_ms) if taken.key != copy.key]
        self.taken = [*others, Taken(copy.key, 0, expires_ms, self._is_stored(copy))]
        if options.size >= 0:
            self.taken = self.taken[-options.size :]


def ids_of(spec: Spec) -> Ids:
    """Return the ids of a new queue."""
    if spec.deduplication is None:
        return Ids(spec)
    return Window(spec) if spec.deduplication.scope == "window" else QueuedIds(spec)
